"""A schedule as a sentence in the active language, and what may surprise about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext

from phpborg.scheduling.fields import DAY, MINUTE, WEEKDAY, Field, even_step, stretches

if TYPE_CHECKING:
    from phpborg.scheduling.cron import Cron

_MANY = 6

# As cron counts: Sunday is 0.
_ON_WEEKDAYS: tuple[str | Promise, ...] = (
    gettext_lazy("on Sundays"),
    gettext_lazy("on Mondays"),
    gettext_lazy("on Tuesdays"),
    gettext_lazy("on Wednesdays"),
    gettext_lazy("on Thursdays"),
    gettext_lazy("on Fridays"),
    gettext_lazy("on Saturdays"),
)


def words(cron: Cron) -> str:
    """When it runs, as a phrase that can follow “Runs”: “every day at 02:00”."""
    times, at_clock = _elapsed(cron) if cron.every_hour else _fixed(cron)
    days = _days(cron)
    if at_clock:
        sentence = _("{days} {times}").format(days=days or _("every day"), times=times)
    elif days:
        sentence = _("{times}, {days}").format(times=times, days=days)
    else:
        sentence = times
    if len(cron.month.values) < 12:
        sentence = _("{months}, {sentence}").format(months=_months(cron.month.values), sentence=sentence)
    return sentence


def notes(cron: Cron) -> list[str]:
    """Sentences on what a reader may not expect of this schedule; often none."""
    found: list[str] = []
    if 60 % cron.minute.step:
        found.append(_("The minutes start again at 0 in every hour, so the last pause of an hour is shorter."))
    if 24 % cron.hour.step:
        found.append(_("The hours start again at 0 on every day, so the last pause of a day is shorter."))
    if cron.day.step > 1:
        found.append(_("The days start again at 1 in every month, so the last pause of a month is different."))
    if cron.weekday.step > 1:
        found.append(_("The days start again on Sunday in every week, so the last pause of a week is different."))
    if 12 % cron.month.step:
        found.append(_("The months start again in January, so the last pause of a year is shorter."))
    return found + _notes_on_days(cron)


def _notes_on_days(cron: Cron) -> list[str]:
    if cron.either_day:
        return [_("The day of the month or the day of the week: either is enough.")]
    found: list[str] = []
    if cron.day.text != "*" and cron.weekday.text != "*":
        found.append(_("The day of the month and the day of the week must both hold."))
    first = cron.day.values[0]
    if first == 29 and cron.month.values == (2,):
        found.append(_("29 February comes in leap years only."))
    elif first > 28:
        found.append(_("Months without such a day have no run."))
    return found


def _elapsed(cron: Cron) -> tuple[str, bool]:
    """The minutes of a schedule that runs every hour."""
    minutes = cron.minute.values
    if _covers_hour(minutes) or _regular(minutes):
        return _minutes(minutes), False
    return (
        ngettext("every hour at minute {minutes}", "every hour at minutes {minutes}", len(minutes)).format(
            minutes=_numbers(minutes)
        ),
        False,
    )


def _fixed(cron: Cron) -> tuple[str, bool]:
    """The times of the day; True when they are a list of clock times."""
    hours, minutes = cron.hour.values, cron.minute.values
    if len(hours) * len(minutes) <= _MANY:
        return _("at {times}").format(times=_join(_clock(h, m) for h in hours for m in minutes)), True
    if len(minutes) == 1 and (step := even_step(hours)):
        return _every_hours(step, _clock(hours[0], minutes[0]), _clock(hours[-1], minutes[0])), False
    return _("{minutes}, {hours}").format(minutes=_minutes(minutes), hours=_hours(hours)), False


def _every_hours(step: int, first: str, last: str) -> str:
    if step == 1:
        return _("every hour from {first} to {last}").format(first=first, last=last)
    return ngettext(
        "every {count} hour from {first} to {last}", "every {count} hours from {first} to {last}", step
    ).format(count=step, first=first, last=last)


def _minutes(minutes: tuple[int, ...]) -> str:
    if _covers_hour(minutes):
        return _("every minute")
    if step := _regular(minutes):
        return ngettext("every {count} minute", "every {count} minutes", step).format(count=step)
    return ngettext("at minute {minutes}", "at minutes {minutes}", len(minutes)).format(minutes=_numbers(minutes))


def _hours(hours: tuple[int, ...]) -> str:
    if len(hours) == 1 or even_step(hours) == 1:
        return _("from {first} to {last}").format(first=_clock(hours[0], 0), last=_clock(hours[-1], 59))
    return _("in the hours {hours}").format(hours=_numbers(hours))


def _numbers(values: tuple[int, ...]) -> str:
    step = even_step(values)
    if step and step > 1 and len(values) > _MANY:
        return _("{first} to {last} in steps of {step}").format(first=values[0], last=values[-1], step=step)
    return _join(
        str(first) if first == last else _("{first} to {last}").format(first=first, last=last)
        for first, last in stretches(values)
    )


def _covers_hour(minutes: tuple[int, ...]) -> bool:
    return len(minutes) == MINUTE.count


def _regular(minutes: tuple[int, ...]) -> int | None:
    """The n of “every n minutes”, when that is true over the hour's end too."""
    step = even_step(minutes)
    return step if step and minutes == tuple(range(0, 60, step)) and 60 % step == 0 else None


def _days(cron: Cron) -> str:
    """The days, or nothing when it is every day."""
    dates, weekdays = _dates(cron.day), _weekdays(cron.weekday)
    if cron.either_day:
        return _("{dates} or {weekdays}").format(dates=dates, weekdays=weekdays) if dates and weekdays else ""
    if dates and weekdays:
        return _("{dates} and only {weekdays}").format(dates=dates, weekdays=weekdays)
    return dates or weekdays


def _dates(field: Field) -> str:
    values = field.values
    if len(values) == DAY.count:
        return ""
    step = even_step(values)
    if step and step > 1 and len(values) > _MANY:
        return ngettext(
            "every {count} day from the {first} to the {last}",
            "every {count} days from the {first} to the {last}",
            step,
        ).format(count=step, first=_ordinal(values[0]), last=_ordinal(values[-1]))
    return _phrases(
        values,
        lambda day: pgettext("day of the month", "on the {day}").format(day=_ordinal(day)),
        lambda first, last: pgettext("days of the month", "from the {first} to the {last}").format(
            first=_ordinal(first), last=_ordinal(last)
        ),
    )


def _weekdays(field: Field) -> str:
    if len(field.values) == WEEKDAY.count:
        return ""
    # The week is read from Monday; Django counts Monday as 0 too.
    return _phrases(
        tuple(sorted((value - 1) % 7 for value in field.values)),
        lambda day: str(_ON_WEEKDAYS[(day + 1) % 7]),
        lambda first, last: pgettext("weekdays", "from {first} to {last}").format(
            first=WEEKDAYS[first], last=WEEKDAYS[last]
        ),
    )


def _months(values: tuple[int, ...]) -> str:
    return _phrases(
        values,
        lambda month: pgettext("month", "in {month}").format(month=MONTHS[month]),
        lambda first, last: pgettext("months", "from {first} to {last}").format(first=MONTHS[first], last=MONTHS[last]),
    )


def _phrases(values: tuple[int, ...], one: Callable[[int], str], many: Callable[[int, int], str]) -> str:
    return _join(one(first) if first == last else many(first, last) for first, last in stretches(values))


def _ordinal(day: int) -> str:
    if day == 1:
        return pgettext("day of the month", "1st")
    if day in (21, 31):
        return pgettext("day of the month", "{day}st").format(day=day)
    if day in (2, 22):
        return pgettext("day of the month", "{day}nd").format(day=day)
    if day in (3, 23):
        return pgettext("day of the month", "{day}rd").format(day=day)
    return pgettext("day of the month", "{day}th").format(day=day)


def _clock(hour: int, minute: int) -> str:
    return f"{hour:02}:{minute:02}"


def _join(items: Iterable[str]) -> str:
    *earlier, last = items
    if not earlier:
        return last
    return _("{first} and {last}").format(first=", ".join(earlier), last=last)
