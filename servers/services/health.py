"""A server's health in a word, worst first, with its colour and icon."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Health(models.TextChoices):
    """What a glance at the fleet must tell. The order is the order of urgency."""

    IDENTITY = "identity", _("Identity changed")
    SETUP_FAILED = "setup-failed", _("Set-up failed")
    FAILING = "failing", _("Backup failing")
    LATE = "late", _("Overdue")
    NEW = "new", _("To be set up")
    NO_JOB = "no-job", _("No active job")
    NO_ARCHIVE = "no-archive", _("No archive yet")
    GOOD = "good", _("Good")

    @property
    def tone(self) -> str:
        """The colour's name in the design tokens."""
        return _LOOKS[self][0]

    @property
    def icon(self) -> str:
        """The symbol's name in static/icons.svg."""
        return _LOOKS[self][1]


_LOOKS = {
    Health.IDENTITY: ("bad", "warning"),
    Health.SETUP_FAILED: ("bad", "cross"),
    Health.FAILING: ("bad", "cross"),
    Health.LATE: ("warn", "clock"),
    Health.NEW: ("neutral", "clock"),
    Health.NO_JOB: ("warn", "note"),
    Health.NO_ARCHIVE: ("neutral", "clock"),
    Health.GOOD: ("good", "check"),
}
