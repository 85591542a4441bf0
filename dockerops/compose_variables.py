"""Variables of Compose files: where a text that holds one is defined, and what it means. Pure.

A variable's value may be a secret. It leaves here only for a text that says a name, a port or a path, and the caller
keeps it only when it is one (`compose_reading._told` and `_fits`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from dockerops.compose_files import NAME, NAME_TAKEN
from servers.remote.probes.compose_values import is_plain

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
REFERENCE = re.compile(rf"\$(?:(\$)|({_NAME})|\{{({_NAME})(?:(:?[-?+])([^${{}}]*))?\}})")

# More than that is no name and no path: an archive may hold what somebody made to fill a memory.
_MOST_REFERENCES, _MOST_LETTERS = 20, 4096


class Unclear(Exception):
    """An `.env` that is written in a way that is not known here."""


@dataclass(frozen=True)
class Assignment:
    """One line of an `.env`: where its value begins and what it is; None when it is more than plain text."""

    name: str
    start: int  # in bytes
    line: int
    value: str | None


@dataclass(frozen=True)
class Place:
    """Where a part of a text is defined. `offset`: in the part itself; None: in `.env`, at `assignment`; or nowhere.

    `is_filled`: variables among other letters were filled in; `is_plain`: each is plainly a piece of a path.
    """

    value: str = ""  # what the part means; empty: nobody can say
    offset: int | None = None
    old: str = ""
    assignment: Assignment | None = None
    pattern: str = ""
    hand: bool = False
    is_filled: bool = False
    is_plain: bool = False


@dataclass
class Variables:
    """Those of one project. `places` counts where `place` led into `.env`, `uses` where a variable stands at all."""

    project: str
    rows: Mapping[str, list[Assignment]] = field(default_factory=dict)
    places: Counter[str] = field(default_factory=Counter)
    uses: Counter[str] = field(default_factory=Counter)

    def count(self, text: str) -> None:
        """Every variable of a text is used once more."""
        self.uses.update(one[2] or one[3] for one in REFERENCE.finditer(text) if not one[1])

    def place(self, part: str) -> Place:
        """Where this part of a text is defined."""
        if "$" not in part:
            return Place(part, 0, part)
        found = [*REFERENCE.finditer(part)]
        if len(found) > _MOST_REFERENCES:
            return Place(hand=True)
        names = {one[2] or one[3] or "$" for one in found}
        if names == {NAME}:
            value = REFERENCE.sub(lambda _: self.project, part)
            return Place(value, pattern=REFERENCE.sub(lambda _: NAME_TAKEN, part), hand=True)
        if len(found) == 1 and found[0][0] == part and "$" not in names:
            return self._single(found[0])
        return self._filled(part)

    def _single(self, found: re.Match[str]) -> Place:
        name, rows = found[2] or found[3], self.rows.get(found[2] or found[3], [])
        if rows:
            value = rows[-1].value
            if len(rows) > 1 or not value or len(value) > _MOST_LETTERS or (found[4] or "").endswith("+"):
                return Place(hand=True)
            self.places[name] += 1
            return Place(value, None, value, rows[0])
        if found[4] in ("-", ":-") and found[5]:
            return Place(found[5], found.start(5), found[5])
        return Place(hand=True)

    def _filled(self, part: str) -> Place:
        """With all of its variables filled in; it means nothing when one of them is not known."""
        known = plain = True

        def fill(one: re.Match[str]) -> str:
            nonlocal known, plain
            if one[1]:
                return "$"
            name = one[2] or one[3]
            rows = self.rows.get(name, [])
            value = rows[-1].value if rows else one[5] if one[4] in ("-", ":-") else None
            known = known and value is not None and len(value) <= _MOST_LETTERS and (one[4] or "-").endswith("-")
            plain = plain and (not value or is_plain(name, value))
            return value if value and known else ""

        meant = REFERENCE.sub(fill, part)
        known = known and "$" not in REFERENCE.sub("", part)
        return Place(meant if known else "", hand=True, is_filled=True, is_plain=plain)

    def leave(self, place: Place) -> None:
        """This place is none of those that are changed: its variable says something else there."""
        if place.assignment is not None:
            self.places[place.assignment.name] -= 1

    def is_shared(self, name: str) -> bool:
        """Does it also stand where something else is said?"""
        return self.uses[name] != self.places[name]


def assignments(text: str) -> dict[str, list[Assignment]]:
    """The lines of an `.env` by their names. Raises Unclear for a value that goes over several lines."""
    found: dict[str, list[Assignment]] = {}
    at = 0
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        left, equals, right = line.rstrip("\r\n").partition("=")
        name = left.strip().removeprefix("export ").strip()
        if equals and not left.lstrip().startswith("#"):
            offset, value = _value(right)
            start = at + len(f"{left}={right[:offset]}".encode())
            found.setdefault(name, []).append(Assignment(name, start, number, value))
        at += len(line.encode())
    return found


def _value(right: str) -> tuple[int, str | None]:
    """(where it begins, what it is)"""
    bare = right.lstrip()
    offset = len(right) - len(bare)
    quote = bare[:1]
    if quote in ("'", '"') and quote:
        inner, closed, _ = bare[1:].partition(quote)
        if not closed:
            raise Unclear
        return offset + 1, None if "\\" in inner or "$" in inner else inner
    value = bare.partition(" #")[0].rstrip()
    return offset, None if any(letter in value for letter in "\\$'\"") else value
