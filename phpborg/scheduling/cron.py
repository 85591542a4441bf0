"""Cron texts: parse, and find the next runs in a time zone so that a clock change neither doubles nor loses one.

Five fields (minute, hour, day of the month, month, day of the week), names, ranges, lists, steps, and
`H`. When both day fields are restricted, either is enough; a day field that contains `*` (also `*/2`)
must hold together with the other, as crontab(5) says.

Clock changes. A schedule with fixed hours means times of the wall clock: each runs once. In the hour
that is skipped it runs at the moment the clock jumps; in the hour that is repeated it runs the first
time. A schedule of every hour (the hour field covers all 24) means elapsed time: it runs in the
repeated hour again, and has nothing to do in the skipped one.
"""

from __future__ import annotations

import calendar
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from phpborg.scheduling.errors import CronInvalid
from phpborg.scheduling.fields import DAY, HOUR, KINDS, Field, parse_field
from phpborg.scheduling.words import notes, words

__all__ = ["Cron", "CronInvalid", "Run", "notes", "parse", "words"]

_LONGEST_TEXT = 200
# 29 February on one given weekday comes at least every 40 years, also across 2100.
_SEARCH_YEARS = 41
_LAST_YEAR = 9990


@dataclass(frozen=True)
class Run:
    """One run to come: `at` in UTC, `local` as the zone's clock shows it, `shifted` out of a skipped hour.

    Count and compare with `at`: Python never finds a local time in a repeated hour equal to its UTC.
    """

    at: datetime
    local: datetime
    shifted: bool


@dataclass(frozen=True)
class Cron:
    """A valid schedule; `text` has one space between fields and capital letters."""

    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    @property
    def text(self) -> str:
        """The five fields as they were written."""
        return " ".join(field.text for field in (self.minute, self.hour, self.day, self.month, self.weekday))

    @property
    def spread(self) -> bool:
        """Does the seed decide a part of it?"""
        return any(field.spread for field in (self.minute, self.hour, self.day, self.month, self.weekday))

    @property
    def every_hour(self) -> bool:
        """Does it run by elapsed time rather than at fixed hours of the wall clock?"""
        return len(self.hour.values) == HOUR.count

    @property
    def either_day(self) -> bool:
        """Is the day of the month or the day of the week enough, rather than both?"""
        return not self.day.starred and not self.weekday.starred

    def next_run(self, after: datetime, zone: ZoneInfo) -> Run | None:
        """The first run strictly after that moment; None only at the end of the calendar."""
        if after.tzinfo is None:
            raise ValueError("`after` must be aware")
        moment = after.astimezone(UTC)
        if moment.year >= _LAST_YEAR:
            return None
        at = self._next_elapsed(moment, zone) if self.every_hour else self._next_fixed(moment, zone)
        if at is None:
            return None
        local = at.astimezone(zone)
        return Run(at=at, local=local, shifted=not self._holds_at(local))

    def next_runs(self, after: datetime, zone: ZoneInfo, count: int) -> list[Run]:
        """The next runs strictly after that moment, at most `count`, each later than the one before."""
        found: list[Run] = []
        moment = after
        while len(found) < count and (run := self.next_run(moment, zone)):
            found.append(run)
            moment = run.at
        return found

    def days_in(self, year: int, month: int) -> list[int]:
        """The days of that month on which it runs (whether or not the month itself is chosen)."""
        first, length = calendar.monthrange(year, month)
        days, weekdays = self._day_sets
        # `first` counts from Monday = 0, cron from Sunday = 0.
        if self.either_day:
            return [day for day in range(1, length + 1) if day in days or (first + day) % 7 in weekdays]
        return [day for day in range(1, length + 1) if day in days and (first + day) % 7 in weekdays]

    @cached_property
    def _day_sets(self) -> tuple[frozenset[int], frozenset[int]]:
        return frozenset(self.day.values), frozenset(self.weekday.values)

    @cached_property
    def _times(self) -> tuple[timedelta, ...]:
        """The times of a day, as distances from midnight, ascending."""
        return tuple(
            timedelta(hours=hour, minutes=minute) for hour in self.hour.values for minute in self.minute.values
        )

    def _holds_on(self, day: date) -> bool:
        return day.month in self.month.values and day.day in self.days_in(day.year, day.month)

    def _holds_at(self, local: datetime) -> bool:
        return (
            local.minute in self.minute.values
            and local.hour in self.hour.values
            and not local.second
            and self._holds_on(local.date())
        )

    def _dates_from(self, start: date) -> Iterator[date]:
        """Its dates from `start` on, ascending."""
        for year in range(start.year, min(start.year + _SEARCH_YEARS, _LAST_YEAR) + 1):
            for month in self.month.values:
                if (year, month) < (start.year, start.month):
                    continue
                for day in self.days_in(year, month):
                    found = date(year, month, day)
                    if found >= start:
                        yield found

    def _next_fixed(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """The first wall-clock time that the zone reaches after `moment`.

        Reaching a time for the first time is monotone in that time, so the dates before today's and
        the times up to now cannot be ahead, and the rest can be searched by halves.
        """
        for day in self._dates_from(moment.astimezone(zone).date()):
            midnight = datetime.combine(day, time())

            def reached(distance: timedelta, midnight: datetime = midnight) -> datetime:
                return _first_reached(midnight + distance, zone)

            place = bisect_right(self._times, moment, key=reached)
            if place < len(self._times):
                return reached(self._times[place])
        return None

    def _next_elapsed(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """The first minute after `moment` whose local date and minute are chosen, whatever the hour."""
        at = _next_minute(moment, zone)
        while True:
            local = at.astimezone(zone)
            if self._yesterday_returns(at, local, zone):
                at = _next_minute(at, zone)
            elif not self._holds_on(local.date()):
                start = self._start_of_next_date(at, local, zone)
                if start is None:
                    return None
                at = start
            elif local.minute in self.minute.values and not local.second:
                return at
            else:
                at = self._skip_minutes(at, local, zone)

    def _yesterday_returns(self, at: datetime, local: datetime, zone: ZoneInfo) -> bool:
        """Not today, but yesterday was chosen, and a clock set back over midnight will show it again."""
        if self._holds_on(local.date()) or not self._holds_on(local.date() - timedelta(days=1)):
            return False
        return at < _instant(datetime.combine(local.date(), time()), zone, fold=1)

    def _start_of_next_date(self, at: datetime, local: datetime, zone: ZoneInfo) -> datetime | None:
        for day in self._dates_from(local.date()):
            midnight = datetime.combine(day, time())
            first = _first_reached(midnight, zone)
            # A clock set back over midnight reaches the same date again.
            return first if first > at else _instant(midnight, zone, fold=1)
        return None

    def _skip_minutes(self, at: datetime, local: datetime, zone: ZoneInfo) -> datetime:
        """Go to the next chosen minute, or by one minute where the clock changes on the way."""
        later = [minute for minute in self.minute.values if minute > local.minute]
        ahead = (later[0] if later else self.minute.values[0] + 60) - local.minute
        jump = at + timedelta(minutes=ahead)
        if not local.second and jump.astimezone(zone).utcoffset() == local.utcoffset():
            return jump
        return _next_minute(at, zone)


def parse(text: str, *, seed: str = "") -> Cron:
    """A schedule from its five fields; `H` is decided by `seed` (a job's id). Raises CronInvalid."""
    if len(text) > _LONGEST_TEXT:
        raise _refuse(_("it is longer than {limit} characters.").format(limit=_LONGEST_TEXT))
    parts = text.split()
    if len(parts) != len(KINDS):
        raise _refuse(_wrong_count(parts))
    cron = Cron(*(parse_field(kind, part, seed) for kind, part in zip(KINDS, parts, strict=True)))
    if not cron.either_day and not _ever_comes(cron):
        raise DAY.refuse(_("this date never comes: none of the chosen months has such a day."))
    return cron


def _refuse(problem: str) -> CronInvalid:
    return CronInvalid(key="expression", field=_("cron text"), problem=problem)


def _wrong_count(parts: list[str]) -> str:
    if parts and parts[0].startswith("@"):
        return _("“{word}” is not supported, write five fields.").format(word=parts[0])
    if len(parts) > len(KINDS):
        return _("it has {count} fields, but only five are read: there are no seconds and no years.").format(
            count=len(parts)
        )
    return _("five fields are needed, separated by spaces; it has {count}.").format(count=len(parts))


def _ever_comes(cron: Cron) -> bool:
    """Is there a chosen month that is long enough, at least in a leap year?"""
    return any(cron.day.values[0] <= calendar.monthrange(2000, month)[1] for month in cron.month.values)


def _instant(naive: datetime, zone: ZoneInfo, *, fold: int) -> datetime:
    return naive.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _first_reached(naive: datetime, zone: ZoneInfo) -> datetime:
    """The first moment at which the zone's clock shows that time or, jumping over it, a later one."""
    first, second = _instant(naive, zone, fold=0), _instant(naive, zone, fold=1)
    if first <= second:
        return first
    # In a gap: `second` lies before the jump and `first` not before it. Find the jump between them.
    before, after = second, first
    offset = after.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if middle.astimezone(zone).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return after


def _next_minute(moment: datetime, zone: ZoneInfo) -> datetime:
    """The next moment, strictly later, at which the zone's clock shows a whole minute."""
    local = moment.astimezone(zone)
    return moment + timedelta(seconds=60 - local.second, microseconds=-local.microsecond)
