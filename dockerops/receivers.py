"""What this app does when something happens elsewhere: a task ended."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from dockerops.services import ending
from phpborg.tasks.models import Task
from phpborg.tasks.registry import task_finished


@receiver(task_finished, dispatch_uid="dockerops.restore_ended")
def end_restore(task: Task, **_kwargs: Any) -> None:
    """Cancelled before its turn, or lost: the record of a restore ends as its task does."""
    ending.follow(task)
