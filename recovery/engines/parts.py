"""What the engines share: owner and size of a directory, and where what belongs to it lies in the archive."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections import deque
from collections.abc import Callable, Iterable

from recovery.engines.base import DATA, Mount, Owner, Part, Size
from recovery.engines.place import Place, lead
from recovery.errors import CannotStart

# What the container itself needs: nothing is laid over it.
_TAKEN = re.compile(
    r"/(?:(?:proc|sys|dev)(?:/.*)?|usr|lib|lib64|etc|bin|sbin|tmp|var|run)?|/usr/(?:lib|bin|sbin|share)"
    r"|/phpborg(?:/(?:data|run|etc)(?:/.*)?)?"
)
MOST_COUNTED = 4000  # entries: above it a size is not cheap


def owner(place: Place) -> Owner | None:
    """Of the directory itself; None when the mount does not tell."""
    entry = place.entry()
    if entry is None or entry.uid is None or entry.gid is None or entry.mode is None:
        return None
    return Owner(entry.uid, entry.gid, stat.S_IMODE(entry.mode))


def measure(place: Place) -> Size | None:
    """Bytes and number of its regular files; None when there are many entries, or one cannot be told."""
    total = files = seen = 0
    waiting = deque([place])
    while waiting:
        folder = waiting.popleft()
        rows = folder.listing(MOST_COUNTED - seen + 1)
        seen += len(rows)
        if seen > MOST_COUNTED:
            return None
        for name, is_folder in rows:
            if is_folder:
                waiting.append(folder.below(name))
                continue
            entry = folder.entry(name)
            if entry is None or entry.size_bytes is None:
                return None
            if entry.kind == "file":
                total, files = total + entry.size_bytes, files + 1
    return Size(total, files)


def search(kind: str, place: Place, target: bytes, name: bytes, holds: Callable[[Place], bool]) -> Part:
    """The part to which a path at `place` leads; `holds` tells the right folder from another of that name."""
    for folder in lead(place, target):
        if folder.is_folder() and holds(folder):
            return Part(kind, target, folder.path, name)
    return Part(kind, target, None, name)


def gone(parts: Iterable[Part], kind: str) -> bool:
    """Is one of this kind not in the archive?"""
    return any(part.kind == kind and part.path is None for part in parts)


def mounts(parts: Iterable[Part]) -> tuple[Mount, ...]:
    """Each part that is in the archive at the path where the server in the container looks for it; once each.

    What a link reaches inside the data directory is there anyway. Raises CannotStart for a place that is taken.
    """
    found = []
    for part in parts:
        target = _target(part)
        if part.path is None or target.startswith(DATA + "/"):
            continue
        if _TAKEN.fullmatch(target):
            raise CannotStart(target, path=os.fsdecode(part.path))
        found.append(Mount(part.path, target))
    return tuple(dict.fromkeys(found))


def _target(part: Part) -> str:
    """Absolute, in the container. A relative link begins at its own folder."""
    wanted = posixpath.join(DATA, posixpath.dirname(os.fsdecode(part.name)), os.fsdecode(part.wanted))
    return "/" + posixpath.normpath(wanted).lstrip("/")
