"""Many points become one: the mean, the lowest and the highest of each number in each stretch of time.

Stretches are counted from 1970 in UTC, so that a day has 24 hours whatever the clocks on the walls do.
A stretch without a point gives none, and a number that nobody knew there stays unknown: gaps stay gaps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

HOUR, DAY = 3600, 86_400

# What a number is: its name, and the filesystem that it speaks of ("" for the whole server).
Key = tuple[str, str]


class Value(NamedTuple):
    """One number over a stretch of time; the three are the same for a single look.

    A tuple: a chart of a quarter makes a hundred thousand of them.
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, number: float) -> Value:
        return cls(number, number, number)


@dataclass(frozen=True)
class Point:
    """The known numbers of a moment, or of the stretch that begins there."""

    at: datetime
    values: Mapping[Key, Value] = field(default_factory=dict)


def floor(moment: datetime, seconds: int) -> datetime:
    """The beginning of the stretch that a moment lies in."""
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)


def fold(points: Iterable[Point], seconds: int) -> list[Point]:
    """The stretches of `seconds` in order. Points of equal weight: the mean is that of their means."""
    stretches: defaultdict[datetime, defaultdict[Key, list[Value]]] = defaultdict(lambda: defaultdict(list))
    for point in points:
        gathered = stretches[floor(point.at, seconds)]
        for key, value in point.values.items():
            gathered[key].append(value)
    return [Point(at, {key: _merged(values) for key, values in stretches[at].items()}) for at in sorted(stretches)]


def _merged(values: list[Value]) -> Value:
    low, high = min(value.low for value in values), max(value.high for value in values)
    # Rounding may carry a mean of equal numbers beyond them.
    mean = min(max(sum(value.mean for value in values) / len(values), low), high)
    return Value(mean, low, high)
