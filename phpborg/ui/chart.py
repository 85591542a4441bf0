"""Charts over time, drawn by the server: lines with axes, the span between lowest and highest, gaps as gaps.

Words and numbers are in the active language, times in the active zone. A drawing has no styles of its own:
see static/css/charts.css. Positions are in percent, so that texts keep their size on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from phpborg.ui.html import MOMENTS

# Of the height, in percent: room for the topmost words above, for the times below.
TOP, HEIGHT = 11.0, 75.0
WIDE = 1000
EDGE = 10.0
# A missing look is a gap; one that came a little late is not.
GAP_STEPS = 1.75


@dataclass(frozen=True)
class Mark:
    """One known value at a moment (seconds since 1970), and the span that it had around it."""

    at: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """A named row of marks, in order of time."""

    label: str
    marks: Sequence[Mark]


@dataclass(frozen=True)
class Chart:
    """What is drawn from `since` to `until`. `render` gives a value's words; `unit` is what is counted in."""

    title: str
    lines: tuple[Line, ...]
    since: datetime
    until: datetime
    step_seconds: int  # the usual distance of two marks
    table_seconds: int  # the stretch that one row of the table stands for
    render: Callable[[float], str]
    top: float | None = None  # the value at the upper edge; None: what fits
    unit: float = 1.0  # 1/8 where bytes are shown as bits, so that the axis has round numbers
    limit: tuple[str, float] | None = None  # a level line with its name

    @property
    def is_empty(self) -> bool:
        return not any(line.marks for line in self.lines)

    @property
    def highest(self) -> float:
        """The value at the upper edge."""
        if self.top is not None:
            return self.top
        values = [mark.high for line in self.lines for mark in line.marks]
        return _rounded_up(max([*values, self.limit[1] if self.limit else 0.0]), self.unit)


def _rounded_up(value: float, unit: float) -> float:
    """The next of 1, 2, 5, 10, 20, … units; one unit for (next to) nothing."""
    if value <= unit * 1e-9:
        return unit
    magnitude = 10.0 ** math.floor(math.log10(value / unit))
    for factor in (1, 2, 5, 10):
        if value <= factor * magnitude * unit * (1 + 1e-9):
            return factor * magnitude * unit
    return 10 * magnitude * unit


def draw(chart: Chart) -> SafeString:
    """The SVG: grid, spans, lines, words of both axes. Its label says the last and the highest values."""
    highest = chart.highest
    levels = [(highest * part, f"{TOP + HEIGHT * (1 - part):.2f}%") for part in (0.0, 0.5, 1.0)]
    times = list(_times(chart))
    return format_html(
        '<svg class="chart" role="img" aria-label="{}" focusable="false">{}{}'
        '<svg x="0" y="{}%" width="100%" height="{}%" viewBox="0 0 {} 100" preserveAspectRatio="none">{}</svg>{}{}'
        "</svg>",
        summary(chart),
        format_html_join("", '<line class="chart__grid" x1="0" x2="100%" y1="{0}" y2="{0}"></line>', _ys(levels)),
        format_html_join(
            "",
            '<line class="chart__grid chart__grid--time" x1="{0}%" x2="{0}%" y1="{1}%" y2="{2}%"></line>',
            ((f"{x:.2f}", TOP, TOP + HEIGHT) for x, _words, _is_extra in times),
        ),
        TOP,
        HEIGHT,
        WIDE,
        _drawn_lines(chart, highest),
        format_html_join(
            "",
            '<text class="chart__words" x="2" y="{}" dy="-4">{}</text>',
            ((y, chart.render(level)) for level, y in levels if level or highest == 0),
        ),
        format_html_join(
            "",
            '<text class="chart__words{}" x="{}%" y="97%" text-anchor="{}">{}</text>',
            ((" chart__words--extra" if extra else "", f"{x:.2f}", _anchor(x), words) for x, words, extra in times),
        ),
    )


def _ys(levels: list[tuple[float, str]]) -> list[tuple[str]]:
    return [(y,) for _level, y in levels]


def _anchor(x: float) -> str:
    """Words near an edge are written away from it: on a phone half of the longest is some 9 % of the width."""
    return "start" if x < EDGE else "end" if x > 100 - EDGE else "middle"


def _drawn_lines(chart: Chart, highest: float) -> SafeString:
    begin, length = chart.since.timestamp(), (chart.until - chart.since).total_seconds()

    def place(at: float, value: float) -> str:
        x = min(max((at - begin) / length, 0.0), 1.0) * WIDE
        return f"{x:.1f},{100 - min(max(value / highest, 0.0), 1.0) * 100:.2f}"

    spans, lines = [], []
    for number, line in enumerate(chart.lines, 1):
        for piece in pieces(line.marks, chart.step_seconds * GAP_STEPS):
            if any(mark.high > mark.low for mark in piece):
                edge = [place(mark.at, mark.high) for mark in piece]
                spans.append((number, " ".join([*edge, *(place(mark.at, mark.low) for mark in reversed(piece))])))
            drawn = [place(mark.at, mark.value) for mark in piece]
            # A mark that stands alone is a line to itself: its round ends make a dot.
            lines.append((number, " ".join(drawn if len(drawn) > 1 else drawn * 2)))
    level = [(place(begin, chart.limit[1]), place(begin + length, chart.limit[1]))] if chart.limit else []
    return format_html(
        "{}{}{}",
        format_html_join("", '<polygon class="chart__span chart--{}" points="{}"></polygon>', spans),
        format_html_join("", '<polyline class="chart__limit" points="{} {}"></polyline>', level),
        format_html_join("", '<polyline class="chart__line chart--{}" points="{}"></polyline>', lines),
    )


def pieces(marks: Sequence[Mark], longest: float) -> list[list[Mark]]:
    """The stretches without a gap: marks that follow each other within `longest` seconds."""
    found: list[list[Mark]] = []
    for mark in marks:
        if found and mark.at - found[-1][-1].at <= longest:
            found[-1].append(mark)
        else:
            found.append([mark])
    return found


def summary(chart: Chart) -> str:
    """The chart in a sentence, for those who do not see it."""
    told = [
        _("{line}: last {last}, highest {highest}").format(
            line=line.label,
            last=chart.render(line.marks[-1].value),
            highest=chart.render(max(mark.high for mark in line.marks)),
        )
        for line in chart.lines
        if line.marks
    ]
    return f"{chart.title}. {'; '.join(told) or _('No values in this time.')}"


# --- times -----------------------------------------------------------------------------------------


def _times(chart: Chart) -> Iterator[tuple[float, str, bool]]:
    """(percent of the width, words, may it be left out on a phone) for each mark of the time axis."""
    length = chart.until - chart.since
    chosen = list(_moments(chart.since, chart.until))
    style = _style(length)
    for number, moment in enumerate(chosen):
        x = (moment - chart.since) / length * 100
        yield x, formats.date_format(moment, style), len(chosen) > 5 and number % 2 == 1


def _style(length: timedelta) -> str:
    month = "N" if (get_language() or "").startswith("fr") else "M"
    if length <= timedelta(days=2):
        return "H:i"
    if length <= timedelta(days=14):
        return "D j"
    return f"j {month}" if length <= timedelta(days=120) else month


def _moments(since: datetime, until: datetime) -> Iterator[datetime]:
    """Moments that a clock or calendar of the reader calls round, inside the time that is shown."""
    zone, length = timezone.get_current_timezone(), until - since
    day, last = since.astimezone(zone).date(), until.astimezone(zone).date()
    while day <= last:
        for hour in _hours(day, length):
            moment = datetime.combine(day, time(hour), zone)
            if since <= moment <= until:
                yield moment
        day += timedelta(days=1)


def _hours(day: date, length: timedelta) -> tuple[int, ...]:
    """The hours of a day that get words."""
    if length <= timedelta(days=2):
        return (0, 6, 12, 18)
    if length <= timedelta(days=14):
        return (0,)
    return (0,) if day.day == 1 or (day.day == 15 and length <= timedelta(days=120)) else ()


# --- the same as a table ---------------------------------------------------------------------------


def table(chart: Chart) -> list[tuple[str, list[str | None]]]:
    """A row for each stretch: its beginning, and each line's mean there (None: not known)."""
    step = chart.table_seconds
    first = int(chart.since.timestamp() // step) * step
    columns = [_by_stretch(line, step) for line in chart.lines]
    style = MOMENTS.get((get_language() or "")[:2], MOMENTS["en"])
    rows = []
    for at in range(first, math.ceil(chart.until.timestamp()), step):
        moment = datetime.fromtimestamp(at, timezone.get_current_timezone())
        cells = [_cell(column.get(at, []), chart.render) for column in columns]
        rows.append((formats.date_format(moment, style), cells))
    return rows


def _by_stretch(line: Line, step: int) -> dict[int, list[Mark]]:
    found: dict[int, list[Mark]] = {}
    for mark in line.marks:
        found.setdefault(int(mark.at // step) * step, []).append(mark)
    return found


def _cell(marks: list[Mark], render: Callable[[float], str]) -> str | None:
    if not marks:
        return None
    mean, high = render(sum(mark.value for mark in marks) / len(marks)), render(max(mark.high for mark in marks))
    return mean if mean == high else _("{mean}, at most {highest}").format(mean=mean, highest=high)
