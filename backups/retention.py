"""Which archives of a job stay, and why: pure, so that a preview is what happens.

    candidates (the archives of one job) + policy + zone + now → Decision

Rules are tried in the order within, last, hourly, daily, weekly, monthly, yearly. A rule of periods looks at the newest
archive of each period (an hour, a day, an ISO week … of the clock of `zone`), newest period first. One that an earlier
rule keeps already stands for its period and is not counted again. A rule that runs out of periods keeps the oldest
archive besides, so that a history which has just begun grows into its rule.

That is Borg's own choice (`borg prune`), but for these:

* the hour that a clock repeats is two hours, since two hours went by (Borg: one);
* `last` counts archives, also several of the same second (Borg: one a second);
* an incomplete archive stands for its period only where no good one does, and `last` counts good ones (Borg knows no
  incomplete ones, and keeps whichever is the newest);
* a date that a clock shows twice, with another between, is one day (Borg: two);
* what is shielded stays besides, and the newest is always shielded.

Nothing at all is removed while the decision is held: by an archive of the future, because its periods would push good
ones out; without any good archive; and by a policy that keeps nothing, which is no policy.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

# A server's clock may be a little ahead of ours.
SKEW = timedelta(minutes=10)
UNLIMITED = -1
MOST = 9999


class Rule(StrEnum):
    """In the order in which they are tried."""

    WITHIN = "within"
    LAST = "last"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"


class Shield(StrEnum):
    """What keeps an archive whatever the rules say."""

    PINNED = "pinned"
    PROVEN = "proven"  # the last one of its job that was proven
    OPEN = "open"  # a session or a folder of it is open
    IN_USE = "in_use"  # a task reads it
    NEWEST = "newest"
    NEWEST_GOOD = "newest_good"


class Hold(StrEnum):
    """Why nothing is removed."""

    FUTURE = "future"
    NO_GOOD = "no_good"
    NO_POLICY = "no_policy"


@dataclass(frozen=True)
class Policy:
    """How many of each are kept: 0 none, UNLIMITED all. `within` is a span back from now."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: timedelta | None = None

    def __post_init__(self) -> None:
        counts = [self.count(rule) for rule in Rule if rule is not Rule.WITHIN]
        if any(not UNLIMITED <= count <= MOST for count in counts):
            raise ValueError(f"a count is {UNLIMITED} to {MOST}")
        if self.within is not None and self.within < timedelta(0):
            raise ValueError("a span back from now is not negative")

    def count(self, rule: Rule) -> int:
        """How many that rule keeps; of `within`, whether it keeps any."""
        return int(bool(self.within)) if rule is Rule.WITHIN else int(getattr(self, rule.value))

    @property
    def is_empty(self) -> bool:
        """Would it keep nothing?"""
        return not any(self.count(rule) for rule in Rule)


@dataclass(frozen=True)
class Candidate:
    """One archive: `at` when it was begun (aware), `is_good` with success or with notes, and what shields it."""

    key: Hashable
    name: str
    at: datetime
    is_good: bool = True
    shields: frozenset[Shield] = frozenset()

    def __post_init__(self) -> None:
        if self.at.tzinfo is None:
            raise ValueError("`at` must be aware")


@dataclass(frozen=True)
class Reason:
    """Why one stays: a rule with the how-manieth it is, counted from 1, or a shield."""

    why: Rule | Shield
    number: int | None = None
    is_oldest: bool = False


@dataclass(frozen=True)
class Verdict:
    """One archive, and all that keeps it; nothing keeps what goes."""

    candidate: Candidate
    reasons: tuple[Reason, ...]

    @property
    def is_kept(self) -> bool:
        return bool(self.reasons)


@dataclass(frozen=True)
class Decision:
    """All of a job's archives, newest first. `held`: nothing is removed, whatever the verdicts say."""

    verdicts: tuple[Verdict, ...]
    held: Hold | None = None
    holding: tuple[Candidate, ...] = field(default=())  # those of the future

    @property
    def kept(self) -> tuple[Candidate, ...]:
        """Those that stay."""
        gone = {one.key for one in self.removed}
        return tuple(one.candidate for one in self.verdicts if one.candidate.key not in gone)

    @property
    def removed(self) -> tuple[Candidate, ...]:
        """Those that go now."""
        return () if self.held else self.would_go

    @property
    def would_go(self) -> tuple[Candidate, ...]:
        """Those that nothing keeps, though a hold may."""
        return tuple(one.candidate for one in self.verdicts if not one.is_kept)


def decide(candidates: Iterable[Candidate], policy: Policy, zone: ZoneInfo, now: datetime) -> Decision:
    """The verdict on every archive of one job. Raises ValueError when two have one key."""
    ordered = sorted(candidates, key=lambda one: (one.at, one.name), reverse=True)
    reasons: dict[Hashable, list[Reason]] = {one.key: [] for one in ordered}
    if len(reasons) != len(ordered):
        raise ValueError("two archives have one key")
    for one, reason in _by_rules(ordered, policy, zone, now):
        reasons[one.key].append(reason)
    for one, shield in _shielded(ordered):
        reasons[one.key].append(Reason(shield))
    held, holding = _hold(ordered, policy, now)
    return Decision(tuple(Verdict(one, tuple(reasons[one.key])) for one in ordered), held, holding)


def _by_rules(
    ordered: Sequence[Candidate], policy: Policy, zone: ZoneInfo, now: datetime
) -> Iterator[tuple[Candidate, Reason]]:
    taken: set[Hashable] = set()
    for rule in Rule:
        count = policy.count(rule)
        if not count:
            continue
        chosen = _within(ordered, policy, now) if rule is Rule.WITHIN else _chosen(ordered, rule, count, zone, taken)
        for one, reason in chosen:
            taken.add(one.key)
            yield one, reason


def _within(ordered: Sequence[Candidate], policy: Policy, now: datetime) -> Iterator[tuple[Candidate, Reason]]:
    assert policy.within is not None
    since = now - policy.within
    for number, one in enumerate((one for one in ordered if one.at > since), 1):
        yield one, Reason(Rule.WITHIN, number)


def _chosen(
    ordered: Sequence[Candidate], rule: Rule, count: int, zone: ZoneInfo, taken: set[Hashable]
) -> Iterator[tuple[Candidate, Reason]]:
    number = 0
    for one in _standing(ordered, rule, zone):
        if one.key in taken:
            continue
        number += 1
        yield one, Reason(rule, number)
        if number == count:
            return
    oldest = _oldest(ordered)
    if count != UNLIMITED and oldest and oldest.key not in taken:
        yield oldest, Reason(rule, number + 1, is_oldest=True)


def _standing(ordered: Sequence[Candidate], rule: Rule, zone: ZoneInfo) -> list[Candidate]:
    """One archive for each period, newest first: the newest good one of it, else the newest."""
    if rule is Rule.LAST:
        return [one for one in ordered if one.is_good] or list(ordered)
    found: dict[Hashable, Candidate] = {}
    for one in ordered:
        period = _PERIODS[rule](one.at.astimezone(zone))
        there = found.get(period)
        if there is None or (one.is_good and not there.is_good):
            found[period] = one
    return list(found.values())


def _oldest(ordered: Sequence[Candidate]) -> Candidate | None:
    good = [one for one in ordered if one.is_good]
    among = good or ordered
    return among[-1] if among else None


def _shielded(ordered: Sequence[Candidate]) -> Iterator[tuple[Candidate, Shield]]:
    for one in ordered:
        for shield in sorted(one.shields):
            yield one, shield
    if ordered:
        yield ordered[0], Shield.NEWEST
    if good := next((one for one in ordered if one.is_good), None):
        yield good, Shield.NEWEST_GOOD


def _hold(ordered: Sequence[Candidate], policy: Policy, now: datetime) -> tuple[Hold | None, tuple[Candidate, ...]]:
    future = tuple(one for one in ordered if one.at > now + SKEW)
    if policy.is_empty:
        return Hold.NO_POLICY, future
    if future:
        return Hold.FUTURE, future
    if ordered and not any(one.is_good for one in ordered):
        return Hold.NO_GOOD, future
    return None, future


def _hour(local: datetime) -> Hashable:
    """An hour that happened: the repeated one of a clock is another."""
    offset = local.utcoffset() or timedelta(0)
    return (local.replace(minute=0, second=0, microsecond=0, tzinfo=UTC), offset)


_PERIODS: dict[Rule, Callable[[datetime], Hashable]] = {
    Rule.HOURLY: _hour,
    Rule.DAILY: lambda local: local.date(),
    Rule.WEEKLY: lambda local: tuple(local.isocalendar())[:2],
    Rule.MONTHLY: lambda local: (local.year, local.month),
    Rule.YEARLY: lambda local: local.year,
}
