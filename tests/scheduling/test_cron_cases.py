"""Next runs of schedules that went wrong for others, with the values that are right."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from phpborg.scheduling.cron import Run, parse


def runs(text: str, zone: str, after: str, count: int, seed: str = "") -> list[Run]:
    """Next runs; `after` without an offset is wall-clock time in the zone."""
    where = ZoneInfo(zone)
    moment = datetime.fromisoformat(after)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=where)
    return parse(text, seed=seed).next_runs(moment.astimezone(UTC), where, count)


def local(found: list[Run]) -> list[str]:
    return [run.local.isoformat(timespec="minutes") for run in found]


def utc(found: list[Run]) -> list[str]:
    return [run.at.strftime("%m-%d %H:%MZ") for run in found]


def days(found: list[Run]) -> list[str]:
    return [run.local.strftime("%Y-%m-%d") for run in found]


def test_a_daily_run_in_the_night_of_the_change_to_summer_time_comes_once():  # case 50
    found = runs("0 6 * * *", "America/New_York", "2026-03-07T12:00", 2)
    assert local(found) == ["2026-03-08T06:00-04:00", "2026-03-09T06:00-04:00"]
    assert found[0].at == datetime(2026, 3, 8, 10, tzinfo=UTC)
    assert [run.shifted for run in found] == [False, False]


def test_a_time_that_is_skipped_runs_when_the_clock_jumps():  # case 52
    found = runs("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 2)
    assert local(found) == ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]
    assert utc(found) == ["03-29 01:00Z", "03-30 00:30Z"]
    assert [run.shifted for run in found] == [True, False]


def test_a_time_that_is_repeated_runs_the_first_time_only():
    found = runs("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2)
    assert utc(found) == ["10-25 00:30Z", "10-26 01:30Z"]
    # Also when we start to look between the two.
    assert utc(runs("30 2 * * *", "Europe/Berlin", "2026-10-25T00:45+00:00", 1)) == ["10-26 01:30Z"]


def test_an_hourly_run_goes_through_the_repeated_hour_without_gap_or_double():  # case 54
    found = runs("0 * * * *", "Europe/Berlin", "2026-10-25T01:30", 4)
    assert utc(found) == ["10-25 00:00Z", "10-25 01:00Z", "10-25 02:00Z", "10-25 03:00Z"]
    assert local(found)[:3] == ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"]


def test_an_hourly_run_goes_on_over_the_skipped_hour():
    found = runs("15 * * * *", "Europe/Berlin", "2026-03-29T01:00", 3)
    assert utc(found) == ["03-29 00:15Z", "03-29 01:15Z", "03-29 02:15Z"]
    assert not any(run.shifted for run in found)


def test_every_quarter_of_an_hour_stays_so_over_a_change_of_half_an_hour():
    found = runs("*/15 * * * *", "Australia/Lord_Howe", "2026-04-05T00:00", 20)
    assert {b.at - a.at for a, b in pairwise(found)} == {timedelta(minutes=15)}


@pytest.mark.parametrize("text", ["0,30 2 * * *", "*/5 2 * * *", "* 2 * * *"])
def test_several_times_in_the_skipped_hour_become_one_run(text):
    found = runs(text, "Europe/Paris", "2026-03-29T00:00", 2)
    assert local(found) == ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]


def test_a_shifted_run_and_a_regular_one_at_the_same_moment_are_one():
    found = runs("0 2,3 * * *", "Europe/Paris", "2026-03-29T00:00", 2)
    assert local(found) == ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]
    assert not found[0].shifted


def test_a_skipped_midnight_runs_on_its_own_day():
    found = runs("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00", 2)
    assert local(found) == ["2018-11-04T01:00-02:00", "2018-11-05T00:00-02:00"]
    assert found[0].shifted


def test_a_clock_set_back_over_midnight_gives_one_run_a_day():
    assert local(runs("30 23 * * *", "America/Sao_Paulo", "2019-02-16T12:00", 2)) == [
        "2019-02-16T23:30-02:00",
        "2019-02-17T23:30-03:00",
    ]
    # 00:01 on the 29th went back to 23:01 on the 28th, so the 29th began twice.
    assert utc(runs("0 0 29 * *", "America/St_Johns", "2006-10-28T12:00", 2)) == ["10-29 02:30Z", "11-29 03:30Z"]
    assert utc(runs("0 * 29 * *", "America/St_Johns", "2006-10-28T12:00", 3)) == [
        "10-29 02:30Z",
        "10-29 03:30Z",
        "10-29 04:30Z",
    ]


def test_the_run_of_a_day_that_a_country_left_out_is_not_lost():
    found = runs("0 12 * * fri", "Pacific/Apia", "2011-12-28T00:00", 2)
    assert local(found) == ["2011-12-31T00:00+14:00", "2012-01-06T12:00+14:00"]
    assert found[0].shifted


def test_day_of_month_or_day_of_week_is_enough():  # case 55
    found = runs("0 3 1 * 1", "UTC", "2026-06-02T00:00", 6)
    assert days(found) == ["2026-06-08", "2026-06-15", "2026-06-22", "2026-06-29", "2026-07-01", "2026-07-06"]
    assert {run.at.hour for run in found} == {3}


def test_a_day_field_with_a_star_must_hold_together_with_the_other():
    found = runs("0 3 */2 * mon", "UTC", "2026-06-02T00:00", 3)
    assert days(found) == ["2026-06-15", "2026-06-29", "2026-07-13"]
    assert days(runs("0 3 1-31 * mon", "UTC", "2026-06-02T04:00", 2)) == ["2026-06-03", "2026-06-04"]


@pytest.mark.parametrize(
    ("text", "after", "expected"),  # case 57
    [
        ("0 0 31 * *", "2026-01-31T00:01", ["03-31 00:00Z", "05-31 00:00Z", "07-31 00:00Z", "08-31 00:00Z"]),
        ("*/40 * * * *", "2026-06-01T00:00", ["06-01 00:40Z", "06-01 01:00Z", "06-01 01:40Z"]),
        ("0 0 * * 7", "2026-06-01T00:00", ["06-07 00:00Z", "06-14 00:00Z"]),
        ("0 0 * * 0", "2026-06-01T00:00", ["06-07 00:00Z", "06-14 00:00Z"]),
        ("0 0 * * sun", "2026-06-01T00:00", ["06-07 00:00Z", "06-14 00:00Z"]),
        ("0 0 30 * *", "2026-01-30T00:00", ["03-30 00:00Z"]),
        ("59 23 31 dec *", "2026-12-31T23:58", ["12-31 23:59Z"]),
    ],
)
def test_calendar_edges(text, after, expected):
    assert utc(runs(text, "UTC", after, len(expected))) == expected


def test_leap_days():  # case 57
    assert days(runs("0 0 29 2 *", "UTC", "2026-01-01T00:00", 2)) == ["2028-02-29", "2032-02-29"]
    # 2100 has none.
    assert days(runs("0 0 29 2 *", "UTC", "2096-03-01T00:00", 1)) == ["2104-02-29"]
    # On one weekday it can take 40 years.
    assert days(runs("0 0 29 2 */7", "UTC", "2088-03-01T00:00", 1)) == ["2128-02-29"]


def test_the_zone_of_the_schedule_decides_not_the_machine():  # case 58
    found = runs("41 10 * * *", "Europe/Paris", "2026-07-01T08:39+00:00", 1)
    assert found[0].at == datetime(2026, 7, 1, 8, 41, tzinfo=UTC)
    assert found[0].at.tzinfo is UTC
    assert found[0].local.isoformat() == "2026-07-01T10:41:00+02:00"


def test_the_next_run_is_in_the_future_and_on_the_grid_after_a_pause():  # cases 59 and 60
    assert utc(runs("*/5 * * * *", "UTC", "2026-06-01T05:10", 2)) == ["06-01 05:15Z", "06-01 05:20Z"]
    assert utc(runs("0 2 * * *", "UTC", "2026-06-01T05:10", 1)) == ["06-02 02:00Z"]
    # Strictly later than the moment asked about, also when that moment is itself a run or has seconds.
    assert utc(runs("0 2 * * *", "UTC", "2026-06-01T02:00", 1)) == ["06-02 02:00Z"]
    assert utc(runs("* * * * *", "UTC", "2026-06-01T02:00:59.999999", 1)) == ["06-01 02:01Z"]
    assert utc(runs("0 2 * * *", "UTC", "2026-06-01T01:59:59.999999", 1)) == ["06-01 02:00Z"]


def test_a_moment_without_zone_is_refused():
    with pytest.raises(ValueError, match="aware"):
        parse("* * * * *").next_run(datetime(2026, 1, 1), ZoneInfo("UTC"))


def test_the_end_of_the_calendar_is_no_error():
    assert parse("0 0 * * *").next_run(datetime(9999, 12, 31, 23, 59, tzinfo=UTC), ZoneInfo("Asia/Kolkata")) is None
    assert parse("0 * 29 2 *").next_run(datetime(9989, 12, 31, tzinfo=UTC), ZoneInfo("UTC")) is None
    assert parse("0 0 29 2 *").next_run(datetime(9989, 12, 31, tzinfo=UTC), ZoneInfo("UTC")) is None
