"""What is kept aside of the former state: until its window ends, or until somebody lets it go."""

from __future__ import annotations

from typing import Any

from dockerops.models import DockerRestore
from phpborg.tasks.context import TaskContext
from phpborg.tasks.models import Task
from phpborg.tasks.registry import Outcome
from phpborg.tasks.states import Trigger

KIND = "docker_forget"


def start_forget(*, restore: DockerRestore, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Queue the removal of what is kept. Raises NothingKept, StillUndoing."""
    raise NotImplementedError


def carry_out(context: TaskContext) -> Outcome:
    """Forget on the server, and in the row."""
    raise NotImplementedError
