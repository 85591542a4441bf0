"""Kinds of task of this room: look, conflicts, restore, rollback, forget. Their functions are the services'."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from dockerops.services import detecting, looking, protection, restore_run, rollback
from phpborg.tasks.context import TaskContext
from phpborg.tasks.registry import Outcome, kind


@kind("docker_look", label=_("Look for Docker in an archive"), queue="quick", is_system=True)
def run_look(context: TaskContext) -> Outcome:
    """What of Docker an archive holds; see services/looking.py."""
    return looking.carry_out(context)


@kind("docker_conflicts", label=_("Look for conflicts of a Docker restore"), queue="quick", is_system=True)
def run_conflicts(context: TaskContext) -> Outcome:
    """What on the target stands in the way; see services/detecting.py."""
    return detecting.carry_out(context)


@kind("docker_restore", label=_("Docker restore"), queue="restore", retryable=False)
def run_restore(context: TaskContext) -> Outcome:
    """Carry out a plan; see services/restore_run.py."""
    return restore_run.carry_out(context)


@kind("docker_rollback", label=_("Undo a Docker restore"), queue="restore", retryable=False)
def run_rollback(context: TaskContext) -> Outcome:
    """Bring the former state back; see services/rollback.py."""
    return rollback.carry_out(context)


@kind("docker_forget", label=_("Let go what a Docker restore kept"), queue="system", is_system=True)
def run_forget(context: TaskContext) -> Outcome:
    """Remove what was kept aside; see services/protection.py."""
    return protection.carry_out(context)
