"""File systems of a kind on loop devices, mounted for a block; gone after it, also when the block fails.

What a killed run has left is removed by the next one that makes such a place: its lock is free.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cache
from tests.lab.engine import LabFailed, locked

BYTES = 512 << 20
SUBVOLUME = "data"
_PREFIX = "phpborg-loop-"
_MAKE = {
    "btrfs": ("mkfs.btrfs", "--quiet"),
    "ext4": ("mkfs.ext4", "-q"),
    "xfs": ("mkfs.xfs", "-q"),
}


@dataclass(frozen=True)
class Place:
    """A mounted file system: its mount point, its loop device, "btrfs", "ext4" or "xfs"."""

    path: Path
    device: str
    kind: str

    @property
    def subvolume(self) -> Path:
        """The subvolume of a btrfs."""
        return self.path / SUBVOLUME


@contextmanager
def mounted(kind: str, size: int = BYTES) -> Iterator[Place]:
    """An empty file system of `kind` with `size` bytes (sparse) for a block; btrfs with one subvolume.

    Raises LabFailed when something of the block still uses it at the end; it is detached nevertheless.
    """
    remove_left_over()
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
    directory.chmod(0o755)
    with locked(directory / "lock"):
        try:
            yield _make(kind, size, directory)
        finally:
            _remove(directory)


def remove_left_over() -> None:
    """Remove the places of runs that were killed."""
    for directory in {image.parent for image in _devices()}:
        lock = directory / "lock"
        if directory.name.startswith(_PREFIX) and lock.exists():
            with locked(lock, wait=False) as free:
                if free:
                    _remove(directory)


def _make(kind: str, size: int, directory: Path) -> Place:
    image, path = directory / "image", directory / "mount"
    with image.open("wb") as file:
        file.truncate(size)
    _run(*_MAKE[kind], str(image))
    path.mkdir()
    # Two that look for a free device at once would find the same one.
    with locked(cache.place() / ".loops"):
        device = _run("losetup", "--find", "--show", str(image)).strip()
    _run("mount", "-t", kind, device, str(path))
    path.chmod(0o755)
    place = Place(path, device, kind)
    if kind == "btrfs":
        _run("btrfs", "subvolume", "create", str(place.subvolume))
    return place


def _remove(directory: Path) -> None:
    """Unmount, detach, delete. A device that is still used is detached by the kernel when its last user ends."""
    busy = ""
    path = directory / "mount"
    if path.is_mount():
        done = subprocess.run(["umount", "--recursive", str(path)], capture_output=True, text=True)
        if done.returncode:
            busy = done.stderr.strip()
            _run("umount", "--recursive", "--lazy", str(path))
    for device in _devices().get(directory / "image", []):
        _run("losetup", "--detach", device)
    shutil.rmtree(directory, ignore_errors=True)
    if busy:
        raise LabFailed(f"The test has left something in use: {busy}")


def _devices() -> dict[Path, list[str]]:
    """Loop devices by the file below them."""
    # Without any device it prints nothing, and not a list without entries.
    listed = json.loads(_run("losetup", "--list", "--json", "--output", "NAME,BACK-FILE") or '{"loopdevices": []}')
    found: dict[Path, list[str]] = {}
    for entry in listed["loopdevices"]:
        image = re.sub(r" \(deleted\)$", "", entry["back-file"] or "")
        found.setdefault(Path(image), []).append(entry["name"])
    return found


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode:
        raise LabFailed(f"{' '.join(argv)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout
