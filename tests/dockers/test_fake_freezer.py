"""A kernel that does not freeze a container at once: an engine's answers, as they were seen on a busy machine."""

from __future__ import annotations

from typing import Any, cast

import pytest

from servers.remote import wire
from servers.remote.dockers import containers
from servers.remote.dockers.engine import Engine

BUSY = "Cannot pause container x: OCI runtime pause failed: unable to freeze: unknown"


class FakeEngine:
    """Refuses so many times, with these words."""

    def __init__(self, refusals: int, words: str) -> None:
        self.left, self.words, self.asked = refusals, words, []

    def post(self, path: str) -> Any:
        self.asked.append(path)
        if self.left:
            self.left -= 1
            raise wire.Refused("engine", self.words, status=500)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "_FREEZE_PAUSE", 0)


def test_it_is_asked_again():
    engine = FakeEngine(3, BUSY)
    containers.pause(cast(Engine, engine), "a b")
    assert engine.asked == ["/containers/a%20b/pause"] * 4


def test_not_for_ever():
    engine = FakeEngine(10**6, BUSY)
    with pytest.raises(wire.Refused, match="unable to freeze"):
        containers.pause(cast(Engine, engine), "x")
    assert len(engine.asked) == 10


def test_another_refusal_is_one():
    engine = FakeEngine(1, "Container x is not running")
    with pytest.raises(wire.Refused, match="not running"):
        containers.pause(cast(Engine, engine), "x")
    assert len(engine.asked) == 1
