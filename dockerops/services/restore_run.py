"""One Docker restore, from the facts to the proof. Carries out the plan that was shown."""

from __future__ import annotations

from phpborg.tasks.context import TaskContext
from phpborg.tasks.registry import Outcome


def carry_out(context: TaskContext) -> Outcome:
    """The function behind the task kind “docker_restore”."""
    raise NotImplementedError
