"""A truth against what was found. A truth is the value itself, or one of the words below where two builds differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Text:
    """A text that the whole pattern describes."""

    pattern: str

    def fits(self, found: Any) -> bool:
        """Is it one of these?"""
        return isinstance(found, str) and re.fullmatch(self.pattern, found) is not None


@dataclass(frozen=True)
class Number:
    """A number from `least` to `most`, both included; never null."""

    least: float
    most: float

    def fits(self, found: Any) -> bool:
        """Is it one of these?"""
        return isinstance(found, int | float) and not isinstance(found, bool) and self.least <= found <= self.most


@dataclass(frozen=True)
class Holds:
    """A list that has these beside others: what the builder's machine adds is not the laboratory's."""

    truths: tuple[Any, ...]


MEBI, GIBI = 1 << 20, 1 << 30
PID = Number(2, 1 << 22)


def differences(truth: Any, found: Any, path: str = "") -> Iterator[str]:
    """A line for each place in which they differ, missing and unexpected names included."""
    if isinstance(truth, Text | Number):
        if not truth.fits(found):
            yield f"{path}: {found!r} is not {truth}"
    elif isinstance(truth, Holds):
        for number, one in enumerate(truth.truths):
            if not any(not list(differences(one, other)) for other in found or []):
                yield f"{path}: none is as number {number} of the truth: {one!r}, in {found!r}"
    elif isinstance(truth, dict) and isinstance(found, dict):
        for name in truth.keys() | found.keys():
            if name in truth and name in found:
                yield from differences(truth[name], found[name], f"{path}.{name}")
            else:
                yield f"{path}.{name} is {'missing' if name in truth else f'more than the truth: {found[name]!r}'}"
    elif isinstance(truth, list) and isinstance(found, list):
        if len(truth) != len(found):
            yield f"{path}: {len(found)} instead of {len(truth)}: {found!r}"
        for number, (one, other) in enumerate(zip(truth, found, strict=False)):
            yield from differences(one, other, f"{path}[{number}]")
    elif (truth, type(truth)) != (found, type(found)):
        yield f"{path}: {found!r} instead of {truth!r}"
