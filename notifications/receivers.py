"""Listens to the end of every task."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from notifications.services import rules
from phpborg.tasks.models import Task
from phpborg.tasks.registry import task_finished


@receiver(task_finished, dispatch_uid="notifications.task_ended")
def task_ended(sender: Any, task: Task, **_: Any) -> None:
    """An exception here is logged by the runner and changes nothing."""
    rules.task_ended(task)
