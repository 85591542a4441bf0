"""The plan of a Docker restore, as the row stands."""

from __future__ import annotations

from typing import Any

from dockerops.models import DockerRestore


def plan_of(restore: DockerRestore) -> Any:
    """plan.DockerPlan for the contents, the choice, the options and the target as it was seen with the conflicts.

    Raises NotLookedYet, ConflictsUnknown, and NotPlanned with the conflicts that forbid it.
    """
    raise NotImplementedError


def script_of(restore: DockerRestore, form: str) -> str:
    """The plan as bash, `form` is simple or advanced; of a started restore the plan that was carried out."""
    raise NotImplementedError
