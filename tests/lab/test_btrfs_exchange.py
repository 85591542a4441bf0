"""Whoever owns the top of a btrfs can exchange names there: no snapshot of another subvolume, and none of them gone."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from servers.remote import places, wire
from servers.remote.snapshots import btrfs, tools
from tests.lab.loops import Place

pytestmark = pytest.mark.lab


@pytest.fixture
def private() -> Iterator[tools.Place]:
    """The private directory of a snapshot; nothing is mounted in it at the end."""
    place = tools.Place(uuid.uuid4().hex)
    Path(places.RUN).mkdir(mode=0o711, exist_ok=True)
    Path(place.mountpoint).mkdir(mode=0o700, parents=True)
    Path(place.directory).chmod(0o700)
    yield place
    for path in (place.mountpoint, place.top, place.source):
        tools.unmount(path)
    place.forget()


def subvolume(path: Path, text: str) -> Path:
    """With one file in it."""
    subprocess.run(["btrfs", "subvolume", "create", str(path)], check=True, capture_output=True)
    (path / "file").write_text(text)
    return path


def asked(place: Place) -> tuple[btrfs.Volume, dict[str, Any]]:
    args = {"device": place.device, "subvolume": f"/{place.subvolume.name}"}
    return btrfs.volume(args, {}), args


def test_an_exchanged_name_is_neither_read_nor_removed(
    btrfs_place: Place, private: tools.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right after the tool has made it, and again before the removal."""
    (btrfs_place.subvolume / "file").write_text("frozen")
    precious = subvolume(btrfs_place.path / "precious", "precious")
    name, moved = btrfs_place.path / f".{private.name}", btrfs_place.path / "moved"
    real = btrfs.act

    def act(argv: list[str], place: tools.Place) -> None:
        real(argv, place)
        if "snapshot" in argv:
            name.rename(moved)
            precious.rename(name)

    monkeypatch.setattr(btrfs, "act", act)
    volume, args = asked(btrfs_place)
    made = btrfs.make(private, volume, args, nullcontext(), wire.Control(60))
    assert made["origins"] == [str(btrfs_place.subvolume)]
    assert Path(private.mountpoint, "file").read_text() == "frozen"
    tools.unmount(private.mountpoint)
    with pytest.raises(wire.Refused, match="is not a directory of ours"):
        btrfs.remove(private, volume)
    assert (name / "file").read_text() == "precious"
    name.rename(precious)
    moved.rename(name)
    assert btrfs.remove(private, volume) is True
    assert btrfs.remove(private, volume) is False
    assert sorted(path.name for path in btrfs_place.path.iterdir()) == [btrfs_place.subvolume.name, "precious"]


def test_a_way_that_is_exchanged_leads_to_no_other_subvolume(
    btrfs_place: Place, private: tools.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the way and the tool."""
    (btrfs_place.subvolume / "file").write_text("frozen")
    other = subvolume(btrfs_place.path / "other", "of somebody else")
    real = btrfs.act

    def act(argv: list[str], place: tools.Place) -> None:
        if "snapshot" in argv:
            btrfs_place.subvolume.rename(btrfs_place.path / "away")
            btrfs_place.subvolume.symlink_to(other.name)
        real(argv, place)

    monkeypatch.setattr(btrfs, "act", act)
    volume, args = asked(btrfs_place)
    btrfs.make(private, volume, args, nullcontext(), wire.Control(60))
    assert Path(private.mountpoint, "file").read_text() == "frozen"
    tools.unmount(private.mountpoint)
    assert btrfs.remove(private, volume) is True


def test_nobody_else_reads_a_snapshot_where_the_top_is_mounted(btrfs_place: Place, private: tools.Place) -> None:
    """A directory above that keeps others out is not above the snapshot."""
    btrfs_place.subvolume.chmod(0o755)
    (btrfs_place.subvolume / "file").write_text("frozen")
    volume, args = asked(btrfs_place)
    btrfs.make(private, volume, args, nullcontext(), wire.Control(60))
    found = ["find", str(btrfs_place.path), "-name", "file"]
    seen = subprocess.run(found, user="nobody", group="nogroup", extra_groups=[], capture_output=True, text=True)
    assert seen.stdout.split() == [str(btrfs_place.subvolume / "file")]
    tools.unmount(private.mountpoint)
    assert btrfs.remove(private, volume) is True


def test_nobody_else_passes_to_the_whole_filesystem_after_a_restart(
    btrfs_place: Place, private: tools.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lay in /run is gone then: the private directory is made anew for the removal, and as private."""
    Path(private.mountpoint).rmdir()
    private.forget()
    modes = []
    real = btrfs.act

    def act(argv: list[str], place: tools.Place) -> None:
        modes.append(Path(place.directory).stat().st_mode & 0o777)
        real(argv, place)

    monkeypatch.setattr(btrfs, "act", act)
    assert btrfs.remove(private, asked(btrfs_place)[0]) is False
    assert modes == [0o700]
