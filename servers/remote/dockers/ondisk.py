"""What a backup of an engine keeps on this machine's disk, found by its token alone, also after a restart.

/var/lib/phpborg/docker-backup/TOKEN    root's alone
    state.json    which containers were running and what is done to them: written before each of them is touched
    made          what borg sees at /var/lib/phpborg/docker: manifest.json, images, dumps
"""

import errno
import fcntl
import json
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Callable, Dict, Iterator, List, Optional

from .. import places, tree, wire

BASE = "/var/lib/phpborg/docker-backup"
# Where borg sees what was made, in the archive: DOCKER_PLACE of the backup host.
SEEN = "/var/lib/phpborg/docker"
# So much stays free: a full disk would stop the server's own services.
RESERVE = 64 << 20
_FORMAT = 1
_LOOK_BYTES = 8 << 20


class Kept:
    """The directory of one token. `rows`: the containers that are kept still, in the order in which that is done."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.directory = os.path.join(BASE, token)
        self.made = os.path.join(self.directory, "made")
        self._file = os.path.join(self.directory, "state.json")
        self.socket: Optional[str] = None
        self.rows: List[Dict[str, Any]] = []
        self.held: List[Dict[str, Any]] = []

    def make(self, socket: str) -> None:
        """The directories. Raises Refused when they are there already."""
        for path in (BASE, SEEN):
            places.make_private(path)
            _check_own(path)
        try:
            os.mkdir(self.directory, 0o700)
        except FileExistsError:
            raise wire.Refused("exists", "{} exists already".format(self.directory)) from None
        self.socket = socket
        self.save()
        os.mkdir(self.made, 0o700)

    def exists(self) -> bool:
        """Is there something of this token?"""
        return os.path.lexists(self.directory)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One at a time: who asked for the same removal meanwhile waits, and then finds nothing. Ends with us."""
        descriptor = self._opened()
        try:
            if descriptor is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _opened(self) -> Optional[int]:
        try:
            _check_own(self.directory)
            return os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None

    def load(self) -> bool:
        """Read what was written; False when nothing was begun. Raises Refused when it cannot be read."""
        if not self.exists():
            return False
        _check_own(self.directory)
        try:
            with open(self._file) as file:
                found = json.load(file)
        except FileNotFoundError:
            return False  # killed before it was written: then nothing followed
        except ValueError:
            raise wire.Refused("snapshot", "{} is damaged".format(self._file)) from None
        if not isinstance(found, dict) or found.get("format") != _FORMAT:
            raise wire.Refused("outdated", "{} was written by another version".format(self._file))
        self.socket, self.rows, self.held = found["socket"], found["rows"], found["held"]
        return True

    def save(self) -> None:
        """Write it down so that a power cut loses nothing: what follows depends on it."""
        state = {"format": _FORMAT, "socket": self.socket, "rows": self.rows, "held": self.held}
        write_whole(self._file, json.dumps(state, indent=1).encode())

    def save_if_possible(self) -> None:
        """What is brought back may be done once more; a full disk must keep nobody from it."""
        with suppress(OSError):
            self.save()

    def clear(self) -> bool:
        """What borg has read goes, since secrets may be in it; True when there was something."""
        if not os.path.lexists(self.made):
            return False
        self._remove_tree(b"made")
        return True

    def remove(self) -> bool:
        """All of it; True when there was something. Nothing else is ever removed there."""
        if not self.exists():
            return False
        self.clear()
        for name in os.listdir(self.directory):
            os.unlink(os.path.join(self.directory, name))
        os.rmdir(self.directory)
        return True

    def _remove_tree(self, name: bytes) -> None:
        above, _ = tree.walk_to(wire.raw(self.directory))
        try:
            tree.remove(name, above, wire.Control(0))
        finally:
            os.close(above)

    def check_room(self, needed: int, what: str, at_least: bool = False) -> None:
        """Raises Refused "no-room" when so many bytes more would not leave the reserve. `at_least`: it may be more."""
        free = shutil.disk_usage(self.directory).free
        if needed + RESERVE > free:
            text = "{} needs {} {} bytes below {} and {} are free ({} of them stay free)"
            message = text.format(what, "at least" if at_least else "about", needed, BASE, free, RESERVE)
            raise wire.Refused("no-room", message, free_bytes=free, needed_bytes=needed + RESERVE)


class Growing:
    """A new file of root's alone that grows as long as the disk keeps its reserve. `what` it is, for people.

    Its refusals are never an OSError, which would be taken for the engine's failure.
    """

    def __init__(self, path: str, what: str) -> None:
        self.size = 0
        self._what = what
        self._since = 0
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def __enter__(self) -> "Growing":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            if error is None:
                self._safely(partial(os.fsync, self._descriptor))
        finally:
            os.close(self._descriptor)

    def write(self, data: bytes) -> None:
        """More. Raises Refused "no-room", or "io"."""
        view = memoryview(data)
        while view:
            view = view[self._safely(partial(os.write, self._descriptor, view)) :]
        self.size += len(data)
        self._since += len(data)
        if self._since > _LOOK_BYTES:
            self._since = 0
            status = os.fstatvfs(self._descriptor)
            if status.f_bavail * status.f_frsize < RESERVE:
                raise self._no_room("it would take the last {} bytes of the disk".format(RESERVE))

    def begin_again(self) -> None:
        """What was written is nothing."""
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.size = 0

    def _safely(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._no_room(str(error.strerror)) from None
            raise wire.Refused("io", "{} cannot be written: {}".format(self._what, error.strerror)) from None

    def _no_room(self, why: str) -> wire.Refused:
        return wire.Refused("no-room", "{} cannot be written below {}: {}".format(self._what, BASE, why))


def write_whole(path: str, content: bytes) -> None:
    """The file has this content after a power cut, too, or the former one; it is root's alone."""
    new = path + ".new"
    with suppress(FileNotFoundError):
        os.unlink(new)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    os.rename(new, path)
    above = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(above)
    finally:
        os.close(above)


def _check_own(path: str) -> None:
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise wire.Refused("unsafe", "{} is not a directory of root's alone".format(path))
