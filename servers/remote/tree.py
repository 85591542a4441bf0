"""Walking directories by descriptor, so that no symbolic link on the way is ever followed."""

import errno
import os
import re
import stat
from typing import Iterator, List, NamedTuple, Optional, Tuple

from . import wire

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OCTAL = re.compile(rb"\\([0-7]{3})")


def open_directory(name: bytes, parent: Optional[int] = None) -> int:
    """Open a real directory; a symbolic link or another kind of file is refused."""
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise wire.Refused(
                "unsafe", "a symbolic link or a file is in the way: {}".format(wire.shown(name)), path=wire.shown(name)
            ) from None
        raise


def walk_to(path: bytes, create: bool = False) -> Tuple[int, List[str]]:
    """Open an absolute path component by component: (descriptor, directories that were made)."""
    made: List[str] = []
    current = os.open(b"/", _DIRECTORY)
    walked = b""
    try:
        for name in [part for part in path.split(b"/") if part]:
            walked += b"/" + name
            if create and not _exists(name, current):
                os.mkdir(name, 0o755, dir_fd=current)
                made.append(wire.shown(walked))
                following = open_directory(name, current)
                os.fchmod(following, 0o755)
            else:
                following = _step(name, current, walked)
            os.close(current)
            current = following
    except BaseException:
        os.close(current)
        raise
    return current, made


def _step(name: bytes, current: int, walked: bytes) -> int:
    try:
        return open_directory(name, current)
    except wire.Refused:
        raise wire.Refused(
            "unsafe", "a symbolic link or a file is in the way: {}".format(wire.shown(walked)), path=wire.shown(walked)
        ) from None
    except FileNotFoundError:
        raise wire.Refused("missing", "there is no {}".format(wire.shown(walked)), path=wire.shown(walked)) from None


def _exists(name: bytes, directory: int) -> bool:
    return look(name, directory) is not None


def look(name: bytes, directory: int) -> Optional[os.stat_result]:
    """What is at this name (a link is a link), or None."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


def names(directory: int) -> List[bytes]:
    """The names in an open directory, as bytes."""
    return [os.fsencode(name) for name in os.listdir(directory)]


def is_directory(status: Optional[os.stat_result]) -> bool:
    """A real directory?"""
    return status is not None and stat.S_ISDIR(status.st_mode)


class Mounted(NamedTuple):
    """A line of mountinfo: which part (`root`) of which filesystem is seen where (`path`), and its own options."""

    path: bytes
    root: bytes
    device: str
    kind: str
    source: bytes
    options: List[str]


def mounted() -> List[Mounted]:
    """Every mount that this process sees, oldest first."""
    found = []
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            left, _, right = line.partition(b" - ")
            own, filesystem = left.split(b" "), right.split(b" ")
            root, path, source = (unescape(word) for word in (own[3], own[4], filesystem[1]))
            device, options, kind = (word.decode("ascii", "replace") for word in (own[2], own[5], filesystem[0]))
            found.append(Mounted(path, root, device, kind, source, options.split(",")))
    return found


def is_mounted(path: bytes) -> bool:
    """Is something mounted exactly there?"""
    return any(mount.path == path for mount in mounted())


def mount_points(below: bytes) -> List[Tuple[bytes, str]]:
    """(path, filesystem type) of every mount at or below a path."""
    inside = below.rstrip(b"/") + b"/"
    return [(one.path, one.kind) for one in mounted() if one.path == below or one.path.startswith(inside)]


def unescape(path: bytes) -> bytes:
    """A word as mountinfo writes it, in its own bytes: blanks and the like are octal in it."""
    return _OCTAL.sub(lambda match: bytes([int(match.group(1), 8) & 0xFF]), path)


def remove(name: bytes, directory: int, control: wire.Control) -> None:
    """Remove an entry and all below it; never through a link, never into another filesystem.

    However deep it is: one directory is open at a time, and the way back up is compared with the way down.
    """
    status = look(name, directory)
    if status is None:
        return
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=directory)
        return
    device = os.fstat(directory).st_dev
    levels = [_Level(name, directory, device, control)]
    at = levels[-1].opened
    try:
        while levels:
            control.check()
            level = levels[-1]
            if level.directories:
                levels.append(_Level(level.directories.pop(), at, device, control))
                os.close(at)
                at = levels[-1].opened
                continue
            levels.pop()
            above = _up(at, levels[-1].mark) if levels else os.dup(directory)
            os.close(at)
            at = above
            os.rmdir(level.name, dir_fd=at)
    finally:
        os.close(at)


class _Level:
    """A directory on the way down, open: files are gone from it, and directories are left."""

    def __init__(self, name: bytes, above: int, device: int, control: wire.Control) -> None:
        self.name = name
        self.opened = open_directory(name, above)
        try:
            status = os.fstat(self.opened)
            if status.st_dev != device:
                raise wire.Refused("unsafe", "a filesystem is mounted at {}".format(wire.shown(name)))
            self.mark = (status.st_dev, status.st_ino)
            if os.geteuid():
                os.fchmod(self.opened, 0o700)
            self.directories: List[bytes] = []
            for child in names(self.opened):
                control.check()
                if is_directory(look(child, self.opened)):
                    self.directories.append(child)
                else:
                    os.unlink(child, dir_fd=self.opened)
        except BaseException:
            os.close(self.opened)
            raise


def _up(directory: int, mark: Tuple[int, int]) -> int:
    """The directory above, open, which must be the one that was left. Raises Refused."""
    above = os.open(b"..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    status = os.fstat(above)
    if (status.st_dev, status.st_ino) != mark:
        os.close(above)
        raise wire.Refused("unsafe", "somebody moves directories while they are removed")
    return above


def count(name: bytes, directory: int, control: wire.Control) -> int:
    """How many entries a subtree has, itself included."""
    return 1 + sum(1 for _ in _descend(name, directory, control))


def _descend(name: bytes, directory: int, control: wire.Control) -> Iterator[bytes]:
    if not is_directory(look(name, directory)):
        return
    opened = open_directory(name, directory)
    try:
        for child in names(opened):
            control.check()
            yield child
            for deeper in _descend(child, opened, control):
                yield deeper
    finally:
        os.close(opened)
