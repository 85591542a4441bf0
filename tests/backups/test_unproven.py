"""An archive that must not count and cannot be removed at once: no comparison takes it, and it goes later."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from backups.borg import argv, locks
from backups.borg.repository import BorgRepository, Deleted
from backups.errors import SourceMissing
from backups.job_errors import SnapshotOverflowed
from backups.models import Archive, BackupJob, Repository
from backups.services import repositories, sync
from backups.services.creation import Creation
from backups.services.freezing import Frozen
from phpborg.tasks import reaper
from phpborg.tasks.context import Cancelled
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.registry import Finding
from phpborg.tasks.states import State
from tests.backups.conftest import PASSPHRASE, MakeJob, RunJob
from tests.backups.test_database_backups import MakeDatabaseJob, make, place, server
from tests.support import mariadb

__all__ = ["make", "place", "server"]  # fixtures
pytestmark = pytest.mark.real


@contextmanager
def busy(repository: Repository, base: Path) -> Iterator[None]:
    """Another borg of this host holds the lock."""
    environment = {**os.environ, "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(base)}
    with subprocess.Popen(
        [settings.BORG_BINARY, "with-lock", repository.path, "cat"],
        env={**environment, "BORG_HOST_ID": locks.host_id()},
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as holder:
        until = time.monotonic() + 20
        while not locks.read(Path(repository.path)).alive:
            assert time.monotonic() < until
            time.sleep(0.05)
        yield
        assert holder.stdin is not None
        holder.stdin.close()
        assert holder.wait(20) == 0


@pytest.fixture
def busy_when_asked(
    real_repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[ExitStack]:
    """From the first removal on somebody else holds the repository, until this is closed. Nobody waits long."""
    common, delete = argv._common, BorgRepository.delete
    monkeypatch.setattr(argv, "_common", lambda _lock_wait, *more: common(1, *more))
    taken: list[int] = []

    def remove(self: BorgRepository, *values: object, **more: object) -> Deleted:
        if not taken:
            taken.append(1)
            stack.enter_context(busy(real_repository, tmp_path / "base of another"))
        return delete(self, *values, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(BorgRepository, "delete", remove)
    with ExitStack() as stack:
        yield stack


def listed(repository: Repository) -> list[str]:
    return [fact.name for fact in repositories.borg_of(repository).list_archives()]


def goes_later(repository: Repository, task: Task, others: ExitStack) -> None:
    """It is there, counts for nobody, and goes when the repository is free."""
    assert task.state == State.FAILED
    others.close()
    (name,) = listed(repository)
    assert task.short_id in name
    assert sync.synchronise(repository=repository).recorded == ()
    assert not Archive.objects.exists()
    (held,) = Lease.objects.held().filter(kind="unproven_archive")
    assert held.data["archive"] == name

    assert reaper.clean_task(str(task.pk))
    assert listed(repository) == []
    assert not Lease.objects.held().exists()
    repository.refresh_from_db()
    assert repository.unfreed
    assert sync.synchronise(repository=repository).recorded == ()


def test_none_of_the_sources_was_there(
    real_repository: Repository,
    make_job: MakeJob,
    run_job: RunJob,
    busy_when_asked: ExitStack,
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was when it was looked at: borg made an empty archive."""
    job = make_job(real_repository, tree)
    run = Creation.run

    def too_late(self: Creation, *values: Any) -> Any:
        shutil.rmtree(tree)
        return run(self, *values)

    monkeypatch.setattr(Creation, "run", too_late)
    task = run_job(job)
    assert task.error_code == SourceMissing.code
    # That it stays is said beside what is missing.
    assert "unproven" in [finding["kind"] for finding in task.findings]
    goes_later(real_repository, task, busy_when_asked)


@pytest.fixture
def frozen_job(server: mariadb.Server, make: MakeDatabaseJob) -> BackupJob:
    """A job that reads a copy which was made ready."""
    return make("mysql", server.socket, "mariabackup")


def test_a_snapshot_did_not_last(
    real_repository: Repository,
    frozen_job: BackupJob,
    run_job: RunJob,
    busy_when_asked: ExitStack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def overflowed(_self: Frozen) -> None:
        raise SnapshotOverflowed("", server="web", used="100 %")

    monkeypatch.setattr(Frozen, "check", overflowed)
    goes_later(real_repository, run_job(frozen_job), busy_when_asked)


@pytest.mark.parametrize(("error", "state"), [(ValueError("broken"), State.INCOMPLETE), (Cancelled(), State.CANCELLED)])
def test_what_could_not_be_asked_in_the_end_costs_no_proven_archive(
    real_repository: Repository,
    frozen_job: BackupJob,
    run_job: RunJob,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    state: State,
) -> None:
    """Until it is asked the archive counts for nobody; then it stays, and what is not known is said."""
    seen: list[str] = []

    def broken(_self: Frozen) -> None:
        seen.extend(listed(real_repository))
        assert sync.synchronise(repository=real_repository).recorded == ()
        raise error

    monkeypatch.setattr(Frozen, "check", broken)
    task = run_job(frozen_job)
    assert task.state == state
    assert "freeze_unknown" in [finding["kind"] for finding in task.findings]
    assert listed(real_repository) == seen != []
    assert not Lease.objects.held().exists()
    assert Archive.objects.get().grade == State.INCOMPLETE


def test_one_that_is_cancelled_while_it_is_asked_is_no_success(
    real_repository: Repository, frozen_job: BackupJob, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = Frozen.check

    def cancelled(self: Frozen) -> Finding | None:
        self._context.stop.set("cancel")
        return check(self)

    monkeypatch.setattr(Frozen, "check", cancelled)
    assert run_job(frozen_job).state == State.CANCELLED
    assert Archive.objects.get().grade == State.NOTES
    assert [archive.name for archive in Archive.objects.all()] == listed(real_repository)
    assert not Lease.objects.held().exists()
