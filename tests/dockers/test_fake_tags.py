"""What a stream of images names is given back, also after a failure; and what others have named meanwhile is theirs."""

from __future__ import annotations

import os
import time
from typing import Any
from urllib.parse import unquote

import pytest

from servers.remote import borg, wire
from servers.remote.dockers.borrowing import BorrowImage
from servers.remote.dockers.images import LoadImage, PullImage
from servers.remote.dockers.journal import Record
from servers.remote.dockers.steps import Context

OLD, ASKED, EVIL, NEWER = ("sha256:" + letter * 64 for letter in "1234")
TOKEN = "a" * 32
Stream = list[tuple[str, str]]


class FakeEngine:
    """Images as an engine keeps them. `stream`: (name, id) of what a load holds, in its order; then `failure`."""

    def __init__(self, names: dict[str, str], stream: Stream, failure: str = "") -> None:
        self.names, self.ids = dict(names), set(names.values())
        self.stream, self.failure = stream, failure
        self.facts: dict[str, dict[str, Any]] = {}

    def get(self, path: str, **query: Any) -> list[dict[str, Any]]:
        assert path == "/images/json"
        return [{"Id": one, "RepoTags": self._tags(one) or ["<none>:<none>"]} for one in sorted(self.ids)]

    def _tags(self, identity: str) -> list[str]:
        return sorted(name for name, one in self.names.items() if one == identity)

    def find(self, path: str, **query: Any) -> dict[str, Any] | None:
        name = unquote(path.removeprefix("/images/").removesuffix("/json"))
        identity = self.names.get(name, name)
        if identity not in self.ids:
            return None
        created = {"Created": "2020-01-01T00:00:00Z"}
        return {"Id": identity, "RepoTags": self._tags(identity), **created, **self.facts.get(identity, {})}

    def post(self, path: str, body: Any = None, **query: Any) -> None:
        identity = unquote(path.removeprefix("/images/").removesuffix("/tag"))
        assert identity in self.ids
        self.names[f"{query['repo']}:{query['tag']}"] = identity

    def delete(self, path: str, **query: Any) -> None:
        name = unquote(path.removeprefix("/images/"))
        identity = self.names.pop(name, name)
        if not self._tags(identity):
            self.ids.discard(identity)

    def send(self, path: str, chunks: Any, hear: Any, **query: Any) -> None:
        for name, identity in self.stream:
            self.ids.add(identity)
            if not name.startswith("sha256:"):
                self.names[name] = identity
            hear({"stream": f"Loaded image{' ID' if name.startswith('sha256:') else ''}: {name}\n"})
        if self.failure:
            raise wire.Refused(self.failure, "unexpected end")

    def messages(self, path: str, **query: Any) -> list[dict[str, Any]]:
        for name, identity in self.stream:
            self.ids.add(identity)
            self.names[name] = identity
        return []


class FakeTool:
    """It prints nothing."""

    def __init__(self) -> None:
        self.process: Any = type("Process", (), {"stdout": open(os.devnull, "rb")})()  # noqa: SIM115

    def end(self) -> None:
        pass


@pytest.fixture(autouse=True)
def no_borg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(borg, "reader", lambda *_: FakeTool)


def carry(
    kind: Any, engine: FakeEngine, params: dict[str, Any], heard: bool = True
) -> tuple[Record, wire.Refused | None]:
    """The record of a step, and how it failed. Not `heard`: whoever listened was killed before it wrote that down."""
    context: Any = Context(engine, TOKEN, None, None, [], 1)  # type: ignore[arg-type]
    step = kind(context, params)
    record = Record({"number": 1, "op": "x", "undo": step.prepare(), "at": time.time()})
    try:
        record.facts = step.apply(record.undo.update if heard else lambda more: None)
    except wire.Refused as refusal:
        return record, refusal
    return record, None


BORROW = {"id": ASKED, "names": ["app:1"], "stream": "images/0.tar"}
LOAD = {"id": ASKED, "images": ["app:1"], "stream": "images/0.tar"}
BEFORE = {"nginx:1": OLD, "app:1": OLD}


@pytest.mark.parametrize("failure", ["", "engine", "stream"])
@pytest.mark.parametrize(("kind", "params"), [(BorrowImage, BORROW), (LoadImage, LOAD)], ids=["borrow", "load"])
def test_names_that_nobody_asked_for_mean_at_once_what_they_meant(
    kind: Any, params: dict[str, Any], failure: str
) -> None:
    """The stream gives production's name another meaning, also where it breaks off behind that."""
    stream = [("nginx:1", EVIL), ("new:1", EVIL), ("app:1", ASKED)]
    engine = FakeEngine(BEFORE, stream, failure)
    _record, failed = carry(kind, engine, params)
    assert (failed is not None) == bool(failure)
    assert engine.names["nginx:1"] == OLD
    assert "new:1" not in engine.names


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize("failure", ["", "engine"])
def test_after_a_drill_nothing_is_left(failure: str, heard: bool) -> None:
    engine = FakeEngine(BEFORE, [("nginx:1", EVIL), (EVIL, EVIL), ("app:1", ASKED)], failure)
    record, _ = carry(BorrowImage, engine, BORROW, heard)
    BorrowImage.undo(engine, record)  # type: ignore[arg-type]
    assert engine.names == BEFORE
    assert ASKED not in engine.ids
    assert not heard or engine.ids == {OLD}


@pytest.mark.parametrize(("kind", "params"), [(BorrowImage, BORROW), (LoadImage, LOAD)], ids=["borrow", "load"])
def test_one_that_was_killed_in_the_middle_gives_names_back_by_its_undo(kind: Any, params: dict[str, Any]) -> None:
    engine = FakeEngine(BEFORE, [("nginx:1", EVIL), ("new:1", EVIL), ("app:1", ASKED)])
    context: Any = Context(engine, TOKEN, None, None, [], 1)  # type: ignore[arg-type]
    record = Record({"number": 1, "op": "x", "undo": kind(context, params).prepare(), "at": time.time()})
    engine.send("/images/load", (), lambda message: None)
    # Meanwhile somebody builds one, and pulls another.
    engine.ids |= {NEWER, "sha256:pulled"}
    engine.names.update({"mine:1": NEWER, "theirs:1": "sha256:pulled"})
    engine.facts[NEWER] = {"Created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    engine.facts["sha256:pulled"] = {"RepoDigests": ["theirs@sha256:1"]}
    kind.undo(engine, record)
    assert engine.names == {**BEFORE, "mine:1": NEWER, "theirs:1": "sha256:pulled"}


@pytest.mark.parametrize(
    ("kind", "params", "stream"),
    [
        (BorrowImage, BORROW, [("app:1", ASKED)]),
        (LoadImage, LOAD, [("app:1", ASKED)]),
        (PullImage, {"reference": "app:1", "id": ASKED, "tag": "app:1"}, [("app:1", ASKED)]),
    ],
    ids=["borrow", "load", "pull"],
)
def test_a_name_that_somebody_gave_to_a_newer_image_stays(kind: Any, params: dict[str, Any], stream: Stream) -> None:
    engine = FakeEngine(BEFORE, stream)
    record, failed = carry(kind, engine, params)
    assert failed is None
    engine.ids.add(NEWER)
    engine.names["app:1"] = NEWER
    kind.undo(engine, record)
    assert engine.names["app:1"] == NEWER
    assert engine.names["nginx:1"] == OLD


@pytest.mark.parametrize("kind", [LoadImage, PullImage])
def test_a_name_that_is_ours_means_again_what_it_meant(kind: Any) -> None:
    engine = FakeEngine(BEFORE, [("app:1", ASKED)])
    params = {"id": ASKED, "images": ["app:1"]} if kind is LoadImage else {"reference": "app:1", "tag": "app:1"}
    record, _ = carry(kind, engine, params)
    assert engine.names["app:1"] == ASKED
    kind.undo(engine, record)
    assert engine.names == BEFORE


def test_the_image_that_was_asked_for_does_not_go_with_a_name() -> None:
    engine = FakeEngine({"nginx:1": OLD}, [("unasked:1", ASKED)])
    _record, failed = carry(LoadImage, engine, {"id": ASKED, "images": [], "stream": "x"})
    assert failed is None
    assert ASKED in engine.ids


def test_a_name_that_its_engine_does_not_take_back_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(BEFORE, [("Odd Name", EVIL), ("nginx:1", EVIL), ("app:1", ASKED)])
    former = engine.find

    def find(path: str, **query: Any) -> dict[str, Any] | None:
        if "Odd" in path:
            raise wire.Refused("engine", "invalid reference format", status=400)
        return former(path, **query)

    monkeypatch.setattr(engine, "find", find)
    _record, failed = carry(BorrowImage, engine, BORROW)
    assert failed is None
    assert engine.names["nginx:1"] == OLD
