"""A restore and a backup of the same engine, or of the same repository: whose turn it is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest

from backups.docker_errors import RestoreRuns
from backups.models import BackupJob
from backups.services import docker_turns
from dockerops.models import DockerRestore
from phpborg.tasks.models import Task
from phpborg.tasks.states import State
from tests.dockerops import rows

pytestmark = pytest.mark.django_db


class Waited(Exception):
    """It would have waited."""


class FakeContext:
    """Ends whoever waits."""

    def __init__(self, task: Task) -> None:
        self.task, self.stop = task, self

    def phase(self, name: str) -> None:
        Task.objects.filter(pk=self.task.pk).update(phase=name)

    @contextmanager
    def step(self, code: str, title: str) -> Any:
        yield {}

    def wait(self, seconds: float) -> None:
        raise Waited

    def check(self) -> None:
        raise Waited


@pytest.fixture
def row() -> DockerRestore:
    return rows.record(None)


def job_of(row: DockerRestore, kind: str = "docker") -> BackupJob:
    assert row.archive
    return BackupJob.objects.create(
        name=kind, server=row.server, repository=row.archive.repository, source_kind=kind, source={}
    )


def task(row: DockerRestore, kind: str, **more: Any) -> Task:
    assert row.archive
    values = {"state": State.RUNNING, "repository_ref": row.archive.repository_id, "server_ref": row.server_id, **more}
    return Task.objects.create(kind=kind, queue="restore", **values)


def context(row: DockerRestore, kind: str = "backup") -> Any:
    return FakeContext(task(row, kind))


@pytest.mark.parametrize("kind", ["docker_restore", "docker_rollback"])
def test_fake_an_engine_that_is_being_changed_is_not_backed_up(row: DockerRestore, kind: str) -> None:
    key = docker_turns.exclusive_of(row.server_id)
    task(row, kind, exclusive=key)
    with pytest.raises(RestoreRuns):
        docker_turns.begin_backup(context(row), job_of(row))
    docker_turns.begin_backup(context(row), job_of(row, "files"))
    Task.objects.filter(exclusive=key).update(state=State.SUCCESS)
    docker_turns.begin_backup(context(row), BackupJob.objects.get(name="docker"))


def test_fake_a_restore_waits_for_a_backup_of_its_engine_and_for_no_other(row: DockerRestore) -> None:
    files, docker = job_of(row, "files"), job_of(row)
    task(row, "backup", job_ref=files.pk)
    docker_turns.await_backups(context(row), row.server_id)  # type: ignore[arg-type]
    task(row, "backup", job_ref=docker.pk)
    with pytest.raises(Waited):
        docker_turns.await_backups(context(row), row.server_id)  # type: ignore[arg-type]


def test_fake_who_writes_a_safety_archive_waits_for_writers_and_writers_for_it(row: DockerRestore) -> None:
    assert row.archive
    repository = row.archive.repository
    other = task(row, "prune", exclusive=repository.exclusive)
    me = context(row, "docker_restore")
    with pytest.raises(Waited):
        docker_turns.await_repository(me, repository)
    Task.objects.filter(pk=other.pk).update(state=State.SUCCESS)
    docker_turns.await_repository(me, repository)
    with pytest.raises(Waited):
        docker_turns.begin_backup(context(row), job_of(row, "files"))
    with pytest.raises(Waited):
        docker_turns.await_repository(context(row, "docker_restore"), repository)
    me.phase("placing")
    docker_turns.begin_backup(context(row), BackupJob.objects.get(name="files"))
