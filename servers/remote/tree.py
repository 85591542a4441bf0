"""Walking directories by descriptor, so that no symbolic link on the way is ever followed."""

import errno
import os
import stat
from typing import Iterator, List, Optional, Tuple

from . import wire

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


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


def mount_points(below: bytes) -> List[Tuple[bytes, str]]:
    """(path, filesystem type) of every mount at or below a path."""
    found = []
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            left, _, right = line.partition(b" - ")
            path = unescape(left.split()[4])
            if below == b"/" or path == below or path.startswith(below.rstrip(b"/") + b"/"):
                found.append((path, right.split()[0].decode("ascii", "replace")))
    return found


def mounts() -> List[Tuple[bytes, List[str]]]:
    """(path, its own options) of every mount."""
    with open("/proc/self/mountinfo", "rb") as file:
        fields = [line.split() for line in file]
    return [(unescape(words[4]), words[5].decode("ascii", "replace").split(",")) for words in fields]


def unescape(path: bytes) -> bytes:
    """A path as mountinfo writes it, in its own bytes."""
    for code, char in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        path = path.replace(code, char)
    return path


def remove(name: bytes, directory: int, control: wire.Control) -> None:
    """Remove an entry and all below it; never through a link, never into another filesystem."""
    status = look(name, directory)
    if status is None:
        return
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(name, dir_fd=directory)
        return
    opened = open_directory(name, directory)
    try:
        if os.fstat(opened).st_dev != os.fstat(directory).st_dev:
            raise wire.Refused("unsafe", "a filesystem is mounted at {}".format(wire.shown(name)))
        if os.geteuid():
            os.fchmod(opened, 0o700)
        for child in names(opened):
            control.check()
            remove(child, opened, control)
    finally:
        os.close(opened)
    os.rmdir(name, dir_fd=directory)


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
