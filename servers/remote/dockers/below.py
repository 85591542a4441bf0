"""What lies below an open directory, by its path there. No link is followed."""

import os
from typing import Tuple

from .. import tree, wire


def above_below(path: bytes, root: int) -> Tuple[int, bytes]:
    """(open directory, name) of a path below an open one. Raises Refused."""
    *above, name = path.split(b"/")
    current = os.dup(root)
    for step in above:
        try:
            if tree.look(step, current) is None:
                raise wire.Refused("missing", "{} was not extracted".format(wire.shown(path)), path=wire.shown(path))
            following = tree.open_directory(step, current)
        finally:
            os.close(current)
        current = following
    return current, name


def status_below(path: bytes, root: int) -> os.stat_result:
    """What is there (a link is a link). Raises Refused."""
    directory, name = above_below(path, root)
    try:
        status = tree.look(name, directory)
    finally:
        os.close(directory)
    if status is None:
        raise wire.Refused("missing", "{} was not extracted".format(wire.shown(path)), path=wire.shown(path))
    return status


def opened_below(path: bytes, root: int) -> int:
    """The directory that is there, open. Raises Refused."""
    directory, name = above_below(path, root)
    try:
        return tree.open_directory(name, directory)
    finally:
        os.close(directory)
