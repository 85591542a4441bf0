"""The schedules that most people want, as a few choices instead of a cron text."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models
from django.utils.translation import gettext_lazy as _

from phpborg.scheduling.cron import parse
from phpborg.scheduling.errors import CronInvalid


class PresetKind(models.TextChoices):
    """How often."""

    HOURLY = "hourly", _("Every hour")
    DAILY = "daily", _("Every day")
    WEEKLY = "weekly", _("Every week")
    MONTHLY = "monthly", _("Every month")


@dataclass(frozen=True)
class Preset:
    """A simple schedule; only the values that `kind` uses count. Sunday is weekday 0."""

    kind: PresetKind
    minute: int = 0
    hour: int = 2
    weekdays: tuple[int, ...] = (1,)
    day: int = 1

    @property
    def text(self) -> str:
        """As cron text, in the spelling that `preset_of` reads back."""
        weekdays = ",".join(str(weekday) for weekday in sorted(set(self.weekdays)))
        match self.kind:
            case PresetKind.HOURLY:
                return f"{self.minute} * * * *"
            case PresetKind.DAILY:
                return f"{self.minute} {self.hour} * * *"
            case PresetKind.WEEKLY:
                return f"{self.minute} {self.hour} * * {weekdays}"
            case PresetKind.MONTHLY:
                return f"{self.minute} {self.hour} {self.day} * *"


def preset_of(text: str) -> Preset | None:
    """The preset that means the same as this cron text; None when it takes the full syntax to say it."""
    try:
        cron = parse(text)
    except CronInvalid:
        return None
    if cron.spread or len(cron.minute.values) > 1 or len(cron.month.values) < 12:
        return None
    minute, hour = cron.minute.values[0], cron.hour.values[0]
    every_date, every_weekday = cron.day.text == "*", cron.weekday.text == "*"
    if cron.every_hour:
        return Preset(PresetKind.HOURLY, minute=minute) if every_date and every_weekday else None
    if len(cron.hour.values) > 1:
        return None
    if every_date and every_weekday:
        return Preset(PresetKind.DAILY, minute=minute, hour=hour)
    if every_date:
        return Preset(PresetKind.WEEKLY, minute=minute, hour=hour, weekdays=cron.weekday.values)
    if every_weekday and len(cron.day.values) == 1:
        return Preset(PresetKind.MONTHLY, minute=minute, hour=hour, day=cron.day.values[0])
    return None
