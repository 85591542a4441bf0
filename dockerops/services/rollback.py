"""Undoing a Docker restore: at once when it fails, by one click while its former state is kept, after a kill."""

from __future__ import annotations

from typing import Any

from dockerops.models import DockerRestore
from phpborg.tasks.context import TaskContext
from phpborg.tasks.models import Task
from phpborg.tasks.registry import Outcome
from phpborg.tasks.states import Trigger

KIND = "docker_rollback"


def start(*, restore: DockerRestore, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Queue the rollback; the one that is going on when there is one. Raises NothingKept, StillUndoing."""
    raise NotImplementedError


def task_of(restore: DockerRestore) -> Task | None:
    """The last rollback that somebody asked for."""
    return Task.objects.filter(pk=restore.rollback_task).first() if restore.rollback_task else None


def carry_out(context: TaskContext) -> Outcome:
    """Everything back in reverse. Raises RollbackFailed with what is left."""
    raise NotImplementedError
