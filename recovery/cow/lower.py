"""The read-only tree below: reached from one descriptor, by names that are never links.

Every path is bytes, relative to the root, without a leading slash; b"" is the root itself. Each folder on the way is
opened with O_NOFOLLOW from its parent, so that no symbolic link inside (or put there later) leads out of the tree, and
nothing is ever opened for writing.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_KEPT = 256  # descriptors of folders that are kept open


class Lower:
    """A directory tree that is only read. Errors are the OSErrors of the system."""

    def __init__(self, root: bytes) -> None:
        self.root = root
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._lock = threading.Lock()
        self._folders: OrderedDict[bytes, int] = OrderedDict()

    def close(self) -> None:
        """Let go of every descriptor."""
        with self._lock:
            for fd in self._folders.values():
                os.close(fd)
            self._folders.clear()
            os.close(self._root)

    def folder(self, path: bytes) -> int:
        """A new descriptor of a folder; the caller closes it."""
        if not path:
            return os.dup(self._root)
        with self._lock:
            known = self._folders.get(path)
            if known is not None:
                self._folders.move_to_end(path)
                return os.dup(known)
        parent, _, name = path.rpartition(b"/")
        above = self.folder(parent)
        try:
            fd = os.open(name, _FOLDER, dir_fd=above)
        finally:
            os.close(above)
        self._keep(path, fd)
        return fd

    def _keep(self, path: bytes, fd: int) -> None:
        with self._lock:
            if path in self._folders:
                return
            self._folders[path] = os.dup(fd)
            while len(self._folders) > _KEPT:
                os.close(self._folders.popitem(last=False)[1])

    def stat(self, path: bytes) -> os.stat_result:
        """Its attributes; a link's own, not its target's."""
        if not path:
            return os.fstat(self._root)
        parent, _, name = path.rpartition(b"/")
        above = self.folder(parent)
        try:
            return os.stat(name, dir_fd=above, follow_symlinks=False)
        finally:
            os.close(above)

    def open(self, path: bytes) -> int:
        """A descriptor to read a regular file; EIO when something else stands there now."""
        parent, _, name = path.rpartition(b"/")
        above = self.folder(parent)
        try:
            try:
                fd = os.open(name, _FILE | os.O_NOATIME, dir_fd=above)
            except PermissionError:  # O_NOATIME is for the owner and root
                fd = os.open(name, _FILE, dir_fd=above)
        finally:
            os.close(above)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EIO, "not a regular file any more")
        return fd

    def readlink(self, path: bytes) -> bytes:
        """The target of a link, as it is written."""
        parent, _, name = path.rpartition(b"/")
        above = self.folder(parent)
        try:
            return os.readlink(name, dir_fd=above)
        finally:
            os.close(above)

    def names(self, path: bytes) -> list[tuple[bytes, int]]:
        """Names in a folder with their kind (`stat.S_IFMT` of the mode)."""
        fd = self.folder(path)
        try:
            with os.scandir(fd) as found:
                return [(os.fsencode(entry.name), _kind(entry)) for entry in found]
        finally:
            os.close(fd)

    def files(self, path: bytes = b"") -> Iterator[bytes]:
        """The paths of all regular files below a folder."""
        for name, kind in sorted(self.names(path)):
            inside = path + b"/" + name if path else name
            if kind == stat.S_IFDIR:
                yield from self.files(inside)
            elif kind == stat.S_IFREG:
                yield inside


def _kind(entry: os.DirEntry[str]) -> int:
    if entry.is_symlink():
        return stat.S_IFLNK
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG
    return stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)
