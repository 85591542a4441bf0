"""The states of a task, with their words, colours and icons."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class State(models.TextChoices):
    """Waiting states, running, then exactly one final state."""

    WAITING = "waiting", _("Waiting")
    BLOCKED = "blocked", _("Waiting for the repository")
    RUNNING = "running", _("Running")
    SUCCESS = "success", _("Success")
    NOTES = "notes", _("Success with notes")
    INCOMPLETE = "incomplete", _("Incomplete")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")
    LOST = "lost", _("Lost")

    @property
    def is_final(self) -> bool:
        return self in FINAL

    @property
    def is_good(self) -> bool:
        """The work was done; notes are allowed, unread paths are not."""
        return self in GOOD

    @property
    def tone(self) -> str:
        """The colour's name in the design tokens."""
        return _TONES[self]

    @property
    def icon(self) -> str:
        """The symbol's name in static/icons.svg."""
        return _ICONS[self]


PENDING = (State.WAITING, State.BLOCKED)
ACTIVE = (*PENDING, State.RUNNING)
GOOD = (State.SUCCESS, State.NOTES)
BAD = (State.INCOMPLETE, State.FAILED, State.LOST)
FINAL = (*GOOD, *BAD, State.CANCELLED)

_TONES = {
    State.WAITING: "neutral",
    State.BLOCKED: "neutral",
    State.RUNNING: "info",
    State.SUCCESS: "good",
    State.NOTES: "good",
    State.INCOMPLETE: "warn",
    State.FAILED: "bad",
    State.CANCELLED: "neutral",
    State.LOST: "bad",
}
_ICONS = {
    State.WAITING: "clock",
    State.BLOCKED: "lock",
    State.RUNNING: "play",
    State.SUCCESS: "check",
    State.NOTES: "note",
    State.INCOMPLETE: "warning",
    State.FAILED: "cross",
    State.CANCELLED: "stop",
    State.LOST: "question",
}


class StepState(models.TextChoices):
    """One step inside a task."""

    PENDING = "pending", _("To do")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    SKIPPED = "skipped", _("Not needed")
    WARNING = "warning", _("Attention")
    FAILED = "failed", _("Failed")


class Trigger(models.TextChoices):
    """Who or what asked for a task."""

    MANUAL = "manual", _("By hand")
    SCHEDULE = "schedule", _("By schedule")
    COMMAND = "command", _("From the command line")
    SYSTEM = "system", _("By the system")
    RETRY = "retry", pgettext_lazy("why a task runs", "Retry")
