"""Charts: where marks come to lie, gaps, round numbers, the reader's language and zone, the table."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.template.loader import render_to_string
from django.utils import timezone, translation
from hypothesis import given
from hypothesis import strategies as st

from phpborg.ui import chart as drawing
from phpborg.ui import format as words
from phpborg.ui.chart import Chart, Line, Mark
from phpborg.ui.templatetags.charts import chart as tag

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


def mark(hours: float, value: float, low: float | None = None, high: float | None = None) -> Mark:
    at = START.timestamp() + hours * 3600
    return Mark(at, value, value if low is None else low, value if high is None else high)


def day_of(*lines: Line, **more: Any) -> Chart:
    given = {"top": 1.0, "render": words.percent, "step_seconds": 3600, "table_seconds": 6 * 3600, **more}
    return Chart("CPU", lines, START, START + timedelta(days=1), **given)


def lines_of(html: str) -> list[str]:
    return re.findall(r'<polyline class="chart__line chart--1" points="([^"]*)"', html)


def test_marks_lie_where_they_belong():
    html = drawing.draw(day_of(Line("Busy", [mark(0, 0), mark(1, 0.5), mark(2, 1)])))
    assert lines_of(html) == ["0.0,100.00 41.7,50.00 83.3,0.00"]


def test_a_gap_is_no_line_and_a_lonely_mark_is_a_dot():
    html = drawing.draw(day_of(Line("Busy", [mark(0, 0), mark(1, 0), mark(4, 1), mark(12, 1), mark(13, 1)])))
    assert lines_of(html) == ["0.0,100.00 41.7,100.00", "166.7,0.00 166.7,0.00", "500.0,0.00 541.7,0.00"]


def test_the_span_between_lowest_and_highest_is_drawn_where_there_is_one():
    html = drawing.draw(day_of(Line("Busy", [mark(0, 0.5, 0.25, 1), mark(1, 0.5, 0.5, 0.5)])))
    assert 'chart__span chart--1" points="0.0,0.00 41.7,50.00 41.7,50.00 0.0,75.00"' in html
    assert "chart__span" not in drawing.draw(day_of(Line("Busy", [mark(0, 0.5), mark(1, 0.5)])))


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0, 1, 1),
        (0.3, 1, 0.5),
        (1, 1, 1),
        (1.01, 1, 2),
        (37, 1, 50),
        (8e9, 1, 1e10),
        (100, 1 / 8, 125),
        (0, 1 / 8, 1 / 8),
    ],
)
def test_the_axis_ends_at_a_round_number(value: float, unit: float, expected: float):
    assert day_of(Line("x", [mark(0, value)]), top=None, unit=unit).highest == pytest.approx(expected)


@given(st.lists(st.floats(0, 1e18), min_size=1, max_size=20), st.sampled_from([1.0, 1 / 8]))
def test_nothing_is_drawn_outside(values: list[float], unit: float):
    marks = [mark(number, value) for number, value in enumerate(values)]
    chart = day_of(Line("x", marks), top=None, unit=unit, render=words.byte_size)
    assert chart.highest >= max(values) * (1 - 1e-9)
    for points in lines_of(drawing.draw(chart)):
        for point in points.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 1000
            assert 0 <= y <= 100


def test_times_are_in_the_readers_zone_and_language():
    chart = day_of(Line("Busy", [mark(0, 0.5)]))
    with timezone.override("Europe/Paris"), translation.override("en"):
        times = [text for _x, text, _extra in drawing._times(chart)]
        assert times == ["18:00", "00:00", "06:00", "12:00"]
    week = Chart("CPU", chart.lines, START - timedelta(days=6), START + timedelta(days=1), 3600, 3600, words.percent)
    with timezone.override("Asia/Kolkata"), translation.override("fr"):
        assert [text for _x, text, _extra in drawing._times(week)][:2] == ["jeu 19", "ven 20"]
        assert "50\u00a0%" in drawing.draw(week)


@pytest.mark.parametrize("hours", range(24))
@pytest.mark.parametrize("days", [1, 7, 90, 365])
def test_the_words_of_times_stay_inside_a_phones_chart_at_any_hour(hours, days):
    """Words of 7 letters of 6.5 pixels in a chart of 260 pixels, as Chromium draws them at 375 pixels."""
    half, wide = 7 * 6.5 / 2, 260.0
    until = START + timedelta(hours=hours)
    chart = Chart("CPU", (), until - timedelta(days=days), until, 3600, 3600, words.percent)
    for x, _words, _extra in drawing._times(chart):
        before, after = {"start": (0, 2), "middle": (1, 1), "end": (2, 0)}[drawing._anchor(x)]
        assert x / 100 * wide - before * half >= 0
        assert x / 100 * wide + after * half <= wide


def test_midnights_are_midnights_when_the_clocks_change():
    since = datetime(2026, 10, 22, tzinfo=UTC)
    with timezone.override("Europe/Paris"):
        moments = list(drawing._moments(since, since + timedelta(days=7)))
    assert {moment.hour for moment in moments} == {0}
    assert len(moments) == 7
    assert {moment.utcoffset() for moment in moments} == {timedelta(hours=1), timedelta(hours=2)}


def test_the_label_says_it_and_the_table_has_it():
    chart = day_of(Line("Busy", [mark(0, 0.2), mark(1, 0.4), mark(13, 0.5, 0.1, 0.9)]), Line("Other", []))
    with timezone.override("UTC"), translation.override("en"):
        assert drawing.summary(chart) == "CPU. Busy: last 50%, highest 90%"
        assert drawing.table(chart) == [
            ("24 Nov 2026, 12:00", ["30%, at most 40%", None]),
            ("24 Nov 2026, 18:00", [None, None]),
            ("25 Nov 2026, 00:00", ["50%, at most 90%", None]),
            ("25 Nov 2026, 06:00", [None, None]),
        ]


def test_words_of_a_server_are_escaped():
    chart = day_of(Line("<b>", [mark(0, 0.5)]), limit=("<i>", 0.5))
    html = render_to_string("components/_chart.html", tag(chart))
    assert "<b>" not in html
    assert "<i>" not in html


def test_without_a_value_it_says_so():
    with translation.override("en"):
        html = render_to_string("components/_chart.html", tag(day_of(Line("Busy", []))))
    assert "<svg" not in html
    assert "No values in this time." in html
