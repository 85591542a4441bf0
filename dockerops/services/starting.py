"""One way into the queue for a Docker restore: the plan that was shown is fixed in the row, then carried out."""

from __future__ import annotations

from typing import Any

from dockerops.models import DockerRestore
from phpborg.tasks.models import Task
from phpborg.tasks.states import Trigger

KIND = "docker_restore"


def start(*, restore: DockerRestore, plan_hash: str, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Fix the plan and queue it. A draft that was started meanwhile answers its task.

    `plan_hash` is what the person saw. Raises PlanChanged when the row gives another plan by now, and ConflictsUnknown
    and ConflictsOpen.
    """
    raise NotImplementedError
