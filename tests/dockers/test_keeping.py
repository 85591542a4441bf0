"""The directory in which former content is kept: who may have made it, and to whom it may have been given since."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.remote import wire
from servers.remote.dockers import keeping, restoring
from tests.dockers.steps_at_hand import NoEngine, do, fill, journals_fixture, stage, tree_of

__all__ = ["journals_fixture"]
TOKEN = "abcdef12-3456"
OWNER = (998, 998)


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch, journals: Path) -> None:
    monkeypatch.setattr(restoring, "Engine", lambda socket: NoEngine())


def test_fake_what_a_filesystem_gives_to_another_owner_is_refused_and_not_left_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a share that makes root nobody."""
    make = os.mkdir

    def squashed(name: bytes, mode: int = 0o777, *, dir_fd: int) -> None:
        make(name, mode, dir_fd=dir_fd)
        os.chown(name, 65534, 65534, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", squashed)
    with pytest.raises(wire.Refused, match="root's alone"):
        keeping.opened(os.fsencode(tmp_path), TOKEN, make=True)
    assert list(tmp_path.iterdir()) == []


def test_what_somebody_else_had_made_stays_where_it_is(tmp_path: Path) -> None:
    keep = tmp_path / f".phpborg-{TOKEN}"
    keep.mkdir()
    os.chown(keep, 65534, 65534)
    for make in (True, False):
        with pytest.raises(wire.Refused, match="root's alone"):
            keeping.opened(os.fsencode(tmp_path), TOKEN, make=make)
    assert keep.stat().st_uid == 65534


def _given_away(top: Path, user: int) -> None:
    """As the entrypoints of databases do it with all that lies in their directory of data."""
    subprocess.run(["find", top, "!", "-user", str(user), "-exec", "chown", str(user), "{}", "+"], check=True)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "data"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], check=True)
    fill(place, {"both.txt": "present", "old/x": "2"}, OWNER)
    os.chown(place / "old", 0, 0)
    (place / "old").chmod(0o2700)
    yield place
    subprocess.run(["umount", place], check=True)


def _fill(place: Path) -> None:
    restoring.begin(TOKEN)
    stage(place, TOKEN, str(place), {"both.txt": "archived", "new": "1"}, OWNER)
    where = {"target": str(place), "stage": str(place), "source": str(place), "whole": False}
    do(NoEngine(), TOKEN, 0, "exchange", where)
    subprocess.run(["rm", "-r", place / f".phpborg-restore-{TOKEN}"], check=True)


@pytest.mark.usefixtures("no_engine")
def test_what_a_container_gave_to_its_own_user_comes_back_as_it_was(mounted: Path) -> None:
    before = tree_of(mounted, times=False)
    _fill(mounted)
    _given_away(mounted, 999)
    assert restoring.state(TOKEN)["kept_bytes"] > 0
    _given_away(mounted, 998)
    assert restoring.rollback("/nowhere", TOKEN) == {
        "undone": [{"number": 0, "op": "exchange"}],
        "problems": [],
        "notes": [],
    }
    assert tree_of(mounted, times=False) == before


@pytest.mark.usefixtures("no_engine")
def test_what_a_container_gave_to_its_own_user_can_be_forgotten(mounted: Path) -> None:
    _fill(mounted)
    _given_away(mounted, 999)
    assert restoring.forget("/nowhere", TOKEN, wire.Control(60))["problems"] == []
    assert {one.name for one in mounted.iterdir()} == {"both.txt", "new"}


@pytest.mark.usefixtures("no_engine")
def test_another_directory_of_that_name_is_not_taken_for_it(mounted: Path) -> None:
    _fill(mounted)
    keep = mounted / f".phpborg-{TOKEN}"
    keep.rename(mounted / "aside")
    keep.mkdir()
    os.chown(keep, 999, 999)
    told = restoring.rollback("/nowhere", TOKEN)
    assert any("root's alone" in one for one in told["problems"])
    assert keep.stat().st_uid == 999
