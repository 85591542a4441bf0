"""Next runs against an oracle that looks at every minute, in zones whose clocks change in odd ways."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from phpborg.scheduling.cron import Cron, CronInvalid, parse

MINUTE = timedelta(minutes=1)
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

# Dates around which the zone's clock jumps, and one on which nothing happens.
ZONES = {
    "Europe/Paris": ["2026-03-29", "2026-10-25", "2026-07-01"],
    "Europe/Berlin": ["2026-03-29", "2026-10-25", "2028-02-29"],
    "America/New_York": ["2026-03-08", "2026-11-01"],
    "Australia/Lord_Howe": ["2026-04-05", "2026-10-04"],
    "Asia/Kolkata": ["2026-06-01"],
    "UTC": ["2026-12-31"],
    "America/Sao_Paulo": ["2018-11-04", "2019-02-17", "2026-11-01"],
    "Africa/Casablanca": ["2026-02-15", "2026-03-22"],
    "Africa/Cairo": ["2026-04-24", "2026-10-30"],
    "America/St_Johns": ["2006-04-02", "2006-10-29"],
    "America/Scoresbysund": ["2024-03-31"],
    "Antarctica/Troll": ["2026-03-29", "2026-10-25"],
    "Pacific/Apia": ["2011-12-30"],
    "Pacific/Chatham": ["2026-04-05", "2026-09-27"],
}
MOMENTS = [(zone, day) for zone, some in ZONES.items() for day in some]


@dataclass(frozen=True)
class Written:
    """A field as text, and the values that its author meant."""

    text: str
    values: frozenset[int]

    @property
    def starred(self) -> bool:
        return "*" in self.text


@st.composite
def an_item(draw: st.DrawFn, low: int, high: int, names: list[str]) -> tuple[str, Iterable[int]]:
    by_name: bool = draw(st.booleans())

    def spell(value: int) -> str:
        return names[value - low] if names and by_name else str(value)

    # `8-8` is left out: croniter takes it for the whole field.
    first = draw(st.integers(low, high - 1))
    step = draw(st.integers(1, high - low + 1))
    match draw(st.sampled_from(["star", "step", "one", "range", "range/step", "one/step"])):
        case "star":
            return "*", range(low, high + 1)
        case "step":
            return f"*/{step}", range(low, high + 1, step)
        case "one":
            return spell(first), [first]
        case "one/step":
            return f"{spell(first)}/{step}", range(first, high + 1, step)
        case "range":
            last = draw(st.integers(first + 1, high))
            return f"{spell(first)}-{spell(last)}", range(first, last + 1)
        case _:
            last = draw(st.integers(first + 1, high))
            return f"{spell(first)}-{spell(last)}/{step}", range(first, last + 1, step)


@st.composite
def a_field(draw: st.DrawFn, low: int, high: int, names: list[str] | None = None) -> Written:
    items = draw(st.lists(an_item(low, high, names or []), min_size=1, max_size=3))
    return Written(",".join(text for text, _ in items), frozenset(v for _, values in items for v in values))


def star(field: st.SearchStrategy[Written]) -> st.SearchStrategy[Written]:
    """Mostly `*`, so that enough schedules run within a few days."""
    every = Written("*", frozenset(range(60)))
    return st.one_of(st.just(every), st.just(every), st.just(every), field)


@dataclass(frozen=True)
class Meant:
    """A schedule with its meaning spelled out once more, as simply as can be."""

    minute: Written
    hour: Written
    day: Written
    month: Written
    weekday: Written

    @property
    def text(self) -> str:
        return " ".join(f.text for f in (self.minute, self.hour, self.day, self.month, self.weekday))

    @property
    def elapsed(self) -> bool:
        return self.hour.values >= set(range(24))

    def holds(self, naive: datetime) -> bool:
        return naive.minute in self.minute.values and naive.hour in self.hour.values and self.holds_on(naive)

    def holds_on(self, naive: datetime) -> bool:
        day, weekday = naive.day in self.day.values, naive.isoweekday() % 7 in self.weekday.values
        both = self.day.starred or self.weekday.starred
        return naive.month in self.month.values and ((day and weekday) if both else (day or weekday))


# The hours in which clocks are changed.
NIGHT = st.sets(st.sampled_from([0, 1, 2, 3, 4, 22, 23]), min_size=1).map(
    lambda hours: Written(",".join(map(str, hours)), frozenset(hours))
)

SCHEDULES = st.builds(
    Meant,
    a_field(0, 59),
    st.one_of(star(a_field(0, 23)), NIGHT, a_field(0, 23)),
    star(a_field(1, 31)),
    star(a_field(1, 12, MONTHS)),
    star(a_field(0, 6, WEEKDAYS)),
)


def parsed(meant: Meant) -> Cron | None:
    """The schedule; None when its date never comes, which the calendar must confirm."""
    try:
        return parse(meant.text)
    except CronInvalid as refused:
        if refused.key != "day" or any(meant.holds_on(datetime(2000, 1, 1) + timedelta(days=n)) for n in range(366)):
            raise
        return None


@dataclass(frozen=True)
class Tick:
    """A minute as it passes: what the clock shows, and what it shows or jumps over for the first time."""

    at: datetime
    local: datetime
    reached: tuple[datetime, ...]


@lru_cache(maxsize=64)
def clock(zone: str, day: str) -> list[Tick]:
    """Every minute of three days around that day."""
    at = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(days=1)
    where = ZoneInfo(zone)
    furthest = at.astimezone(where).replace(tzinfo=None)
    ticks = [Tick(at, furthest, ())]
    for _ in range(3 * 24 * 60):
        at += MINUTE
        local = at.astimezone(where).replace(tzinfo=None)
        reached = []
        while furthest < local:
            furthest += MINUTE
            reached.append(furthest)
        ticks.append(Tick(at, local, tuple(reached)))
    return ticks


def oracle(meant: Meant, zone: str, day: str) -> list[datetime]:
    """The runs within these days (after their first minute), found by watching the clock."""
    ticks = clock(zone, day)[1:]
    if meant.elapsed:
        return [tick.at for tick in ticks if meant.holds(tick.local)]
    return [tick.at for tick in ticks if any(meant.holds(local) for local in tick.reached)]


EVERY = {name: Written("*", frozenset(range(60))) for name in ("hour", "month", "weekday")}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCHEDULES, st.sampled_from(MOMENTS))
# At 00:01 the clock goes back to 23:01: the evening of the 28th comes again, after a minute that is not chosen.
@example(
    Meant(Written("*/4", frozenset(range(0, 60, 4))), day=Written("*/27", frozenset({1, 28})), **EVERY),
    ("America/St_Johns", "2006-10-29"),
)
def test_next_runs_are_those_of_the_oracle(meant, moment):
    zone, day = moment
    if (cron := parsed(meant)) is None:
        return
    expected = oracle(meant, zone, day)
    ticks = clock(zone, day)
    found = cron.next_runs(ticks[0].at, ZoneInfo(zone), min(len(expected), 400) + 1)
    assert [run.at for run in found if run.at <= ticks[-1].at] == expected[: len(found)]
    for run in found:
        assert run.local.astimezone(UTC) == run.at
        assert run.local.tzinfo == ZoneInfo(zone)
        assert run.shifted != meant.holds(run.local.replace(tzinfo=None))


@settings(max_examples=200, deadline=None)
@given(SCHEDULES, st.sampled_from(MOMENTS), st.integers(1, 3 * 24 * 60 * 60 - 1))
def test_the_next_run_does_not_depend_on_where_the_search_starts(meant, moment, seconds):
    zone, day = moment
    if (cron := parsed(meant)) is None:
        return
    after = clock(zone, day)[0].at + timedelta(seconds=seconds, microseconds=seconds % 1000)
    found = cron.next_run(after, ZoneInfo(zone))
    later = [at for at in oracle(meant, zone, day) if at > after]
    if later:
        assert found is not None
        assert found.at == later[0]
    else:
        assert found is None or found.at > clock(zone, day)[-1].at


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 59), st.integers(0, 23), st.sampled_from(sorted(ZONES)), st.integers(1990, 2036))
def test_a_daily_schedule_runs_as_often_as_the_year_has_days(minute, hour, zone, year):
    where = ZoneInfo(zone)
    start, end = (datetime(y, 1, 1, tzinfo=where).astimezone(UTC) - MINUTE for y in (year, year + 1))
    found = [run.at for run in parse(f"{minute} {hour} * * *").next_runs(start, where, 370) if run.at <= end]
    assert len(found) == (366 if year % 4 == 0 else 365)
    gaps = [later - earlier for earlier, later in pairwise(found)]
    # The one day that Apia left out gives its run at the jump.
    assert min(gaps) >= (timedelta(0) if zone == "Pacific/Apia" else timedelta(hours=21))
    assert max(gaps) <= timedelta(hours=27)


@settings(max_examples=200, deadline=None)
@given(SCHEDULES)
def test_without_clock_changes_it_agrees_with_croniter(meant):
    """Where the two day fields are combined with `*/n` croniter takes either, crontab(5) both: left out."""
    if (meant.day.starred and meant.day.text != "*") or (meant.weekday.starred and meant.weekday.text != "*"):
        return
    start = datetime(2026, 2, 27, 23, 59, tzinfo=UTC)
    if (cron := parsed(meant)) is None:
        return
    other = croniter(meant.text, start)
    assert [run.at for run in cron.next_runs(start, ZoneInfo("UTC"), 8)] == [other.get_next(datetime) for _ in range(8)]


@settings(max_examples=500)
@given(st.text(max_size=40) | st.from_regex(r"\A[0-9*/,HLW#?a-z() -]{1,40}\Z"))
def test_any_text_is_either_a_schedule_or_refused_with_a_sentence(text):
    try:
        cron = parse(text)
    except CronInvalid:
        return
    assert cron.next_run(datetime(2026, 1, 1, tzinfo=UTC), ZoneInfo("Europe/Paris")) is not None


@pytest.mark.parametrize(
    "text",
    [
        "0 2 * * *",
        "* * * * *",
        "*/5 8-18 * * mon-fri",
        "* 0-22 * * *",
        "30 2 29 3 *",
        "0 0 29 2 *",
        "0 0 29 2 */7",
        "59 * 29 2 */7",
    ],
)
def test_one_step_is_short_however_rare_the_moment(text):
    """Counted in calls, not in seconds: years are not walked day by day."""
    cron, zone = parse(text), ZoneInfo("Europe/Paris")
    after = datetime(2026, 3, 28, 12, tzinfo=UTC)
    cron.next_run(after, zone)
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        cron.next_run(after, zone)
    finally:
        sys.setprofile(None)
    assert calls < 1000
