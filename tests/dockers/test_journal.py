"""The journal of a restore: what is torn is no line, and nobody else writes at the same time."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers.remote import wire
from servers.remote.dockers import journal, restoring
from servers.remote.dockers.journal import Journal
from servers.remote.dockers.steps import STEPS, kind_of
from tests.dockers.steps_at_hand import journals_fixture

__all__ = ["journals_fixture"]
TOKEN = "abcdef12-3456"


@pytest.fixture
def made(journals: Path) -> Journal:
    one = Journal(TOKEN)
    one.make()
    return one


@pytest.mark.parametrize("torn", [b'\n{"said": "done", "number": 1, "fa', b"\n\xff\x00", b"\n[1]\n", b"\n7\n"])
def test_a_torn_line_is_none_and_the_next_one_counts(made: Journal, torn: bytes) -> None:
    made.begin(1, "need_image", {"a": "b"})
    with Path(made.directory, "journal").open("ab") as file:
        file.write(torn)
    made.note(1, {"c": 2})
    (record,) = made.records()
    assert (record.undo, record.done) == ({"a": "b", "c": 2}, False)
    made.done(1, {})
    assert made.records()[0].done
    assert made.record(1) is not None
    made.undone(1)
    assert made.record(1) is None
    made.begin(1, "need_image", {})
    assert made.record(1) is not None


def test_one_at_a_time(made: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_WAIT_SECONDS", 0.0)
    with made, pytest.raises(wire.Refused, match="still being carried out"):
        Journal(TOKEN).__enter__()
    with Journal(TOKEN):
        pass


def test_it_is_roots_alone_and_begun_once(made: Journal, journals: Path) -> None:
    made.begin(1, "need_image", {})
    for path in (journals, journals / TOKEN):
        assert path.stat().st_mode & 0o777 == 0o700
    assert (journals / TOKEN / "journal").stat().st_mode & 0o777 == 0o600
    with pytest.raises(wire.Refused) as refused:
        restoring.begin(TOKEN)
    assert refused.value.code == "exists"
    made.remove()
    made.remove()
    with pytest.raises(wire.Refused, match="no restore"):
        made.__enter__()


def test_the_set_of_steps_is_closed() -> None:
    for op in STEPS:
        assert kind_of(op).undo is not None
    for op in ("", "run", "stop_container ", "__class__"):
        with pytest.raises(wire.Refused, match="no such step"):
            kind_of(op)
