"""Chosen files and folders of a volume: what changes places, so that a folder keeps what only the server has."""

import os
from typing import Iterator, List, NamedTuple, Optional

from .. import tree, wire

# Each of them is in the journal before the first one moves.
MOST = 100000


class Pair(NamedTuple):
    """What was staged there (path below the staging directory; None: nothing) and where it belongs."""

    staged: Optional[bytes]
    place: bytes


def pairs(staged: int, source: bytes, target: bytes, items: List[bytes], control: wire.Control) -> List[Pair]:
    """A folder that is on both sides is gone through; all else changes places as it is, a folder that is new whole.

    `staged` is the open staging directory, `source` and `items` are relative. Raises Refused for a link on the way,
    for what was not extracted, and for more than MOST entries.
    """
    found: List[Pair] = []
    for item in items:
        coming = _opened(source + b"/" + item, staged)
        there = None if coming is None else _opened_at(target + b"/" + item)
        try:
            pair = Pair(source + b"/" + item, target + b"/" + item)
            for one in [pair] if coming is None or there is None else _inside(pair, coming, there, control):
                found.append(one)
                if len(found) > MOST:
                    text = "more than {} files would change places one by one: choose fewer, or the whole volume"
                    raise wire.Refused("invalid", text.format(MOST))
        finally:
            for descriptor in (coming, there):
                if descriptor is not None:
                    os.close(descriptor)
    return found


def _inside(pair: Pair, coming: int, there: int, control: wire.Control) -> Iterator[Pair]:
    assert pair.staged is not None
    for name in sorted(tree.names(coming)):
        control.check()
        below = Pair(pair.staged + b"/" + name, pair.place + b"/" + name)
        if not (tree.is_directory(tree.look(name, coming)) and tree.is_directory(tree.look(name, there))):
            yield below
            continue
        deeper, other = tree.open_directory(name, coming), tree.open_directory(name, there)
        try:
            yield from _inside(below, deeper, other, control)
        finally:
            os.close(deeper)
            os.close(other)


def _opened(path: bytes, root: int) -> Optional[int]:
    """The directory at a path below an open one; None for a file, a link, or what is not there."""
    current = os.dup(root)
    for step in path.split(b"/"):
        following = tree.open_directory(step, current) if tree.is_directory(tree.look(step, current)) else None
        os.close(current)
        if following is None:
            return None
        current = following
    return current


def _opened_at(path: bytes) -> Optional[int]:
    """The same of the machine's own; a link above it is refused."""
    above, _, name = path.rpartition(b"/")
    try:
        directory, _ = tree.walk_to(above)
    except wire.Refused as refusal:
        if refusal.code == "missing":
            return None
        raise
    try:
        return tree.open_directory(name, directory) if tree.is_directory(tree.look(name, directory)) else None
    finally:
        os.close(directory)
