"""Conflicts: what stands on the target in the way of what is chosen. Asked from the server, kept with their time."""

from __future__ import annotations

from typing import Any

from dockerops.models import DockerRestore
from phpborg.tasks import queue
from phpborg.tasks.context import TaskContext
from phpborg.tasks.models import Task
from phpborg.tasks.registry import Outcome
from phpborg.tasks.states import Trigger

KIND = "docker_conflicts"


def start(*, restore: DockerRestore, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Ask the target anew; the question that is going on when there is one. Raises NotLookedYet, EngineUnknown."""
    raise NotImplementedError


def task_of(restore: DockerRestore) -> Task | None:
    """The last time that it was asked."""
    return Task.objects.filter(pk=restore.conflicts_task).first() if restore.conflicts_task else None


def conflicts_of(restore: DockerRestore) -> tuple[Any, ...]:
    """conflicts.Conflict as they are in the row; () also when nobody has asked (see `is_current`)."""
    raise NotImplementedError


def is_current(restore: DockerRestore) -> bool:
    """Were they asked for just what is chosen now?"""
    return restore.conflicts_at is not None


def standing(restore: DockerRestore) -> tuple[Any, ...]:
    """Those that still forbid a start: they block, or nobody has agreed to them."""
    raise NotImplementedError


def carry_out(context: TaskContext) -> Outcome:
    """Inventory of the target, conflicts, row."""
    raise NotImplementedError


_ = queue
