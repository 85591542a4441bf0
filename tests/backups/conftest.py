"""A pool, an encrypted repository, this machine as a server, and jobs, all real and below a private directory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backups.models import Archive, BackupJob, Repository, StoragePool
from backups.services import jobs, repositories, runs
from backups.services.jobs import JobDefinition
from backups.sources import paths as spelling
from phpborg.crypto import EncryptedField
from phpborg.tasks.models import Task
from phpborg.tasks.states import Trigger
from servers.models import Server

PASSPHRASE = "canary $HOME '\" \\ phrase"


@pytest.fixture
def pool(db: None, tmp_path: Path) -> StoragePool:
    """A pool in the test's own directory."""
    path = tmp_path / "pool"
    path.mkdir()
    return StoragePool.objects.create(name="pool", path=str(path), is_default=True)


@pytest.fixture
def local_server(db: None) -> Server:
    """This machine."""
    return Server.objects.create(name="localhost", kind=Server.Kind.LOCAL, state=Server.State.READY)


@pytest.fixture
def repository(pool: StoragePool) -> Repository:
    """A repository as a row only: for tests that do not run borg."""
    return Repository.objects.create(
        pool=pool,
        name="repo",
        path=f"{pool.path}/repo",
        encryption="repokey-blake2",
        passphrase=EncryptedField.seal(PASSPHRASE),
        borg_id="ab" * 32,
    )


@pytest.fixture
def real_repository(pool: StoragePool) -> Repository:
    """A repository that borg made, with an awkward passphrase."""
    return repositories.create_repository(pool=pool, name="real", passphrase=PASSPHRASE, compression="lz4")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Something to back up."""
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "a.txt").write_text("alpha\n")
    (source / "sub" / "b.bin").write_bytes(os.urandom(50_000))
    (source / "link").symlink_to("a.txt")
    return source


MakeJob = Callable[..., BackupJob]


@pytest.fixture
def make_job(local_server: Server) -> MakeJob:
    """`make_job(repository, path, …)`: a files job."""

    def make(repository: Repository, *paths: Path | bytes, server: Server | None = None, **more: Any) -> BackupJob:
        raw = [path if isinstance(path, bytes) else os.fsencode(path) for path in paths]
        source = {"paths": [spelling.to_json(path) for path in raw], **more.pop("source", {})}
        number = BackupJob.objects.count() + 1
        values = {"name": f"job {number}", "server": server or local_server, "repository": repository, "source": source}
        return jobs.create_job(definition=JobDefinition(**{**values, **more}))

    return make


RunJob = Callable[..., Task]


@pytest.fixture
def run_job(run_pending: Callable[..., list[Task]]) -> RunJob:
    """Run a job inline; answers its ended task."""

    def run(job: BackupJob) -> Task:
        task = runs.start_backup(job=job, trigger=Trigger.COMMAND)
        run_pending(kind="backup")
        task.refresh_from_db()
        return task

    return run


def archive_of(task: Task) -> Archive:
    """The archive that a task made."""
    return Archive.objects.get(pk=task.result["archive"])
