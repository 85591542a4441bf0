"""Figures of servers, pure: hostile answers, restarts, gaps, sums of many against a naive oracle."""

from __future__ import annotations

import json
import statistics as naive
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servers.statistics import downsample, places
from servers.statistics.downsample import DAY, HOUR, Point, Value, fold
from servers.statistics.rates import LONGEST_SECONDS, Rates, between
from servers.statistics.sample import MOST, MOST_FILESYSTEMS, Filesystem, Interface, Reading, Ticks, parse

ANSWER: dict[str, Any] = {
    "schema": 1,
    "taken_at": 1_795_000_000.5,
    "uptime_seconds": 86_400.25,
    "load": [0.5, 1, 2.25],
    "cpus": 4,
    "cpu": {"user": 500, "system": 100, "idle": 3000, "iowait": 50, "steal": 0, "total": 4000},
    "cpu_share": 0.25,
    "memory": {"total_bytes": 8000, "available_bytes": 5000, "swap_total_bytes": 0, "swap_free_bytes": 0},
    "filesystems": [
        {"target": "/", "fstype": "ext4", "device": "/dev/sda1", "size_bytes": 1000, "used_bytes": 600}
        | {"available_bytes": 350, "inodes": 100, "inodes_free": 90, "problem": None},
        {"target": "/mnt/nfs", "fstype": "nfs", "device": "nas:/x", "size_bytes": None, "problem": "no answer in 2 s"},
    ],
    "network": [{"name": "eth0", "received_bytes": 10_000, "sent_bytes": 5000}],
}


def test_an_answer_is_read():
    reading = parse(ANSWER)
    assert (reading.uptime_seconds, reading.load, reading.cpus) == (86_400.25, (0.5, 1.0, 2.25), 4)
    assert reading.ticks == Ticks(idle=3050, total=4000)
    assert (reading.memory.used_bytes, reading.memory.swap_used_bytes) == (3000, 0)
    root, nfs = reading.filesystems
    assert (root.usable_bytes, root.inodes_used) == (950, 10)
    assert nfs == Filesystem("/mnt/nfs", "nfs", "nas:/x", problem="no answer in 2 s")
    assert nfs.usable_bytes is None
    assert reading.network == (Interface("eth0", 10_000, 5000),)


def test_what_is_kept_in_a_row_is_read_back():
    reading = parse(ANSWER)
    assert parse(json.loads(json.dumps(reading.as_answer()))) == reading


def test_an_answer_that_knows_nothing_is_unknown_and_not_zero():
    assert parse({"schema": 1}) == Reading()
    nothing = dict.fromkeys(ANSWER)
    assert parse({**nothing, "schema": 1}) == Reading()


@pytest.mark.parametrize("schema", [None, 0, 2, "1", [1], {}])
def test_another_schema_is_refused(schema: Any):
    with pytest.raises(ValueError, match="unknown schema"):
        parse({**ANSWER, "schema": schema})


@pytest.mark.parametrize(
    ("change", "field", "expected"),
    [
        ({"cpus": 0}, "cpus", None),
        ({"cpus": True}, "cpus", None),
        ({"cpus": 10**9}, "cpus", None),
        ({"cpu_share": 1.2}, "cpu_share", None),
        ({"cpu_share": float("nan")}, "cpu_share", None),
        ({"uptime_seconds": float("inf")}, "uptime_seconds", None),
        ({"uptime_seconds": -1}, "uptime_seconds", None),
        ({"uptime_seconds": 10**400}, "uptime_seconds", None),
        ({"load": "high"}, "load", (None, None, None)),
        ({"load": [1]}, "load", (1.0, None, None)),
        ({"load": [-1, "x", 3, 4, 5]}, "load", (None, None, 3.0)),
        ({"cpu": {"idle": 5, "total": 4}}, "ticks", None),
        ({"cpu": {"idle": 5, "iowait": 10**40, "total": 9}}, "ticks", Ticks(5, 9)),
        ({"cpu": [1, 2]}, "ticks", None),
        ({"filesystems": {"target": "/"}}, "filesystems", ()),
        ({"filesystems": [None, 7, {}, {"target": ""}, {"target": 5}]}, "filesystems", ()),
        ({"network": [{"name": "eth0", "received_bytes": "1"}]}, "network", (Interface("eth0"),)),
    ],
)
def test_what_makes_no_sense_is_unknown(change: dict[str, Any], field: str, expected: Any):
    assert getattr(parse({**ANSWER, **change}), field) == expected


def test_an_answer_is_bounded_and_can_be_stored():
    rows = [{"target": f"/{number}\0\udcff" + "x" * 5000, "problem": "y" * 9000} for number in range(500)]
    same = [{"target": "/", "size_bytes": 1}, {"target": "/", "size_bytes": 2}]
    reading = parse({**ANSWER, "filesystems": [*same, *rows]})
    assert len(reading.filesystems) == MOST_FILESYSTEMS - 1
    assert reading.filesystems[0].size_bytes == 1
    text = json.dumps(reading.as_answer(), ensure_ascii=False)
    assert "\0" not in text
    assert len(text.encode()) < 100_000


def test_a_part_larger_than_its_whole_is_unknown():
    row = {"target": "/", "size_bytes": 10, "used_bytes": 11, "available_bytes": 4, "inodes": 3, "inodes_free": 4}
    (seen,) = parse({"schema": 1, "filesystems": [row]}).filesystems
    assert (seen.used_bytes, seen.available_bytes, seen.inodes_free) == (None, 4, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries({}, optional={name: JSON for name in ANSWER if name != "schema"}))
def test_no_answer_breaks_the_reader(answer: dict[str, Any]):
    reading = parse({**answer, "schema": 1})
    assert parse(json.loads(json.dumps(reading.as_answer()))) == reading
    rates = between(reading, reading, 900)
    assert rates.cpu_share is None or 0 <= rates.cpu_share <= 1


# --- rates -------------------------------------------------------------------------------------------


def look(uptime: float | None = 1000.0, **more: Any) -> Reading:
    """A reading with one card."""
    card = more.pop("card", ("eth0", 0, 0))
    idle, total = more.pop("cpu", (0, 0))
    return Reading(uptime_seconds=uptime, ticks=Ticks(idle, total), network=(Interface(*card),), **more)


def test_rates_between_two_looks():
    before = look(1000, cpu=(100, 1000), card=("eth0", 10_000, 1000))
    after = look(1900, cpu=(775, 1900), card=("eth0", 100_000, 1900))
    assert between(before, after, 900) == Rates(cpu_share=pytest.approx(0.25), received=100.0, sent=1.0)


def test_the_first_look_has_the_helpers_short_share_and_no_speed():
    assert between(None, look(cpu_share=0.4), None) == Rates(cpu_share=0.4)


def test_a_restart_gives_no_speed_and_no_negative_spike():
    before = look(90_000, cpu=(100_000, 200_000), card=("eth0", 10**12, 10**12))
    assert between(before, look(60, cpu=(10, 20), card=("eth0", 5, 5), cpu_share=0.5), 900) == Rates(cpu_share=0.5)
    # Also where the uptime is not known: the counters themselves tell it.
    assert between(before, look(None, cpu=(10, 20), card=("eth0", 5, 5)), 900) == Rates()


def test_after_a_restart_and_a_long_run_the_uptime_is_smaller_but_the_counters_are_not():
    before = look(500_000, cpu=(10, 20), card=("eth0", 10, 10))
    assert between(before, look(400_000, cpu=(1000, 2000), card=("eth0", 10**9, 10**9)), 900) == Rates()


def test_one_counter_that_went_back_makes_only_its_own_sum_unknown():
    rates = between(look(0, card=("eth0", 500, 0)), look(100, card=("eth0", 400, 1000)), 100)
    assert (rates.received, rates.sent) == (None, 10.0)


@pytest.mark.parametrize("seconds", [0, 0.5, -900, LONGEST_SECONDS + 1])
def test_at_once_or_after_a_long_pause_there_is_no_speed(seconds: float):
    rates = between(look(10_000, card=("eth0", 1, 1)), look(10_000 + seconds, card=("eth0", 99, 99)), seconds)
    assert (rates.received, rates.sent) == (None, None)


def test_the_servers_uptime_counts_and_not_our_clock():
    assert between(look(0, card=("eth0", 0, 0)), look(100, card=("eth0", 100, 0)), 5).received == 1.0
    assert between(look(None, card=("eth0", 0, 0)), look(None, card=("eth0", 100, 0)), 50).received == 2.0


@pytest.mark.parametrize(
    ("name", "counts"),
    [("eth0", True), ("enp3s0f1", True), ("wlan0", True), ("ens192", True), ("brcm0", True), ("lodge0", True)]
    + [(name, False) for name in ("lo", "veth1a2b", "docker0", "br-0f3c", "br0", "virbr0", "bond0", "eth0.10", "tun0")],
)
def test_bytes_are_counted_once(name: str, counts: bool):
    rates = between(look(0, card=(name, 0, 0)), look(100, card=(name, 100, 100)), 100)
    assert (rates.received is not None) is counts


def test_a_card_that_came_or_went_is_left_out():
    two = Reading(uptime_seconds=0, network=(Interface("eth0", 0, 0), Interface("eth1", 0, 0)))
    other = Reading(uptime_seconds=100, network=(Interface("eth0", 100, 200), Interface("eth2", 10**9, 10**9)))
    assert between(two, other, 100) == Rates(received=1.0, sent=2.0)


COUNTERS = st.integers(0, MOST)


@given(COUNTERS, COUNTERS, COUNTERS, COUNTERS, st.floats(0, 10**6), st.floats(0, 10**6))
def test_speeds_and_shares_are_never_negative(one: int, two: int, idle: int, total: int, early: float, late: float):
    rates = between(look(early, card=("eth0", one, two)), look(late, cpu=(idle, total), card=("eth0", two, one)), 900)
    assert all(speed is None or speed >= 0 for speed in (rates.received, rates.sent))
    assert rates.cpu_share is None or 0 <= rates.cpu_share <= 1


# --- sums of many ------------------------------------------------------------------------------------

START = datetime(2026, 10, 24, 20, 7, tzinfo=UTC)  # clocks in Europe go back in this night
CPU, DISK = ("cpu_share", ""), ("used_bytes", "/")


def points_of(numbers: list[tuple[int, float | None, float | None]]) -> list[Point]:
    made = []
    for minutes, cpu, disk in numbers:
        known = {key: Value.of(number) for key, number in ((CPU, cpu), (DISK, disk)) if number is not None}
        made.append(Point(START + timedelta(minutes=minutes), known))
    return made


ROWS = st.lists(
    st.tuples(st.integers(0, 3 * 1440), st.none() | st.floats(0, 1), st.none() | st.floats(0, 1e15, allow_nan=False)),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(ROWS, st.sampled_from([HOUR, 6 * HOUR, DAY]))
def test_sums_equal_a_naive_oracle(numbers: list[tuple[int, float | None, float | None]], seconds: int):
    points = points_of(numbers)
    folded = fold(points, seconds)
    # The oracle walks over every stretch from 1970 that has a point, and sorts nothing and shares nothing.
    beginnings = sorted({int(point.at.timestamp()) // seconds * seconds for point in points})
    assert [point.at.timestamp() for point in folded] == beginnings
    for point in folded:
        inside = [one for one in points if point.at <= one.at < point.at + timedelta(seconds=seconds)]
        for key in (CPU, DISK):
            known = [one.values[key].mean for one in inside if key in one.values]
            assert (key in point.values) is bool(known)
            if known:
                value = point.values[key]
                assert value.mean == pytest.approx(naive.fmean(known), rel=1e-9, abs=1e-12)
                assert (value.low, value.high) == (min(known), max(known))
                assert value.low <= value.mean <= value.high


def test_a_gap_stays_a_gap():
    folded = fold(points_of([(0, 0.5, None), (300, 0.7, None)]), HOUR)
    assert [point.at.hour for point in folded] == [20, 1]
    assert all(DISK not in point.values for point in folded)


def test_hours_of_hours_keep_the_lowest_and_the_highest():
    hours = fold(points_of([(0, 0.0, None), (1, 0.5, None), (60, 1.0, None)]), HOUR)
    (day,) = fold(hours, DAY)
    assert day.values[CPU] == Value(0.625, 0.0, 1.0)


def test_the_night_of_the_clock_change_has_its_hours_once_each():
    zone = ZoneInfo("Europe/Paris")
    moments = [(START + timedelta(minutes=15 * number)).astimezone(zone) for number in range(60)]
    every = [Point(moment, {CPU: Value.of(1)}) for moment in moments]
    folded = fold(every, HOUR)
    gaps = {(later.at - earlier.at) for earlier, later in pairwise(folded)}
    assert gaps == {timedelta(hours=1)}
    assert [day.at for day in fold(every, DAY)] == [datetime(2026, 10, day, tzinfo=UTC) for day in (24, 25)]


# --- places ------------------------------------------------------------------------------------------


def test_500_servers_are_spread_over_the_quarter():
    now = datetime(2026, 11, 25, 12, 3, 20, tzinfo=UTC)
    dues = [places.next_due(uuid4(), now) for _ in range(500)]
    assert all(timedelta(seconds=450) <= due - now < timedelta(seconds=1350) for due in dues)
    # 33 a minute are even; by chance alone no minute has twice as many.
    assert max(Counter(due.replace(second=0) for due in dues).values()) < 70


def test_a_server_keeps_its_place_and_is_asked_less_often_while_it_is_away():
    server, now = uuid4(), datetime(2026, 11, 25, 12, tzinfo=UTC)
    first = places.next_due(server, now)
    assert places.next_due(server, first) == first + timedelta(minutes=15)
    waits = [places.next_due(server, first, failures) - first for failures in (0, 1, 2, 3, 4, 50)]
    assert waits == [timedelta(minutes=minutes) for minutes in (15, 15, 30, 45, 60, 60)]


def test_a_stretch_begins_in_utc():
    moment = datetime(2026, 7, 1, 0, 30, tzinfo=ZoneInfo("Asia/Kolkata"))
    assert downsample.floor(moment, DAY) == datetime(2026, 6, 30, tzinfo=UTC)
