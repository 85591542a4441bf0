"""How much of a directory goes into an archive, counted for a while."""

import os
import stat
import time
from typing import Any, Callable, Dict, Optional, Set, Tuple

from .. import wire

Sized = Dict[str, Optional[int]]
UNKNOWN: Sized = {"size_bytes": None, "files": None}


class Counting:
    """Counts for so many seconds in all; what was not counted by then is not known. `check` may raise to end it."""

    def __init__(self, seconds: float, check: Callable[[], None]) -> None:
        self._until = time.monotonic() + seconds
        self._check = check

    def directory(self, path: str) -> Sized:
        """{"size_bytes": that it occupies on its own filesystem, links once, "files": neither directory nor socket}."""
        try:
            size, files = self._walk(wire.raw(path))
        except (OSError, TimeoutError):
            return dict(UNKNOWN)
        return {"size_bytes": size, "files": files}

    def place(self, path: str) -> Sized:
        """The same of whatever is there; a file is one file."""
        try:
            status = os.stat(wire.raw(path))
        except OSError:
            return dict(UNKNOWN)
        if os.path.isdir(wire.raw(path)):
            return self.directory(path)
        return {"size_bytes": status.st_blocks * 512, "files": 1}

    def _walk(self, top: bytes) -> Tuple[int, int]:
        device = os.stat(top).st_dev
        seen: Set[int] = set()
        size, files, waiting = 0, 0, [top]
        while waiting:
            folder = waiting.pop()
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._go_on()
                    status = _status(entry)
                    if status is None or stat.S_ISSOCK(status.st_mode):
                        continue  # borg stores no sockets
                    directory = entry.is_dir(follow_symlinks=False)
                    files += not directory
                    if directory and status.st_dev == device:
                        waiting.append(entry.path)
                    if status.st_nlink == 1 or directory or status.st_ino not in seen:
                        size += status.st_blocks * 512
                        seen.add(status.st_ino) if status.st_nlink > 1 and not directory else None
        return size, files

    def _go_on(self) -> None:
        self._check()
        if time.monotonic() > self._until:
            raise TimeoutError


def _status(entry: Any) -> Optional[os.stat_result]:
    """None for what was removed meanwhile."""
    try:
        found: os.stat_result = entry.stat(follow_symlinks=False)
    except OSError:
        return None
    return found


def is_empty(path: str) -> bool:
    """Is there nothing at all in this directory?"""
    try:
        with os.scandir(wire.raw(path)) as entries:
            return next(entries, None) is None
    except OSError:
        return False
