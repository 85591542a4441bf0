"""What a backup of an engine keeps on this machine's disk, found by its token alone, also after a restart.

/var/lib/phpborg/docker-backup/TOKEN    root's alone
    state.json    which containers were running and what is done to them: written before each of them is touched
    made          what borg sees at /var/lib/phpborg/docker: manifest.json, images, dumps
"""

import json
import os
import shutil
import stat
from contextlib import suppress
from typing import Any, Dict, List, Optional

from .. import places, tree, wire

BASE = "/var/lib/phpborg/docker-backup"
# Where borg sees what was made, in the archive: DOCKER_PLACE of the backup host.
SEEN = "/var/lib/phpborg/docker"
# So much stays free: a full disk would stop the server's own services.
RESERVE = 64 << 20
_FORMAT = 1


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

    def check_room(self, needed: int, what: str) -> None:
        """Raises Refused "no-room" when so many bytes more would not leave the reserve."""
        free = shutil.disk_usage(self.directory).free
        if needed + RESERVE > free:
            text = "{} needs about {} bytes below {} and {} are free ({} of them stay free)"
            message = text.format(what, needed, BASE, free, RESERVE)
            raise wire.Refused("no-room", message, free_bytes=free, needed_bytes=needed + RESERVE)


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
