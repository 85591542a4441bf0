"""Repositories that are gone, replaced or out of step with the rows, and many short runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from backups.models import Archive, BackupJob, Repository, StoragePool
from backups.services import recording, repositories, runs
from phpborg.tasks import queue
from phpborg.tasks.models import Task
from servers.models import Server
from tests.backups.conftest import PASSPHRASE, MakeJob, RunJob, archive_of

pytestmark = pytest.mark.real


def test_a_repository_that_is_gone_moved_or_replaced_is_said_before_anything(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, tree: Path, pool: StoragePool
) -> None:
    job = make_job(real_repository, tree)
    place = Path(real_repository.path)
    away = place.with_name("away")
    place.rename(away)
    task = run_job(job)
    assert (task.state, task.error_code) == ("failed", "BRG-04")
    away.rename(place)
    other = repositories.create_repository(pool=pool, name="other", passphrase=PASSPHRASE)
    place.rename(away)
    shutil.copytree(other.path, place)
    task = run_job(job)
    assert (task.state, task.error_code) == ("failed", "BRG-13")
    shutil.rmtree(place)
    away.rename(place)
    assert run_job(job).state == "success"


def test_states_of_the_rows_stop_a_run(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, tree: Path, local_server: Server
) -> None:
    job = make_job(real_repository, tree)
    local_server.state = Server.State.FAILED
    local_server.save()
    assert run_job(job).error_code == "JOB-02"
    local_server.state = Server.State.READY
    local_server.save()
    task = runs.start_backup(job=job)
    BackupJob.objects.filter(pk=job.pk).delete()
    from phpborg.tasks import runner

    runner.run(str(task.pk))
    task.refresh_from_db()
    assert (task.state, task.error_code) == ("failed", "JOB-06")


def test_wrong_passphrase_fails_at_once(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, tree: Path
) -> None:
    from phpborg.crypto import EncryptedField

    real_repository.passphrase = EncryptedField.seal("wrong")
    real_repository.save()
    task = run_job(make_job(real_repository, tree))
    assert (task.state, task.error_code) == ("failed", "BRG-02")


def test_an_archive_without_a_row_is_found_by_the_next_run(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(real_repository, tree)
    with monkeypatch.context() as patch:

        def away(*_args: object, **_kwargs: object) -> Archive:
            raise RuntimeError("the database is away")

        patch.setattr(recording, "record", away)
        lost = run_job(job)
    assert lost.state == "failed"
    assert not Archive.objects.exists()
    task = run_job(job)
    assert task.state == "success"
    orphan = Archive.objects.get(task_ref=lost.pk)
    assert (orphan.job, orphan.grade) == (job, "")
    assert Archive.objects.count() == 2


def test_an_archive_removed_by_hand_is_marked_missing(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, tree: Path
) -> None:
    job = make_job(real_repository, tree)
    gone = archive_of(run_job(job))
    repositories.borg_of(real_repository).delete([gone.name])
    kept = archive_of(run_job(job))
    gone.refresh_from_db()
    assert gone.missing_at is not None
    assert runs.status_of([job])[job.pk].last_good == kept


def test_fifty_short_runs_leave_none_running(real_repository: Repository, make_job: MakeJob, tree: Path) -> None:
    from phpborg.tasks import runner

    for _ in range(50):
        task = runs.start_backup(job=make_job(real_repository, tree))
        queue.cancel(task)
        runner.run(str(task.pk))
    assert not Task.objects.active().exists()
