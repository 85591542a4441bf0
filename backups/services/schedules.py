"""When jobs run: schedules set, previewed, and claimed so that two clocks never start one run twice."""

from __future__ import annotations

import logging
import zoneinfo
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import formats, timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from backups.models import BackupJob, Schedule
from phpborg.errors import InvalidInput
from phpborg.scheduling import cron as crons
from phpborg.scheduling.cron import Cron, CronInvalid
from phpborg.ui.html import MOMENTS
from phpborg.ui.models import Installation

log = logging.getLogger(__name__)
PREVIEWED = 10


def zone_of(name: str) -> zoneinfo.ZoneInfo:
    """The declared zone. Raises InvalidInput for one that this system does not know."""
    if name in zoneinfo.available_timezones():
        return zoneinfo.ZoneInfo(name)
    raise InvalidInput(field=_("Time zone"), problem=_("this time zone is not known"))


def _moment_format() -> str:
    """As every other moment of the interface is written."""
    return MOMENTS.get(get_language() or "", MOMENTS["en"])


@dataclass(frozen=True)
class ShownRun:
    """A run to come, as the zone's clock shows it."""

    at: datetime
    local: datetime
    shifted: bool

    @property
    def local_text(self) -> str:
        """The local time with its weekday, in the active language; pages must not convert it to their reader's zone."""
        return formats.date_format(self.local, "D ") + formats.date_format(self.local, _moment_format())


@dataclass(frozen=True)
class Preview:
    """A schedule in words, and its next runs as the zone's clock shows them."""

    cron: Cron
    zone: str
    words: str
    notes: tuple[str, ...]
    runs: tuple[ShownRun, ...]
    clock_change: str


def preview(*, cron: str, zone: str, seed: str = "", after: datetime | None = None, count: int = PREVIEWED) -> Preview:
    """What this text means. Raises CronInvalid, InvalidInput."""
    place = zone_of(zone)
    parsed = crons.parse(cron, seed=seed)
    coming = parsed.next_runs(after or timezone.now(), place, count)
    runs = tuple(ShownRun(run.at, run.local, run.shifted) for run in coming)
    return Preview(parsed, zone, crons.words(parsed), tuple(crons.notes(parsed)), runs, _clock_change(runs))


def _clock_change(runs: tuple[ShownRun, ...]) -> str:
    """A remark when the clock changes between the previewed runs."""
    if any(run.shifted for run in runs):
        return _("One of these runs falls into an hour that the clock skips: it starts when the clock has jumped.")
    offsets = {run.local.utcoffset() for run in runs}
    if len(offsets) > 1:
        return _("The clock changes between these runs: each stays at its local time and happens exactly once.")
    return ""


def set_schedule(*, job: BackupJob, cron: str, zone: str = "") -> Schedule | None:
    """Give the job this schedule; an empty text means “by hand only” and removes it.

    Raises CronInvalid, InvalidInput.
    """
    if not cron.strip():
        Schedule.objects.filter(job=job).delete()
        return None
    zone = zone or Installation.load().zone_name
    zone_of(zone)
    text = crons.parse(cron, seed=str(job.pk)).text
    schedule, _made = Schedule.objects.update_or_create(job=job, defaults={"cron": text, "zone": zone})
    plan_next(schedule)
    return schedule


def next_run_of(schedule: Schedule, after: datetime) -> datetime | None:
    """The first run after that moment. Raises CronInvalid, InvalidInput when the row is damaged."""
    run = crons.parse(schedule.cron, seed=str(schedule.job_id)).next_run(after, zone_of(schedule.zone))
    return run.at if run else None


def plan_next(schedule: Schedule, *, after: datetime | None = None) -> None:
    """Write down the next run; none while the job or the schedule is switched off."""
    active = schedule.enabled and schedule.job.enabled
    schedule.next_run_at = next_run_of(schedule, after or timezone.now()) if active else None
    Schedule.objects.filter(pk=schedule.pk).update(next_run_at=schedule.next_run_at)


def describe(schedule: Schedule) -> str:
    """The schedule as a sentence; a damaged row says so instead of raising."""
    try:
        return crons.words(crons.parse(schedule.cron, seed=str(schedule.job_id)))
    except CronInvalid as error:
        return str(error)


def due(now: datetime) -> list[Schedule]:
    """The schedules whose time has come, longest overdue first."""
    rows = Schedule.objects.filter(next_run_at__lte=now, enabled=True, job__enabled=True)
    return list(rows.select_related("job", "job__server", "job__repository").order_by("next_run_at"))


def claim(schedule: Schedule, now: datetime) -> bool:
    """Take this due run for us and write down the one after now: runs that were missed are caught up once.

    False when another clock was faster.
    """
    following = next_run_of(schedule, now)
    taken = Schedule.objects.filter(pk=schedule.pk, next_run_at=schedule.next_run_at, enabled=True).update(
        next_run_at=following, last_due_at=schedule.next_run_at
    )
    return taken == 1


def put_aside(schedule: Schedule) -> None:
    """A row that cannot be read must not be tried at every tick; its job's page says what is wrong."""
    Schedule.objects.filter(pk=schedule.pk, next_run_at=schedule.next_run_at).update(next_run_at=None)


def as_json(schedule: Schedule | None) -> dict[str, Any] | None:
    """For `--json` outputs."""
    if schedule is None:
        return None
    return {
        "cron": schedule.cron,
        "zone": schedule.zone,
        "enabled": schedule.enabled,
        "next_run_at": schedule.next_run_at.isoformat() if schedule.next_run_at else None,
    }
