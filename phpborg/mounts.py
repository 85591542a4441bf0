"""File systems mounted on this host, read from /proc/self/mountinfo; removal that never crosses one."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
            found.append(Mounted(Path(_plain(fields[4])), _plain(rest[0]), _plain(rest[1])))
    return tuple(found)


def _plain(escaped: bytes) -> str:
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), escaped))


def _absolute(path: Path) -> Path:
    """Absolute, the parents resolved, the last part untouched: a dead FUSE mount cannot be asked."""
    return path.resolve() if path.name == ".." else path.parent.resolve() / path.name


def is_mounted(mountpoint: Path) -> bool:
    """Something is mounted exactly there, dead or alive; os.path.ismount is fooled by a dead FUSE mount."""
    place = _absolute(mountpoint)
    return any(mount.path == place for mount in mounted())


def mounts_below(folder: Path) -> tuple[Path, ...]:
    """Mount points at or below `folder`."""
    place = _absolute(folder)
    return tuple(mount.path for mount in mounted() if mount.path.is_relative_to(place))


def filesystem_of(path: Path) -> str:
    """The type of the filesystem that holds `path` (ext4, btrfs, nfs4 …), "" when it cannot be told."""
    real = Path(os.path.realpath(path))
    holding = [mount for mount in mounted() if real.is_relative_to(mount.path)]
    # The last of equals was mounted over the others.
    return max(enumerate(holding), key=lambda row: (len(row[1].path.parts), row[0]))[1].kind if holding else ""


def remove_tree(folder: Path, *, onerror: Callable[[Any, str, Any], None] | None = None) -> None:
    """Remove a directory of ours; gone already is fine, a link goes and its target stays.

    Raises OSError (EBUSY) when something is mounted in it: then nothing is removed at all.
    `onerror` is that of shutil.rmtree.
    """
    inside = mounts_below(folder)
    if inside:
        raise OSError(errno.EBUSY, "a file system is mounted in it", str(inside[0]))
    if folder.is_symlink():
        folder.unlink()
        return
    with suppress(FileNotFoundError):
        shutil.rmtree(folder, onerror=onerror)
