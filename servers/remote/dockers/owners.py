"""Whose an entry is and what may be done with it: a container may have given away what was kept where it looks.

Entrypoints of databases give all that lies in their directory of data to the user that the database runs as.
"""

import os
import stat
from typing import Any, List, Optional

from .. import tree


def of(status: Optional[os.stat_result]) -> Optional[List[int]]:
    """[user, group, mode] of what is there, as JSON carries it."""
    return None if status is None else [status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)]


def give(name: bytes, directory: int, owner: Any) -> None:
    """Of the entry itself, never of what a link leads to. None is for one of which nothing was written down."""
    status = tree.look(name, directory)
    if owner is None or status is None or of(status) == list(owner):
        return
    user, group, mode = map(int, owner)
    os.chown(name, user, group, dir_fd=directory, follow_symlinks=False)
    chmod(name, directory, mode)


def chmod(name: bytes, directory: int, mode: int) -> None:
    """Of the entry itself, never of what a link leads to."""
    opened = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        if not stat.S_ISLNK(os.fstat(opened).st_mode):
            os.chmod("/proc/self/fd/{}".format(opened), mode)
    finally:
        os.close(opened)
