"""Which archives stay, and why: the rules, what stands above them, and what holds everything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as some

from backups.retention import SKEW, Candidate, Decision, Hold, Policy, Reason, Rule, Shield, decide

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PARIS = ZoneInfo("Europe/Paris")
BAD = False


def at(text: str, is_good: bool = True, *shields: Shield) -> Candidate:
    return Candidate(text, text, datetime.fromisoformat(text).replace(tzinfo=UTC), is_good, frozenset(shields))


def decided(candidates: list[Candidate], zone: ZoneInfo = PARIS, **policy: int) -> Decision:
    return decide(candidates, Policy(**policy), zone, NOW)


def names(candidates: tuple[Candidate, ...]) -> list[str]:
    return [one.name for one in candidates]


def why(decision: Decision, name: str) -> list[Reason]:
    return [reason for one in decision.verdicts if one.candidate.name == name for reason in one.reasons]


def test_eight_archives_of_two_hours():
    """Case 67, in Borg's own words."""
    eight = [at(f"2026-11-19 {hour}:{minute:02}") for hour in (10, 11) for minute in (0, 15, 30, 45)]
    decision = decided(eight, hourly=24)
    assert names(decision.kept) == ["2026-11-19 11:45", "2026-11-19 10:45", "2026-11-19 10:00"]
    assert len(decision.removed) == 5
    assert why(decision, "2026-11-19 11:45")[0] == Reason(Rule.HOURLY, 1)
    assert why(decision, "2026-11-19 10:45") == [Reason(Rule.HOURLY, 2)]
    assert why(decision, "2026-11-19 10:00") == [Reason(Rule.HOURLY, 3, is_oldest=True)]


@pytest.mark.parametrize("policy", [Policy(), Policy(within=timedelta(0))])
def test_a_policy_that_keeps_nothing_removes_nothing(policy):
    """Case 66."""
    assert policy.is_empty
    decision = decide([at("2026-01-01"), at("2026-01-02")], policy, PARIS, NOW)
    assert (decision.removed, decision.held) == ((), Hold.NO_POLICY)
    assert names(decision.kept) == ["2026-01-02", "2026-01-01"]


@pytest.mark.parametrize("count", [-2, 10_000])
def test_counts_have_bounds(count):
    with pytest.raises(ValueError, match="a count is"):
        Policy(daily=count)


def test_a_span_is_not_negative():
    with pytest.raises(ValueError, match="negative"):
        Policy(within=timedelta(hours=-1))


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="aware"):
        Candidate("x", "x", datetime(2026, 1, 1))


def test_two_with_one_key_are_refused():
    with pytest.raises(ValueError, match="one key"):
        decided([at("2026-01-01"), at("2026-01-01")], daily=1)


def test_days_are_those_of_the_declared_zone():
    """23:30Z is the next day in Paris."""
    archives = [at("2026-11-18 22:30"), at("2026-11-18 23:30"), at("2026-11-19 12:00")]
    assert names(decided(archives, daily=2).removed) == ["2026-11-18 23:30"]
    assert names(decided(archives, zone=ZoneInfo("UTC"), daily=2).removed) == ["2026-11-18 22:30"]
    assert why(decided(archives, daily=3), "2026-11-18 22:30") == [Reason(Rule.DAILY, 2)]
    assert why(decided(archives, daily=3), "2026-11-18 23:30") == []


def test_each_rule_counts_what_no_earlier_one_keeps():
    days = [at(f"2026-11-{day:02} 02:00") for day in range(1, 20)] + [at("2026-10-31 02:00"), at("2026-09-30 02:00")]
    decision = decided(days, daily=3, weekly=2, monthly=2)
    assert names(decision.kept) == [
        "2026-11-19 02:00",
        "2026-11-18 02:00",
        "2026-11-17 02:00",
        "2026-11-15 02:00",
        "2026-11-08 02:00",
        "2026-10-31 02:00",
        "2026-09-30 02:00",
    ]
    assert why(decision, "2026-11-15 02:00") == [Reason(Rule.WEEKLY, 1)]
    assert why(decision, "2026-09-30 02:00") == [Reason(Rule.MONTHLY, 2)]


def test_bad_archives_never_push_good_ones_out():
    """Case 70: eight days of failures after a good week."""
    good = [at(f"2026-11-{day:02} 02:00") for day in range(1, 8)]
    bad = [at(f"2026-11-{day:02} 02:00", BAD) for day in range(8, 16)]
    decision = decided([*good, *bad], last=3)
    assert set(names(decision.kept)) >= {one.name for one in good[-3:]}
    assert why(decision, "2026-11-07 02:00") == [Reason(Rule.LAST, 1), Reason(Shield.NEWEST_GOOD)]
    assert why(decision, "2026-11-15 02:00") == [Reason(Shield.NEWEST)]
    decision = decided(bad, daily=1)
    assert (decision.removed, decision.held) == ((), Hold.NO_GOOD)
    assert len(decision.would_go) == 7


def test_a_good_archive_stands_for_its_day_before_a_newer_bad_one():
    decision = decided([at("2026-11-18 02:00"), at("2026-11-18 20:00", BAD), at("2026-11-19 02:00")], daily=2)
    assert names(decision.removed) == ["2026-11-18 20:00"]
    decision = decided([at("2026-11-17 02:00"), at("2026-11-18 20:00", BAD), at("2026-11-19 02:00")], daily=2)
    assert "2026-11-18 20:00" in names(decision.kept)  # better than nothing of that day


def test_one_of_the_future_holds_everything_back():
    archives = [at("2026-11-18"), at("2026-11-19"), at("2027-01-01")]
    decision = decided(archives, last=1)
    assert (decision.held, names(decision.holding), decision.removed) == (Hold.FUTURE, ["2027-01-01"], ())
    assert len(decision.kept) == 3
    assert names(decision.would_go) == ["2026-11-19", "2026-11-18"]


def test_a_clock_that_is_a_little_ahead_holds_nothing():
    ahead = Candidate("ahead", "ahead", NOW + SKEW)
    assert decided([ahead, at("2026-11-18")], last=1).held is None


@pytest.mark.parametrize("shield", [Shield.PINNED, Shield.PROVEN, Shield.OPEN, Shield.IN_USE])
def test_what_is_shielded_stays_and_says_why(shield):
    decision = decided([at("2026-11-01", True, shield), at("2026-11-18"), at("2026-11-19")], last=1)
    assert names(decision.kept) == ["2026-11-19", "2026-11-01"]
    assert why(decision, "2026-11-01") == [Reason(shield)]


ARCHIVES = some.lists(
    some.tuples(some.datetimes(datetime(2024, 1, 1), datetime(2026, 11, 19)), some.booleans()),
    unique_by=lambda pair: pair[0],
    max_size=40,
)
COUNTS = some.integers(-1, 8)
POLICIES = some.builds(Policy, last=COUNTS, hourly=COUNTS, daily=COUNTS, weekly=COUNTS, monthly=COUNTS, yearly=COUNTS)


@given(ARCHIVES, POLICIES)
def test_what_always_holds(pairs, policy):
    candidates = [Candidate(when, str(when), when.replace(tzinfo=UTC), good) for when, good in pairs]
    decision = decide(candidates, policy, PARIS, NOW)
    assert sorted(map(str, [*decision.kept, *decision.removed])) == sorted(map(str, candidates))
    assert all(one.candidate.at >= other.candidate.at for one, other in pairwise(decision.verdicts))
    good = [one for one in candidates if one.is_good]
    if good:
        assert max(good, key=lambda one: one.at) in decision.kept
    if policy.is_empty or not good:
        assert decision.removed == ()
    # What is removed is not needed: without it the rules keep the same.
    again = decide(decision.kept, policy, PARIS, NOW)
    assert again.removed == ()
