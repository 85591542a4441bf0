"""Room on the target: nothing is filled to the last byte."""

from __future__ import annotations

from typing import Any

import pytest

from dockerops.conflict_machine import reserve_of
from dockerops.services.archive_reading import Count
from dockerops.services.extracting import Extraction, Portion
from recovery.errors import NotEnoughSpace

GIB = 1 << 30


@pytest.mark.parametrize(
    ("needed", "total", "reserve"),
    [
        (0, 100 * GIB, 0),
        (1000, 100 * GIB, 1000),
        (3 * GIB, 10 * GIB, GIB),
        (30 * GIB, None, GIB),
        (30 * GIB, 100 * GIB, 5 * GIB),
    ],
)
def test_five_percent_or_a_gibibyte_and_for_little_as_much_again(needed: int, total: int | None, reserve: int) -> None:
    assert reserve_of(needed, total) == reserve


class Staged(Exception):
    """It was content with the room."""


class FakePart:
    """The task, its host and the engine at once: answers one stage."""

    token, pk = "t", "s"

    def __init__(self, free: int) -> None:
        self.free = free
        self.host = self.server = self.stop = self

    def hold(self, kind: str, **data: Any) -> None:
        pass

    def call(self, verb: str, *_: Any, **__: Any) -> dict[str, Any]:
        return {"free_bytes": self.free, "total_bytes": 100 * GIB, "created": []}

    def check(self) -> None:
        raise Staged


@pytest.mark.parametrize(("free", "ends"), [(35 * GIB - 1, NotEnoughSpace), (35 * GIB, Staged)])
def test_fake_nothing_is_extracted_that_would_fill_the_disk(free: int, ends: type[Exception]) -> None:
    part: Any = FakePart(free)
    extraction = Extraction(part, part, part, 1)
    with pytest.raises(ends):
        extraction.extract(Portion("/srv", ("/srv/a",), Count(1, 30 * GIB)), part)
