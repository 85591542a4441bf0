"""What `hello` says of borg: asked once, then remembered for as long as it is the same file."""

from __future__ import annotations

from pathlib import Path

import pytest

from servers.remote import borg, facts, places, wire


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A borg that writes down how often it was asked."""
    path = tmp_path / "borg"
    write(path, "1.2.4", tmp_path)
    monkeypatch.setattr(borg, "find_borg", lambda: str(path))
    monkeypatch.setattr(places, "state_directory", lambda: str(tmp_path / "state"))
    return path


def write(path: Path, version: str, root: Path) -> None:
    new = path.with_suffix(".new")
    new.write_text(f"#!/bin/sh\necho asked >> {root}/asked\necho borg {version}\n")
    new.chmod(0o755)
    new.replace(path)


def version(*, quick: bool = True) -> str | None:
    return facts._borg(wire.Control(15), quick)["version"]


def times_asked(program: Path) -> int:
    return len((program.parent / "asked").read_text().splitlines())


def test_it_is_asked_once(program: Path) -> None:
    assert [version() for _ in range(3)] == ["1.2.4"] * 3
    assert times_asked(program) == 1
    assert version(quick=False) == "1.2.4"  # set-up believes no note
    assert times_asked(program) == 2


def test_an_upgrade_is_noticed(program: Path) -> None:
    assert version() == "1.2.4"
    write(program, "1.2.8", program.parent)  # as long as before, and of the same second
    assert version() == "1.2.8"


@pytest.mark.parametrize("note", ["", "[]", '{"version": "9.9"}', '{"version": "9.9", "identity": []}', "\0"])
def test_a_damaged_note_is_no_answer(program: Path, note: str) -> None:
    Path(places.state_directory()).mkdir()
    Path(places.version_note()).write_text(note)
    assert version() == "1.2.4"


def test_a_broken_borg_is_not_remembered(program: Path) -> None:
    program.write_text("#!/bin/sh\necho 'ImportError: no module named borg'\nexit 1\n")
    said = facts._borg(wire.Control(15), quick=True)
    assert said["version"] is None
    assert "ImportError" in str(said["problem"])
    assert not Path(places.version_note()).exists()
