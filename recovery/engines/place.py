"""A folder of an open archive, never followed out of: what is not there is None."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from recovery import tree
from recovery.errors import NoSuchPath, NotAFile, NotAFolder
from recovery.tree import Entry

SMALL = 64 * 1024  # bytes: what is read of a file unless more is asked for
MOST_NAMES = 100_000  # of one folder


@dataclass(frozen=True)
class Place:
    """`root` is where the archive is mounted, `path` the folder below it (relative bytes, empty for the root)."""

    root: Path
    path: bytes = b""

    @cached_property
    def names(self) -> frozenset[bytes]:
        """Names in it, at most MOST_NAMES; none when it is no folder."""
        return frozenset(name for name, _is_folder in self.listing(MOST_NAMES))

    def listing(self, most: int) -> list[tuple[bytes, bool]]:
        """(name, is it a real folder) of at most `most` entries, in the order of the filesystem."""
        try:
            folder = tree.open_folder(self.root, self.path)
        except (NoSuchPath, NotAFolder):
            return []
        found: list[tuple[bytes, bool]] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if len(found) == most:
                        break
                    found.append((os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)))
        finally:
            os.close(folder)
        return found

    def below(self, name: bytes) -> Place:
        """A folder inside (`a/b` too)."""
        return Place(self.root, _joined(self.path, name))

    def entry(self, name: bytes = b"") -> Entry | None:
        """One item of it, or itself; a link stays a link."""
        try:
            path = _joined(self.path, name)
            if path:
                return tree.entry(self.root, path)
            found = os.lstat(self.root)
        except NoSuchPath:
            return None
        return Entry(b"", "folder", found.st_size, found.st_mtime, found.st_mode, found.st_uid, found.st_gid)

    def has(self, name: bytes) -> bool:
        """Is there such an item?"""
        return self.entry(name) is not None

    def is_folder(self, name: bytes = b"") -> bool:
        """A real folder, not a link to one."""
        entry = self.entry(name)
        return entry is not None and entry.is_folder

    def read(self, name: bytes, most: int = SMALL, offset: int = 0) -> bytes | None:
        """Bytes of a regular file; None when there is none."""
        try:
            descriptor = tree.open_file(self.root, _joined(self.path, name))
        except (NoSuchPath, NotAFile, NotAFolder):
            return None
        try:
            return os.pread(descriptor, most, offset)
        finally:
            os.close(descriptor)

    def text(self, name: bytes) -> str | None:
        """A small file as words: what is not ASCII is replaced."""
        raw = self.read(name)
        return None if raw is None else raw.decode("ascii", "replace")


def _joined(path: bytes, name: bytes) -> bytes:
    """Relative, without `.` and empty parts. Raises NoSuchPath for what leads upwards: the kernel would go there."""
    parts = [part for part in (path + b"/" + name).split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise NoSuchPath(path=os.fsdecode(name))
    return b"/".join(parts)


def lead(place: Place, target: bytes) -> list[Place]:
    """Where a path that a server at `place` uses may lie in the archive, most likely first.

    A relative one starts at the place. An absolute one starts at the archive's root, or at a folder above the place
    when the archive holds the whole of a machine below a prefix (`snap/x/srv/data` for `/srv/data`).
    """
    if not target.startswith(b"/"):
        inside = posixpath.normpath(posixpath.join(b"/" + place.path, target)).lstrip(b"/")
        return [Place(place.root, inside)]
    target = posixpath.normpath(target).lstrip(b"/")
    above, found = place.path, []
    while above:
        above = posixpath.dirname(above)
        found.append(Place(place.root, _joined(above, target)))
    return found or [Place(place.root, target)]
