"""What this room makes outside, and how it is removed: a restore that is not done is undone."""

from __future__ import annotations

from typing import Any

from dockerops.services import drill_removing, protection, undoing
from phpborg.tasks.registry import lease_kind


@lease_kind("docker_restore")
def remove_restore(data: dict[str, Any]) -> None:
    """A restore that is not done: it is undone."""
    undoing.remove_restore(data)


@lease_kind("docker_kept")
def remove_kept(data: dict[str, Any]) -> None:
    """What was kept aside of the former state, after its window."""
    protection.let_go(data)


@lease_kind("docker_safety")
def remove_safety(data: dict[str, Any]) -> None:
    """The archive of what a restore has replaced, after its window."""
    protection.let_go_archive(data)


@lease_kind("docker_drill")
def remove_drill(data: dict[str, Any]) -> None:
    """A drill: after any end nothing of it is left."""
    drill_removing.remove(data)
