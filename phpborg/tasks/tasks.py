"""System tasks of the queue itself."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from phpborg.tasks import reaper
from phpborg.tasks.context import TaskContext
from phpborg.tasks.registry import Finding, Outcome, kind
from phpborg.tasks.states import State


@kind("cleanup", label=_("Clean-up"), queue="system", is_system=True, retryable=False)
def run_cleanup(context: TaskContext) -> Outcome:
    """Remove what a lost or ended task left behind."""
    if reaper.clean_task(context.params["task"]):
        return Outcome()
    return Outcome(State.NOTES, (Finding("left", "something resists removal and is tried again"),))
