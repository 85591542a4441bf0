"""What is overwritten is kept: in a directory of root's alone on the same filesystem, beside or inside the target.

Entries are told apart by inode and kind, which survive every rename and a restart; all names are reached by
descriptors, so that no link on the way is followed.
"""

import errno
import os
import re
import stat
from contextlib import suppress
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .. import copying, tree, wire
from ..snapshots.tools import is_own
from . import owners

PREFIX = b".phpborg-"
_OF_RESTORES = re.compile(rb"\.phpborg-(?:restore-[0-9a-f]{16}|[0-9a-f]{16}|kept-[0-9a-f]{8})")
NEW, OLD, OTHER = b".new", b".old", b".other"
Table = Dict[str, Any]


class Mark(NamedTuple):
    """Which entry it is, whatever it is called."""

    inode: int
    kind: int

    @classmethod
    def of(cls, status: Optional[os.stat_result]) -> "Optional[Mark]":
        """Of what is there, or None."""
        return None if status is None else cls(status.st_ino, stat.S_IFMT(status.st_mode))

    @classmethod
    def read(cls, row: Any) -> "Optional[Mark]":
        """As JSON carries it."""
        return None if row is None else cls(int(row[0]), int(row[1]))


def name_of(token: str) -> bytes:
    """The name of a restore's keeping directory."""
    return PREFIX + token.encode("ascii")


def is_of_a_restore(name: bytes) -> bool:
    """Does some restore keep or extract under this name, by the worker or by a script? It is no content of a place."""
    return _OF_RESTORES.fullmatch(name) is not None


def split(path: bytes) -> Tuple[bytes, bytes]:
    """(directory, name) of an absolute path."""
    above, _, name = path.rpartition(b"/")
    return above or b"/", name


def opened(above: bytes, token: str, make: bool = False, known: Any = None) -> int:
    """The keeping directory in `above`, open. Raises Refused "missing", or "unsafe" when it is not root's alone.

    The one whose mark was written down (`known`) is made root's alone again: a container that has it among its data may
    have given all of them to its own user.
    """
    name, path = name_of(token), wire.shown(os.path.join(above, name_of(token)))
    parent, _ = tree.walk_to(above)
    try:
        made = tree.look(name, parent) is None
        if made and not make:
            raise wire.Refused("missing", "{} is gone".format(path))
        if made:
            os.mkdir(name, 0o700, dir_fd=parent)
        found = tree.open_directory(name, parent)
        status = os.fstat(found)
        if not is_own(status) and known is not None and Mark.of(status) == Mark.read(known):
            os.fchown(found, os.geteuid(), os.getegid())
            os.fchmod(found, 0o700)
            status = os.fstat(found)
        if is_own(status):
            return found
        os.close(found)
        if made:
            # A filesystem that gives owners or rights of its own: what is refused here does not stay there.
            with suppress(OSError):
                os.rmdir(name, dir_fd=parent)
        raise wire.Refused("unsafe", "{} is not a directory of root's alone".format(path))
    finally:
        os.close(parent)


def swap(first: bytes, first_dir: int, second: bytes, second_dir: int) -> None:
    """Two entries take each other's place: in one step where the filesystem can, else by a third name."""
    try:
        copying.exchange(first, first_dir, second, second_dir)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise
        between = first + b".between"
        os.rename(second, between, src_dir_fd=second_dir, dst_dir_fd=first_dir)
        os.rename(first, second, src_dir_fd=first_dir, dst_dir_fd=second_dir)
        os.rename(between, first, src_dir_fd=first_dir, dst_dir_fd=first_dir)


def put(move: Table, keep: int, directory: int, source: Optional[Tuple[int, bytes]]) -> None:
    """One exchange: what was staged (`source`: directory and name) by way of the keeping directory to its place."""
    base, name = wire.raw(move["base"]), wire.raw(move["name"])
    if source is not None:
        copying.rename_new(source[1], source[0], base + NEW, keep)
    if move["old"] is None:
        copying.rename_new(base + NEW, keep, name, directory)
    elif source is None:
        os.rename(name, base + OLD, src_dir_fd=directory, dst_dir_fd=keep)
    else:
        swap(base + NEW, keep, name, directory)
        os.rename(base + NEW, base + OLD, src_dir_fd=keep, dst_dir_fd=keep)
    os.fsync(directory)
    os.fsync(keep)


def give_back(move: Table, keep: int, directory: int) -> Optional[str]:
    """Undo `put`, whatever of it has happened; a remark where somebody else's entry is kept. Raises LookupError."""
    base, name = wire.raw(move["base"]), wire.raw(move["name"])
    old, new = Mark.read(move["old"]), Mark.read(move["new"])
    there = Mark.of(tree.look(name, directory))
    if old is None:
        if there is not None and there == new:
            copying.rename_new(name, directory, _free(base + NEW, keep), keep)
        elif there is not None and new is not None:
            return "{} is somebody else's: it stays".format(wire.shown(name))
        return None
    if there == old:
        return None
    kept = find(old, base, keep)
    if kept is None:
        raise LookupError("what was at {} is not found any more".format(wire.shown(name)))
    owners.give(kept, keep, move.get("owner"))
    if there is None:
        copying.rename_new(kept, keep, name, directory)
        return None
    swap(kept, keep, name, directory)
    ours = there == new
    if not ours or kept != base + NEW:
        os.rename(kept, _free(base + (NEW if ours else OTHER), keep), src_dir_fd=keep, dst_dir_fd=keep)
    return None if ours else "{} had been changed by others: that is kept beside it".format(wire.shown(name))


def find(wanted: Mark, base: bytes, keep: int) -> Optional[bytes]:
    """By which name a step keeps this entry."""
    for ending in (OLD, NEW, NEW + b".between"):
        if Mark.of(tree.look(base + ending, keep)) == wanted:
            return base + ending
    return None


def _free(name: bytes, keep: int) -> bytes:
    number = 0
    free = name
    while tree.look(free, keep) is not None:
        number += 1
        free = name + b"-%d" % number
    return free


def size(above: bytes, token: str, known: Any = None) -> int:
    """So many bytes on the disk has what is kept there."""
    try:
        keep = opened(above, token, known=known)
    except (wire.Refused, OSError):
        return 0
    try:
        kept = [name for name in tree.names(keep) if not name.endswith(NEW)]
        return sum(_blocks(name, keep) for name in kept)
    finally:
        os.close(keep)


def _blocks(name: bytes, directory: int) -> int:
    status = tree.look(name, directory)
    if status is None:
        return 0
    total = status.st_blocks * 512
    if stat.S_ISDIR(status.st_mode):
        opened_one = tree.open_directory(name, directory)
        try:
            total += sum(_blocks(child, opened_one) for child in tree.names(opened_one))
        finally:
            os.close(opened_one)
    return total


def remove_empty(above: bytes, token: str) -> None:
    """It goes where nothing had to be kept in it."""
    parent, _ = tree.walk_to(above)
    try:
        os.rmdir(name_of(token), dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
            raise
    finally:
        os.close(parent)


def remove(above: bytes, token: str, control: wire.Control, all_of_it: bool = True, known: Any = None) -> Optional[str]:
    """Remove what is kept in `above`; why not, or None. Never across a mount. `all_of_it`: also what is others'."""
    path = os.path.join(above, name_of(token))
    mounts = tree.mount_points(path)
    if mounts:
        return "a filesystem is mounted at {}: it stays".format(wire.shown(mounts[0][0]))
    try:
        keep = opened(above, token, known=known)
    except wire.Refused as refusal:
        return None if refusal.code == "missing" else refusal.message
    try:
        names: List[bytes] = sorted(tree.names(keep))
        left = [name for name in names if not all_of_it and OTHER in name]
        for name in names:
            if name not in left:
                tree.remove(name, keep, control)
    finally:
        os.close(keep)
    if left:
        return "{} holds what others had put there".format(wire.shown(path))
    parent, _ = tree.walk_to(above)
    try:
        os.rmdir(name_of(token), dir_fd=parent)
    finally:
        os.close(parent)
    return None
