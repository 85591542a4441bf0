"""File systems on loop devices come and go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.engine import LabFailed
from tests.lab.loops import mounted, remove_left_over

pytestmark = pytest.mark.lab


def kind_of(path: Path) -> str:
    argv = ["findmnt", "--noheadings", "--output", "FSTYPE", "--mountpoint", str(path)]
    return subprocess.run(argv, capture_output=True, text=True).stdout.strip()


def devices() -> str:
    return subprocess.run(["losetup", "--list"], capture_output=True, text=True).stdout


def assert_gone(place) -> None:
    assert not kind_of(place.path)
    assert str(place.path.parent) not in devices()
    assert not place.path.parent.exists()


def test_a_snapshot_of_a_subvolume_keeps_what_was(btrfs_place):
    assert kind_of(btrfs_place.path) == "btrfs"
    (btrfs_place.subvolume / "file").write_text("before")
    snapshot = btrfs_place.path / "snapshot"
    make = ["btrfs", "subvolume", "snapshot", "-r", str(btrfs_place.subvolume), str(snapshot)]
    subprocess.run(make, check=True, capture_output=True)
    (btrfs_place.subvolume / "file").write_text("after")
    assert (snapshot / "file").read_text() == "before"
    with pytest.raises(OSError, match="Read-only file system"):
        (snapshot / "file").write_text("no")
    subprocess.run(["btrfs", "subvolume", "delete", str(snapshot)], check=True, capture_output=True)
    assert not snapshot.exists()


def test_ext4_and_xfs_side_by_side(ext4_place, xfs_place):
    assert (kind_of(ext4_place.path), kind_of(xfs_place.path)) == ("ext4", "xfs")
    assert ext4_place.device != xfs_place.device
    for place in (ext4_place, xfs_place):
        (place.path / "file").write_text(place.kind)
        assert (place.path / "file").read_text() == place.kind


@pytest.mark.parametrize("kind", ["btrfs", "ext4", "xfs"])
def test_nothing_is_left_after_a_failure(kind):
    with pytest.raises(ZeroDivisionError), mounted(kind) as place:
        raise ZeroDivisionError
    assert_gone(place)


def test_what_a_test_mounts_below_goes_too_and_what_it_keeps_open_is_told():
    with mounted("ext4") as place:
        (place.path / "below").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place.path / "below")], check=True)
    assert_gone(place)
    with pytest.raises(LabFailed, match="in use"), mounted("ext4") as place:
        held = (place.path / "file").open("w")
    held.close()
    assert_gone(place)


def test_what_a_killed_run_left_is_removed_by_the_next():
    script = (
        "from tests.lab.loops import mounted\n"
        "with mounted('ext4') as place:\n"
        "    print(place.path, flush=True)\n"
        "    input()\n"
    )
    argv = [sys.executable, "-c", script]
    root = Path(__file__).parents[2]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root, text=True) as other:
        path = Path(other.stdout.readline().strip())
        remove_left_over()
        assert kind_of(path) == "ext4", "a living run's place is left alone"
        os.kill(other.pid, signal.SIGKILL)
    assert kind_of(path) == "ext4"
    remove_left_over()
    assert not kind_of(path)
    assert str(path) not in devices()
    assert not path.parent.exists()
