"""A settings file of a server as a file of the archive: plain, small, and reached by no link of another account."""

import os
import stat
from functools import partial
from typing import Any, Dict, NamedTuple

from .. import policy, tree, validate, wire
from ..streams import Producer

MOST_BYTES = 16 << 20
_CHUNK = 1 << 20
_MOST_LINKS = 8


class Plain(NamedTuple):
    """An open file, and its own place: links of root on the way to it (as in /etc/alternatives) were followed."""

    descriptor: int
    place: bytes
    status: os.stat_result


def file(row: Dict[str, Any], secrets: Dict[str, Any]) -> Producer:
    """One file of this machine; it must be there before anything starts."""
    path = validate.absolute(row.get("path"), "path")
    os.close(opened(path).descriptor)
    return Producer(["file"], what=wire.shown(path), work=partial(_copy, path))


def _copy(path: bytes, sink: int) -> None:
    found = opened(path)
    left = found.status.st_size
    while left:
        chunk = os.read(found.descriptor, min(left, _CHUNK))
        if not chunk:
            raise wire.Refused("stream", "{} became shorter while it was read".format(wire.shown(path)))
        left -= len(chunk)
        view = memoryview(chunk)
        while view:
            view = view[os.write(sink, view) :]


def opened(path: bytes) -> Plain:
    """The file, for reading. Raises Refused: missing, unsafe, not a file, too large, or not allowed by the policy."""
    for _ in range(_MOST_LINKS):
        policy.check_read(path, real=True)
        directory, _made = tree.walk_to(os.path.dirname(path))
        try:
            status = tree.look(os.path.basename(path), directory)
            if status is None:
                raise wire.Refused("missing", "there is no {}".format(wire.shown(path)), path=wire.shown(path))
            if not stat.S_ISLNK(status.st_mode):
                return _opened(path, directory)
            _check_link(path, directory, status)
            target = os.readlink(os.path.basename(path), dir_fd=directory)
        finally:
            os.close(directory)
        path = os.path.normpath(os.path.join(os.path.dirname(path), target))
    raise wire.Refused("unsafe", "too many links lead to {}".format(wire.shown(path)))


def _check_link(path: bytes, directory: int, link: os.stat_result) -> None:
    """As root we follow only root's own links: another account could name any file by its own."""
    above = os.fstat(directory)
    if os.geteuid() == 0 and (link.st_uid != 0 or above.st_uid != 0 or above.st_mode & 0o022):
        text = "{} is a link that others may change: name the file that it leads to".format(wire.shown(path))
        raise wire.Refused("unsafe", text, path=wire.shown(path))


def _opened(path: bytes, directory: int) -> Plain:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(os.path.basename(path), flags, dir_fd=directory)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size <= MOST_BYTES:
        return Plain(descriptor, path, status)
    os.close(descriptor)
    problem = "is larger than 16 MiB" if stat.S_ISREG(status.st_mode) else "is not a plain file"
    raise wire.Refused("invalid", "{} {}".format(wire.shown(path), problem), path=wire.shown(path))
