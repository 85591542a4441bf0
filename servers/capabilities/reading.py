"""Reads JSON of a stranger into frozen dataclasses, by their annotations: whatever comes, an instance comes out.

A value of the wrong type is None (an empty tuple or table where the annotation says so), an unknown key is
dropped, texts and lists are bounded each and all together. An annotation is one of: a scalar or a dataclass
`| None`, a dataclass, `tuple[X, ...]`, `dict[str, X]`, or `str`, `int`, `float`, `bool` inside these.
"""

from __future__ import annotations

import math
import types
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from phpborg.tasks.text import printable

T = TypeVar("T")
# A path is at most 4096 bytes; a list of databases or volumes rarely has a hundred entries.
TEXT_CHARACTERS, LIST_ENTRIES = 4096, 2000
ALL_VALUES, ALL_CHARACTERS = 60_000, 2_000_000
_BIGGEST = 2**63 - 1  # what a column and a page can hold
_SCALARS = (str, int, float, bool)


@dataclass
class Budget:
    """How much is still taken of one answer; `cut` once something was left out."""

    values: int = ALL_VALUES
    characters: int = ALL_CHARACTERS
    cut: bool = False

    def take(self, characters: int = 0) -> bool:
        """Is there room for one more value?"""
        if self.values < 1 or self.characters < characters:
            self.cut = True
            return False
        self.values -= 1
        self.characters -= characters
        return True


def read(kind: type[T], raw: Any, budget: Budget) -> T:
    """An instance of the dataclass `kind`; what `raw` does not say is None or empty."""
    found: T = _table(kind, raw if isinstance(raw, dict) else {}, budget)
    return found


def text(raw: Any, budget: Budget) -> str | None:
    """A bounded text that every database takes; None when it is none."""
    return _text(raw, budget) if isinstance(raw, str) else None


def number(raw: Any, budget: Budget) -> float | None:
    """A finite number from zero on, or None."""
    found: float | None = _scalar(float, raw, budget)
    return found


@cache
def _annotations(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _table(kind: Any, raw: dict[Any, Any], budget: Budget) -> Any:
    hints: dict[str, Any] = _annotations(kind)
    return kind(**{name: _value(hint, raw.get(name), budget) for name, hint in hints.items()})


def _value(hint: Any, raw: Any, budget: Budget) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (only,) = [part for part in inner if part is not type(None)]
        return None if raw is None else _optional(only, raw, budget)
    if origin is tuple:
        return _list(inner[0], raw, budget)
    if origin is dict:
        return _dictionary(inner[1], raw, budget)
    return read(hint, raw, budget)


def _optional(hint: Any, raw: Any, budget: Budget) -> Any:
    """The value, or None when it is of another type."""
    if hint in _SCALARS:
        return _scalar(hint, raw, budget)
    if get_origin(hint) is tuple:
        return _list(get_args(hint)[0], raw, budget) if isinstance(raw, (list, tuple)) else None
    if get_origin(hint) is dict:
        return _dictionary(get_args(hint)[1], raw, budget) if isinstance(raw, dict) else None
    return _table(hint, raw, budget) if isinstance(raw, dict) and budget.take() else None


def _list(hint: Any, raw: Any, budget: Budget) -> tuple[Any, ...]:
    found: list[Any] = []
    for one in raw if isinstance(raw, (list, tuple)) else ():
        if len(found) >= LIST_ENTRIES or not budget.take():
            budget.cut = True
            break
        value = _optional(hint, one, budget)
        if value is not None:
            found.append(value)
    return tuple(found)


def _dictionary(hint: Any, raw: Any, budget: Budget) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, one in raw.items() if isinstance(raw, dict) else ():
        if len(found) >= LIST_ENTRIES or not budget.take():
            budget.cut = True
            break
        key, value = _scalar(str, name, budget), _optional(hint, one, budget)
        if key is not None and value is not None:
            found[key] = value
    return found


def _scalar(kind: Any, raw: Any, budget: Budget) -> Any:
    if kind is str:
        return text(raw, budget)
    # True is an int to Python, never to us.
    if kind is bool or isinstance(raw, bool):
        return raw if kind is bool and isinstance(raw, bool) else None
    if kind is int:
        return raw if isinstance(raw, int) and 0 <= raw <= _BIGGEST else None
    # Sizes, counts, seconds and percentages: nothing that a server tells is below zero.
    if not isinstance(raw, (int, float)) or not math.isfinite(raw) or not 0 <= raw <= _BIGGEST:
        return None
    return float(raw)


def _text(raw: str, budget: Budget) -> str | None:
    if len(raw) > TEXT_CHARACTERS:
        raw = raw[: TEXT_CHARACTERS - 1] + "…"
        budget.cut = True
    shown = printable(raw)
    return shown if budget.take(len(shown)) else None
