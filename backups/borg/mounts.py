"""File systems mounted on this host, read from /proc/self/mountinfo; removal that never crosses one."""

from __future__ import annotations

import errno
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_ESCAPE = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True)
class Mounted:
    """One line of mountinfo."""

    path: Path
    kind: str
    source: str


def mounted(table: bytes | None = None) -> tuple[Mounted, ...]:
    """All mounts that this process sees, oldest first."""
    lines = (Path("/proc/self/mountinfo").read_bytes() if table is None else table).splitlines()
    found = []
    for line in lines:
        before, dash, after = line.partition(b" - ")
        fields, rest = before.split(b" "), after.split(b" ")
        if dash and len(fields) >= 6 and len(rest) >= 2:
            found.append(Mounted(Path(os.fsdecode(_plain(fields[4]))), _text(rest[0]), _text(_plain(rest[1]))))
    return tuple(found)


def _plain(escaped: bytes) -> bytes:
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), escaped)


def _text(value: bytes) -> str:
    return os.fsdecode(value)


def _absolute(path: Path) -> Path:
    """Absolute without `..`, the parents resolved, the last part untouched: a dead FUSE mount cannot be asked."""
    whole = Path(os.path.abspath(path))
    return whole.parent.resolve() / whole.name


def is_mounted(mountpoint: Path) -> bool:
    """Something is mounted exactly there, dead or alive."""
    place = _absolute(mountpoint)
    return any(mount.path == place for mount in mounted())


def mounts_below(folder: Path) -> tuple[Path, ...]:
    """Mount points at or below `folder`."""
    place = _absolute(folder)
    return tuple(mount.path for mount in mounted() if mount.path == place or place in mount.path.parents)


def remove_tree(folder: Path) -> None:
    """Remove a directory of ours; gone already is fine.

    Raises OSError (EBUSY) when something is mounted in it: then nothing is removed at all.
    """
    inside = mounts_below(folder)
    if inside:
        raise OSError(errno.EBUSY, "a file system is mounted in it", str(inside[0]))
    if folder.is_symlink():
        folder.unlink()
        return
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
