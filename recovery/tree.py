"""Reading an archive's tree from its mount: bytes, paged, and never following a link.

A symbolic link inside an archive may point anywhere on this host. Every step opens one component
below a directory descriptor with O_NOFOLLOW, so no link is ever resolved.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from recovery.errors import NoSuchPath, NotAFile, NotAFolder
from recovery.paths import shown, split, token

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
}


@dataclass(frozen=True)
class Entry:
    """One item of a folder. `size_bytes` and the rest are None when the mount could not tell."""

    path: bytes
    kind: str
    size_bytes: int | None = None
    modified_at: float | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    links_to: bytes = b""

    @property
    def name(self) -> bytes:
        return os.path.basename(self.path)

    @property
    def shown_name(self) -> str:
        return shown(self.name)

    @property
    def shown_link(self) -> str:
        return shown(self.links_to)

    @property
    def token(self) -> str:
        return token(self.path)

    @property
    def is_folder(self) -> bool:
        return self.kind == "folder"

    @property
    def permissions(self) -> str:
        """As `ls -l` writes them."""
        return stat.filemode(self.mode) if self.mode is not None else ""


@dataclass(frozen=True)
class Folder:
    """One page of a folder: folders first, then by name (bytes)."""

    path: bytes
    entries: tuple[Entry, ...]
    total: int
    page: int
    pages: int


def open_folder(root: Path, path: bytes) -> int:
    """A descriptor of a folder below `root`; the caller closes it. Raises NoSuchPath, NotAFolder."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for part in split(path):
        try:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise NotAFolder(path=shown(path)) from error
            raise NoSuchPath(path=shown(path)) from error
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def list_folder(root: Path, path: bytes, *, page: int = 1, size: int = 200, search: bytes = b"") -> Folder:
    """One page of a folder. Only the page's own entries are asked for their size, so 100 000 names stay quick."""
    folder = open_folder(root, path)
    try:
        names: list[tuple[bool, bytes]] = []
        wanted = search.lower()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if not wanted or wanted in name.lower():
                    names.append((not entry.is_dir(follow_symlinks=False), name))
        names.sort()
        pages = max((len(names) + size - 1) // size, 1)
        page = min(max(page, 1), pages)
        rows = tuple(describe(folder, path, name) for _, name in names[(page - 1) * size : page * size])
        return Folder(path, rows, len(names), page, pages)
    finally:
        os.close(folder)


def describe(folder: int, parent: bytes, name: bytes) -> Entry:
    """One entry of an open folder; what cannot be read stays None."""
    path = parent + b"/" + name if parent else name
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return Entry(path, "unknown")
    target = b""
    if stat.S_ISLNK(found.st_mode):
        with suppress(OSError):
            target = os.readlink(name, dir_fd=folder)
    kind = _KINDS.get(stat.S_IFMT(found.st_mode), "unknown")
    return Entry(path, kind, found.st_size, found.st_mtime, found.st_mode, found.st_uid, found.st_gid, target)


def entry(root: Path, path: bytes) -> Entry:
    """One item by its path; the root is a folder without a name. Raises NoSuchPath."""
    if not path:
        return Entry(b"", "folder")
    parent, name = os.path.split(path)
    try:
        folder = open_folder(root, parent)
    except NotAFolder as error:
        raise NoSuchPath(path=shown(path)) from error
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return describe(folder, parent, name)
    except OSError as error:
        raise NoSuchPath(path=shown(path)) from error
    finally:
        os.close(folder)


def open_file(root: Path, path: bytes) -> int:
    """A descriptor of a regular file; the caller closes it. Raises NoSuchPath, NotAFile."""
    parent, name = os.path.split(path)
    folder = open_folder(root, parent)
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NotAFile(path=shown(path)) from error
        raise NoSuchPath(path=shown(path)) from error
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotAFile(path=shown(path))
    return descriptor


def walk(root: Path, path: bytes) -> Iterator[Entry]:
    """The item and all below it, parents before children, memory bounded by the depth's widest folders."""
    top = entry(root, path)
    yield top
    if not top.is_folder:
        return
    folder = open_folder(root, path)
    try:
        names = sorted(os.fsencode(name) for name in os.listdir(folder))
        children = [describe(folder, path, name) for name in names]
    finally:
        os.close(folder)
    for child in children:
        if child.is_folder:
            yield from walk(root, child.path)
        else:
            yield child
