"""A writable tree: a read-only one below, and an upper directory that holds only what differs. No FUSE in here.

The upper directory (format 1; `record.VERSION`) is durable and outlives the process:
    record.db   SQLite: nodes and names that differ (tables in `record`), with the log beside it
    data/INO    the bytes of a changed or new file, sparse, INO in hexadecimal; data/INO.map which blocks are in it
    lock        held by the one process that uses it
A lower entry is named by its path for ever; renaming it (a file or a whole folder) records one name and where it comes
from. A removed lower name is a whiteout; a folder that is made over one is new and shows nothing of it. Several names
of one lower file stay one file: a write through one is seen through the others. Changing mode, owner or times records
them and copies no data. Inode numbers of lower entries are made from the path and stay the same. Extended attributes
and device files are refused.

`missing` and `fill` are the door for a background fill: they list and copy blocks that are still below, in any order,
with the tree in use; both go on after a crash where they stood.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from .content import blocks_of
from .files import Files
from .lower import Lower
from .node import ROOT, Node, now, number_of
from .record import DROP_ENTRIES, DROP_ENTRY, DROP_NODE, PUT_ENTRY, Record
from .stats import Counters

if TYPE_CHECKING:
    from .record import Statement


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))


class Store:
    """The tree as names and nodes. Methods raise the OSError that a system call would. Thread-safe."""

    def __init__(self, lower: bytes, upper: bytes, *, owner: tuple[int, int] | None = None) -> None:
        os.makedirs(upper + b"/data", mode=0o700, exist_ok=True)
        self._lock_fd = os.open(upper + b"/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.owner, self.upper = owner, upper
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, self._lock_fd)
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.lower = Lower(lower)
            undo.callback(self.lower.close)
            self.record = Record(os.fsdecode(upper) + "/record.db")
            undo.callback(self.record.close)
            self._begin()
            undo.pop_all()

    def _begin(self) -> None:
        self.files = Files(self.lower, self.upper, self.record)
        self.lock = self.files.lock
        self.nodes: dict[int, Node] = {}
        self._names: dict[int, dict[bytes, int]] = {}
        self._by_lower: dict[bytes, int] = {}
        self._twins: dict[tuple[int, int], int] = {}
        self._load()
        if ROOT not in self.nodes:
            self.nodes[ROOT] = Node.below(ROOT, b"", self.lower.stat(b""), self.owner)

    def _load(self) -> None:
        for row in self.record.nodes():
            node = Node.recalled(row)
            if not node.nlink:
                self.record.run((DROP_NODE, (node.ino,)))
                continue
            if row["cut"] is not None:
                self.files.finish_cut(node.ino, row["cut"])
            if node.is_file:
                self._recall_file(node)
            self.nodes[node.ino] = node
            if node.lower is not None:
                self._by_lower[node.lower] = node.ino
        for parent, name, ino in self.record.entries():
            self._names.setdefault(parent, {})[name] = ino
        self.files.sweep({node.ino for node in self.nodes.values() if node.has_data})

    def _recall_file(self, node: Node) -> None:
        if node.lower is not None:
            found = self.lower.stat(node.lower)
            node.size = found.st_size
            if found.st_nlink > 1:
                node.twin = (found.st_dev, found.st_ino)
                self._twins[node.twin] = node.ino
        if node.has_data:
            node.size = self.files.size_above(node.ino)

    def close(self) -> None:
        """Everything durable, everything let go."""
        with self.lock, contextlib.ExitStack() as after:
            for end in (partial(os.close, self._lock_fd), self.lower.close, self.record.close):
                after.callback(end)
            after.callback(self.files.settle, self.nodes)
            for node in [node for node in self.nodes.values() if node.content is not None]:
                node.users = 1
                after.callback(self.files.release, node)

    # names

    def node(self, ino: int) -> Node:
        """A node that is known; ESTALE otherwise."""
        found = self.nodes.get(ino)
        if found is None:
            raise _error(errno.ESTALE)
        return found

    def lookup(self, parent: Node, name: bytes) -> Node:
        """The entry of a folder; ENOENT when there is none."""
        with self.lock:
            ino = self._names.get(parent.ino, {}).get(name)
            if ino:
                return self.node(ino)
            if ino == 0 or parent.lower is None:
                raise _error(errno.ENOENT)
            path = parent.lower + b"/" + name if parent.lower else name
            known = self.nodes.get(self._by_lower.get(path, 0))
            return known or self._from_below(path)

    def _from_below(self, path: bytes) -> Node:
        found = self.lower.stat(path)
        twin = (found.st_dev, found.st_ino)
        if stat.S_ISREG(found.st_mode) and found.st_nlink > 1 and twin in self._twins:
            return self.nodes[self._twins[twin]]
        ino = number_of(path)
        while ino in self.nodes:
            ino += 1
        node = Node.below(ino, path, found, self.owner)
        self.nodes[ino] = node
        self._by_lower[path] = ino
        if node.twin is not None:
            self._twins[node.twin] = ino
        return node

    def listing(self, folder: Node) -> list[tuple[bytes, int, int]]:
        """Names in a folder: name, inode number, kind (`stat.S_IFMT`)."""
        with self.lock:
            known = self._names.get(folder.ino, {})
            found = [(name, ino, stat.S_IFMT(self.nodes[ino].mode)) for name, ino in known.items() if ino]
            if folder.lower is not None:
                for name, kind in self.lower.names(folder.lower):
                    if name not in known:
                        path = folder.lower + b"/" + name if folder.lower else name
                        found.append((name, self._by_lower.get(path) or number_of(path), kind))
            return found

    def _is_below(self, parent: Node, name: bytes) -> bool:
        """Whether the lower tree has this name in a folder (so that its absence must be recorded)."""
        if parent.lower is None:
            return False
        try:
            self.lower.stat(parent.lower + b"/" + name if parent.lower else name)
        except FileNotFoundError:
            return False
        return True

    def _pin(self, folder: Node) -> list[Statement]:
        """A folder whose names are recorded is recorded itself; its times change."""
        folder.mtime = folder.ctime = now()
        return [folder.put()]

    def _gone(self, parent: Node, name: bytes) -> tuple[Statement, bool]:
        below = self._is_below(parent, name)
        return ((PUT_ENTRY, (parent.ino, name, 0)) if below else (DROP_ENTRY, (parent.ino, name))), below

    def _forget_name(self, parent: Node, name: bytes, below: bool) -> None:
        names = self._names.setdefault(parent.ino, {})
        if below:
            names[name] = 0
        else:
            names.pop(name, None)

    def _new_number(self) -> int:
        while True:
            ino = (int.from_bytes(os.urandom(8), "big") >> 2) + 2
            if ino not in self.nodes:
                return ino

    def _be_free(self, parent: Node, name: bytes) -> None:
        if not parent.nlink:
            raise _error(errno.ENOENT)
        known = self._names.get(parent.ino, {}).get(name)
        if known or (known is None and self._is_below(parent, name)):
            raise _error(errno.EEXIST)

    def make(self, parent: Node, name: bytes, mode: int, who: tuple[int, int], **more: Any) -> Node:
        """A new entry: file, folder, fifo, socket, or a link (`target`). EPERM for devices."""
        if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
            raise _error(errno.EPERM)
        with self.lock:
            self._be_free(parent, name)
            gid = who[1]
            if parent.mode & stat.S_ISGID:
                gid, mode = parent.gid, mode | (stat.S_ISGID if stat.S_ISDIR(mode) else 0)
            node = Node(self._new_number(), mode, who[0], gid)
            node.target = more.get("target")
            self.record.run(*self._pin(parent), node.put(), (PUT_ENTRY, (parent.ino, name, node.ino)))
            parent.recorded = node.recorded = True
            self.nodes[node.ino] = node
            self._names.setdefault(parent.ino, {})[name] = node.ino
            return node

    def link(self, node: Node, parent: Node, name: bytes) -> None:
        """One more name of a node."""
        with self.lock:
            self._be_free(parent, name)
            changes = {"nlink": node.nlink + 1, "ctime": now()}
            self.record.run(*self._pin(parent), node.put(**changes), (PUT_ENTRY, (parent.ino, name, node.ino)))
            node.take(**changes)
            self._names.setdefault(parent.ino, {})[name] = node.ino

    def unlink(self, parent: Node, name: bytes) -> None:
        """Remove a name; the bytes stay while somebody has them open."""
        with self.lock:
            node = self.lookup(parent, name)
            gone, below = self._gone(parent, name)
            self.record.run(*self._pin(parent), gone, *self._less(node))
            self._forget_name(parent, name, below)
            self._one_less(node)

    def rmdir(self, parent: Node, name: bytes) -> None:
        """Remove an empty folder; ENOTEMPTY otherwise."""
        with self.lock:
            node = self.lookup(parent, name)
            if self.listing(node):
                raise _error(errno.ENOTEMPTY)
            gone, below = self._gone(parent, name)
            self.record.run(*self._pin(parent), gone, *self._less(node))
            self._forget_name(parent, name, below)
            self._one_less(node)

    def _less(self, node: Node) -> list[Statement]:
        if node.is_folder or node.nlink <= 1:
            return [(DROP_NODE, (node.ino,)), (DROP_ENTRIES, (node.ino,))]
        return [node.put(nlink=node.nlink - 1, ctime=now())]

    def _one_less(self, node: Node) -> None:
        node.ctime = now()
        if not node.is_folder and node.nlink > 1:
            node.take(nlink=node.nlink - 1)
            return
        node.nlink = 0
        node.recorded = False
        if node.is_folder and node.lower is not None:  # who stands in it sees it empty
            self._by_lower.pop(node.lower, None)
            node.lower = None
        self._names.pop(node.ino, None)
        self._drop(node)

    def rename(self, parent: Node, name: bytes, to: Node, new: bytes, *, replace: bool = True) -> Node | None:
        """Move an entry, over an existing one when that may be; answers the node that lost its name."""
        with self.lock:
            node = self.lookup(parent, name)
            try:
                victim: Node | None = self.lookup(to, new)
            except FileNotFoundError:
                victim = None
            if victim is not None and not replace:
                raise _error(errno.EEXIST)
            if victim is node:
                return None
            if victim is not None and victim.is_folder and self.listing(victim):
                raise _error(errno.ENOTEMPTY)
            gone, below = self._gone(parent, name)
            lost = self._less(victim) if victim is not None else []
            node.ctime = now()
            arrives = (PUT_ENTRY, (to.ino, new, node.ino))
            self.record.run(*self._pin(parent), *self._pin(to), *lost, gone, node.put(), arrives)
            parent.recorded = to.recorded = node.recorded = True
            self._forget_name(parent, name, below)
            self._names.setdefault(to.ino, {})[new] = node.ino
            if victim is not None:
                self._one_less(victim)
            return victim

    # attributes

    def set_attributes(self, node: Node, **changes: int) -> None:
        """mode, uid, gid, atime, mtime: recorded; no data is copied."""
        with self.lock:
            if "mode" in changes:
                changes["mode"] = stat.S_IFMT(node.mode) | stat.S_IMODE(changes["mode"])
            changes["ctime"] = now()
            if node.nlink:
                self.record.run(node.put(**changes))
                node.take(**changes)
            else:  # open and without a name: nothing to record
                for key, value in changes.items():
                    setattr(node, key, value)

    def readlink(self, node: Node) -> bytes:
        """Where a link leads, as written; it is never followed here."""
        if node.target is not None:
            return node.target
        if node.lower is None:
            raise _error(errno.EINVAL)
        return self.lower.readlink(node.lower)

    # the end of use

    def forget(self, ino: int, count: int) -> None:
        """The kernel dropped so many references."""
        with self.lock:
            node = self.nodes.get(ino)
            if node is not None:
                node.lookups = max(0, node.lookups - count)
                self._drop(node)

    def release(self, node: Node) -> None:
        """Let go of an acquired content."""
        with self.lock:
            self.files.release(node)
            self._drop(node)

    def _drop(self, node: Node) -> None:
        """Nobody uses it: it leaves the memory if the record or the lower tree can give it again, or it is gone."""
        if node.lookups or node.users or node.recorded or node.ino == ROOT:
            return
        if self.nodes.get(node.ino) is node:
            del self.nodes[node.ino]
        if node.lower is not None and self._by_lower.get(node.lower) == node.ino:
            del self._by_lower[node.lower]
        if node.twin is not None and self._twins.get(node.twin) == node.ino:
            del self._twins[node.twin]
        if node.has_data:
            self.files.doomed.append(node.ino)

    # the door for a background fill

    def missing(self, node: Node) -> int:
        """How many blocks of a file are still below."""
        if not node.has_data:
            return blocks_of(node.seen)
        content = self.files.acquire(node)
        try:
            return len(content.missing())
        finally:
            self.release(node)

    def fill(self, node: Node, limit: int, counters: Counters | None = None) -> int:
        """Copy up to `limit` blocks of a file up and make them durable; answers how many are still below."""
        content = self.files.acquire(node)
        try:
            self.files.change(node)
            content.fill(limit, counters or Counters())
            self.files.sync(node)
            return len(content.missing())
        finally:
            self.release(node)

    def walk(self, folder: Node | None = None) -> Iterator[Node]:
        """Every regular file of the tree as it stands (a file with two names comes twice)."""
        top = folder or self.nodes[ROOT]
        for name, _ino, kind in sorted(self.listing(top)):
            if kind == stat.S_IFDIR:
                yield from self.walk(self.lookup(top, name))
            elif kind == stat.S_IFREG:
                yield self.lookup(top, name)
