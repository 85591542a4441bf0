"""A difference between a truth and a report is found, whatever it is; needs no laboratory."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.truth.matching import Holds, Number, Text, differences

TRUTH: dict[str, Any] = {
    "version": Text(r"15\.\d+"),
    "size": Number(1, 5),
    "options": Holds(("rw",)),
    "list": [{"a": None}],
    "flag": True,
}
FOUND: dict[str, Any] = {"version": "15.2", "size": 5, "options": ["rw", "x"], "list": [{"a": None}], "flag": True}


def test_what_fits() -> None:
    assert list(differences(TRUTH, FOUND)) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("version", value) for value in ("16.2", "15.2 ", None, 15)),
        *(("size", value) for value in (0, 6, None, True, "3")),
        *(("options", value) for value in ([], None)),
        *(("list", value) for value in ([], [{"a": 0}], [{}], [{"a": None, "b": 1}], [{"a": None}, {"a": None}])),
        *(("flag", value) for value in (1, False, None)),
    ],
)
def test_what_does_not(name: str, value: Any) -> None:
    assert any(line.startswith(f".{name}") for line in differences(TRUTH, {**FOUND, name: value}))


def test_names_that_are_missing_or_too_many() -> None:
    assert any(
        ".flag is missing" in line for line in differences(TRUTH, {k: v for k, v in FOUND.items() if k != "flag"})
    )
    assert any(".new is more" in line for line in differences(TRUTH, {**FOUND, "new": 1}))
