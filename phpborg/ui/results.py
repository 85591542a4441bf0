"""Results of backups over time: counted in the database by hour, drawn by the server as bars."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.db.models import CharField, Count
from django.db.models.functions import Cast, Substr
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from phpborg.tasks.models import Task
from phpborg.tasks.states import FINAL, State
from phpborg.ui import format

DAYS = 30
# From the ground up: what is good carries what is not.
STACK = (State.SUCCESS, State.NOTES, State.CANCELLED, State.INCOMPLETE, State.FAILED, State.LOST)


@dataclass(frozen=True)
class Column:
    """One hour or day: its words, and how many backups ended how."""

    label: str
    counts: Counter[str]

    @property
    def total(self) -> int:
        return self.counts.total()

    @property
    def words(self) -> str:
        told = [f"{State(state).label} {self.counts[state]}" for state in STACK if self.counts[state]]
        return f"{self.label}: {', '.join(told) or _('nothing ran')}"


@dataclass(frozen=True)
class Results:
    """The last 24 hours by hour, the last 30 days by day."""

    day: list[Column]
    month: list[Column]

    @property
    def day_total(self) -> Counter[str]:
        return sum((column.counts for column in self.day), Counter())

    @property
    def month_total(self) -> Counter[str]:
        return sum((column.counts for column in self.month), Counter())


def results(now: datetime | None = None) -> Results:
    """One query that reads an index; at most one row for each hour and outcome comes back."""
    now = now or timezone.now()
    zone = timezone.get_current_timezone()
    today = now.astimezone(zone).date()
    days = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
    hour_now = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [hour_now - timedelta(hours=back) for back in range(23, -1, -1)]
    by_hour: dict[datetime, Counter[str]] = {hour: Counter() for hour in hours}
    by_day: dict[date, Counter[str]] = {day: Counter() for day in days}
    for hour, state, number in _counted(now - timedelta(days=DAYS + 1)):
        if hour in by_hour:
            by_hour[hour][state] += number
        day = hour.astimezone(zone).date()
        if day in by_day:
            by_day[day][state] += number
    return Results(
        day=[Column(formats.time_format(hour.astimezone(zone), "H:i"), by_hour[hour]) for hour in hours],
        month=[Column(format.day(day), by_day[day]) for day in days],
    )


def _counted(since: datetime) -> list[tuple[datetime, str, int]]:
    """(hour in UTC, state, how many). The text of a moment begins with its hour on every database."""
    rows = (
        Task.objects.filter(kind="backup", state__in=FINAL, finished_at__gte=since)
        .exclude(result__has_key="skipped")
        .annotate(hour=Substr(Cast("finished_at", CharField()), 1, 13))
        .order_by()
        .values_list("hour", "state")
        .annotate(number=Count("pk"))
    )
    return [(datetime.strptime(hour, "%Y-%m-%d %H").replace(tzinfo=UTC), state, number) for hour, state, number in rows]


def bars(columns: list[Column], label: str) -> SafeString:
    """Stacked bars as SVG; every column says its numbers, the whole says them to a screen reader."""
    width, height, gap = 100 / len(columns), 60.0, 0.25
    most = max([column.total for column in columns] + [1])
    drawn = []
    for index, column in enumerate(columns):
        pieces, floor = [], height
        for state in STACK:
            if number := column.counts[state]:
                tall = max(number / most * (height - 2), 0.8)
                floor -= tall
                pieces.append((State(state).tone, f"{floor:.2f}", f"{tall:.2f}"))
        x, wide = f"{index * width + width * gap / 2:.3f}", f"{width * (1 - gap):.3f}"
        rects = format_html_join(
            "",
            '<rect class="bars__piece tone-{}" x="{}" y="{}" width="{}" height="{}"></rect>',
            ((tone, x, y, wide, tall) for tone, y, tall in pieces),
        )
        drawn.append((column.words, f"{index * width:.3f}", f"{width:.3f}", rects))
    groups = format_html_join(
        "",
        '<g class="bars__column"><title>{}</title>'
        '<rect class="bars__ground" x="{}" y="0" width="{}" height="60"></rect>{}</g>',
        drawn,
    )
    return format_html(
        '<svg class="bars" viewBox="0 0 100 60" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>',
        f"{label}. {summary(sum((column.counts for column in columns), Counter()))}",
        groups,
    )


def summary(counts: Counter[str]) -> str:
    """The totals in words."""
    told = [f"{State(state).label}: {counts[state]}" for state in STACK if counts[state]]
    return ", ".join(told) or _("nothing ran")
