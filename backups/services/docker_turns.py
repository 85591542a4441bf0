"""Whose turn it is at an engine: what a restore stops and exchanges is read by no backup meanwhile.

A task has one resource that it shares with nobody. Restores and what undoes them have their server's engine; backups
have their repository. So each looks for the other: a backup is refused while a restore runs, a restore waits for a
backup. Both are running by then, so that never both go on, and never both wait.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from django.db.models import QuerySet
from django.utils.translation import gettext_noop

from backups.docker_errors import RestoreRuns
from backups.models import BackupJob, Repository
from phpborg.tasks.context import TaskContext
from phpborg.tasks.models import Task

# A restore in this phase writes into its repository.
PROTECTING = "protecting"
_LOOK_SECONDS = 2.0
# What changes containers; `docker_forget` removes only what no backup reads.
_CHANGING = ("docker_restore", "docker_rollback")


def exclusive_of(server: uuid.UUID | None) -> str:
    """What only one task may have that changes this server's engine."""
    return f"docker:{server}"


def begin_backup(context: TaskContext, job: BackupJob) -> None:
    """Raises RestoreRuns; waits while a restore writes its safety archive into the same repository."""
    if job.source_kind == "docker":
        there = Task.objects.running().filter(kind__in=_CHANGING, exclusive=exclusive_of(job.server_id))
        if there.exists():
            raise RestoreRuns(server=job.server.name)
    writing = _protecting(job.repository_id)
    _wait(context, gettext_noop("Wait for a restore that writes its safety archive"), writing.exists)


def _protecting(repository: uuid.UUID) -> QuerySet[Task]:
    return Task.objects.running().filter(kind="docker_restore", phase=PROTECTING, repository_ref=repository)


def await_backups(context: TaskContext, server: uuid.UUID) -> None:
    """Until no backup of this server's engine runs."""
    jobs = BackupJob.objects.filter(server=server, source_kind="docker").values_list("pk", flat=True)
    reading = Task.objects.running().filter(kind="backup", job_ref__in=list(jobs))
    _wait(context, gettext_noop("Wait for the backup of this engine that is running"), reading.exists)


def await_repository(context: TaskContext, repository: Repository) -> None:
    """Until nobody else writes into the repository; from then on backups wait for us. Borg's own lock is behind it."""
    me = str(context.task.pk)
    others = Task.objects.beside(me, repository.exclusive)
    restores = _protecting(repository.pk).exclude(pk=me)
    words = gettext_noop("Wait for the other writer of the repository")
    _wait(context, words, lambda: others.exists() or restores.exists())
    context.phase(PROTECTING)


def _wait(context: TaskContext, title: str, is_busy: Callable[[], bool]) -> None:
    """Visibly; raises what ends the task."""
    if not is_busy():
        return
    context.phase("waiting")
    with context.step("turn", title):
        while is_busy():
            context.stop.wait(_LOOK_SECONDS)
            context.stop.check()
