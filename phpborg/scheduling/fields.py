"""One field of a cron text: what may stand in it, and the values that it means.

A field is a list of items: `*`, a value, a range `a-b`, each with an optional step `/n`, or `H`
(`H`, `H/n`, `H(a-b)`, `H(a-b)/n`): a value that is spread over the range by a stable seed, so that a
hundred jobs do not start in the same minute.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from phpborg.scheduling.errors import CronInvalid

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

_ITEM = re.compile(
    r"(?:(?P<star>\*)"
    r"|(?P<spread>H)(?:\((?P<spread_low>[A-Z0-9]+)-(?P<spread_high>[A-Z0-9]+)\))?"
    r"|(?P<low>[A-Z0-9]+)(?:-(?P<high>[A-Z0-9]+))?)"
    r"(?:/(?P<step>[0-9]+))?"
)
_FOREIGN = re.compile(r"L|LW|L-\d+|\d+[LW]|[A-Z]{3}L|.*[#?].*")


@dataclass(frozen=True)
class FieldKind:
    """What one of the five fields may hold; Sunday is 0 (7 is accepted and means the same)."""

    key: str
    label: str | Promise
    low: int
    high: int
    names: Mapping[str, int]
    spread_high: int

    @property
    def count(self) -> int:
        """How many different values there are."""
        return self.high - self.low + 1

    def refuse(self, problem: str) -> CronInvalid:
        """The error that names this field."""
        return CronInvalid(key=self.key, field=str(self.label), problem=problem)


MINUTE = FieldKind("minute", gettext_lazy("minute"), 0, 59, {}, 59)
HOUR = FieldKind("hour", gettext_lazy("hour"), 0, 23, {}, 23)
# `H` stays within the days that every month has.
DAY = FieldKind("day", gettext_lazy("day of the month"), 1, 31, {}, 28)
MONTH = FieldKind("month", gettext_lazy("month"), 1, 12, {name: n for n, name in enumerate(_MONTHS, 1)}, 12)
WEEKDAY = FieldKind("weekday", gettext_lazy("day of the week"), 0, 6, {name: n for n, name in enumerate(_WEEKDAYS)}, 6)
KINDS = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)


@dataclass(frozen=True)
class Field:
    """A parsed field: `values` ascending; `step` is the n of a field that is just `*/n`, else 1."""

    text: str
    values: tuple[int, ...]
    starred: bool
    spread: bool
    step: int


class _Span(NamedTuple):
    low: int
    high: int
    step: int


def parse_field(kind: FieldKind, text: str, seed: str) -> Field:
    """The values that `text` means. Raises CronInvalid."""
    values: set[int] = set()
    items = text.upper().split(",")
    matches = [_match(kind, item, text) for item in items]
    for match in matches:
        values.update(_values(kind, match, seed))
    starred = any(match["star"] for match in matches)
    return Field(
        text=text.upper(),
        values=tuple(sorted(values)),
        starred=starred,
        spread=any(match["spread"] for match in matches),
        step=int(matches[0]["step"] or 1) if starred and len(items) == 1 else 1,
    )


def _match(kind: FieldKind, item: str, text: str) -> re.Match[str]:
    if not item:
        raise kind.refuse(_("“{text}” has an empty place in its list.").format(text=text))
    if _FOREIGN.fullmatch(item):
        raise kind.refuse(_("“{item}” is not supported: there is no L, W, # or ? here.").format(item=item))
    match = _ITEM.fullmatch(item)
    if match is None:
        raise kind.refuse(_("“{item}” cannot be read.").format(item=item))
    return match


def _values(kind: FieldKind, match: re.Match[str], seed: str) -> set[int]:
    if match["star"]:
        span = _Span(kind.low, kind.high, _step(kind, match))
    elif match["spread"]:
        span = _spread(kind, match, seed)
    elif match["high"]:
        span = _Span(*_bounds(kind, match["low"], match["high"]), _step(kind, match))
    else:
        low = _number(kind, match["low"])
        if kind is WEEKDAY:
            low %= 7
        # `5/15` means from 5 to the end of the field.
        span = _Span(low, kind.high if match["step"] else low, _step(kind, match))
    values = range(span.low, span.high + 1, span.step)
    return {value % 7 for value in values} if kind is WEEKDAY else set(values)


def _spread(kind: FieldKind, match: re.Match[str], seed: str) -> _Span:
    """A place in the range that depends on the seed and the field only."""
    low, high = kind.low, kind.spread_high
    if match["spread_low"]:
        low, high = _bounds(kind, match["spread_low"], match["spread_high"])
    digest = hashlib.sha256(f"{seed}\0{kind.key}".encode()).digest()
    number = int.from_bytes(digest[:8], "big")
    if not match["step"]:
        place = low + number % (high - low + 1)
        return _Span(place, place, 1)
    step = _step(kind, match)
    return _Span(low + number % min(step, high - low + 1), high, step)


def _bounds(kind: FieldKind, first: str, last: str) -> tuple[int, int]:
    """The two ends of a range; Sunday is the end of the week at the end, and the start at the start."""
    low, high = _number(kind, first), _number(kind, last)
    if kind is WEEKDAY:
        if high == 0 and low > 0:
            high = 7
        if low == 7 and high < 7:
            low = 0
    if low > high:
        raise kind.refuse(
            _("the range “{first}-{last}” runs backwards; write “{first}-{end},{start}-{last}”.").format(
                first=first, last=last, end=_spelled(kind, kind.high, first), start=_spelled(kind, kind.low, first)
            )
        )
    return low, high


def _spelled(kind: FieldKind, value: int, like: str) -> str:
    """That value as a name if its neighbour is written as one."""
    return next(name for name, number in kind.names.items() if number == value) if like in kind.names else str(value)


def _number(kind: FieldKind, token: str) -> int:
    if token.isdecimal():
        value = int(token[:9])
        if kind.low <= value <= kind.high or (kind is WEEKDAY and value == 7):
            return value
        raise kind.refuse(
            _("“{value}” is not between {low} and {high}.").format(
                value=token, low=kind.low, high=7 if kind is WEEKDAY else kind.high
            )
        )
    if token in kind.names:
        return kind.names[token]
    if not kind.names:
        raise kind.refuse(_("“{item}” is not a number.").format(item=token))
    names = ", ".join(kind.names)
    raise kind.refuse(_("“{item}” is neither a number nor one of {names}.").format(item=token, names=names))


def _step(kind: FieldKind, match: re.Match[str]) -> int:
    if match["step"] is None:
        return 1
    step = int(match["step"][:9])
    if step == 0:
        raise kind.refuse(_("a step must be 1 or more."))
    if step > kind.count:
        raise kind.refuse(
            _("the step “{step}” is larger than the field, which goes from {low} to {high}.").format(
                step=step, low=kind.low, high=kind.high
            )
        )
    return step


def stretches(values: tuple[int, ...]) -> list[tuple[int, int]]:
    """Ascending values as stretches of at least three neighbours, or single values (a, a)."""
    groups: list[list[int]] = []
    for value in values:
        if groups and groups[-1][-1] == value - 1:
            groups[-1].append(value)
        else:
            groups.append([value])
    found: list[tuple[int, int]] = []
    for group in groups:
        found += [(group[0], group[-1])] if len(group) > 2 else [(value, value) for value in group]
    return found


def even_step(values: tuple[int, ...]) -> int | None:
    """The distance between neighbours when it is the same everywhere, else None."""
    gaps = {later - earlier for earlier, later in pairwise(values)}
    return gaps.pop() if len(gaps) == 1 else None
