"""Files in use: opened, changed, made durable, let go. The half of the store that is about bytes."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from functools import partial

from .content import Content, make, sync_folder
from .lower import Lower
from .node import Node, now
from .record import CUT, CUT_DONE, Record
from .stats import Counters


class Files:
    """Contents of nodes over `lower` and `upper/data`. `lock` guards names and attributes, each content has its own."""

    def __init__(self, lower: Lower, upper: bytes, record: Record) -> None:
        self.lower, self.upper, self.record = lower, upper, record
        self.lock = threading.RLock()
        self.unsynced: set[int] = set()  # changed and let go without fsync
        self.unlisted = False  # a new file in `data` may not be on the disk yet
        self.doomed: list[int] = []  # data of nodes that are gone, removed when the record of it is durable

    def data(self, ino: int) -> bytes:
        """The path of a node's upper file."""
        return b"%s/data/%x" % (self.upper, ino)

    def acquire(self, node: Node) -> Content:
        """Open it, or take part in who has it open. The lower file is opened when bytes of it are read."""
        with self.lock:
            if node.content is None:
                if not node.is_file:
                    raise OSError(errno.EINVAL, "not a regular file")
                below = node.lower if node.seen else None
                content = Content(None if below is None else partial(self.lower.open, below), node.size)
                try:
                    if node.has_data:
                        content.attach(self.data(node.ino), node.seen)
                except OSError:
                    content.close()
                    raise
                node.content = content
            node.users += 1
            return node.content

    def release(self, node: Node) -> None:
        """One user less; the last one closes it."""
        with self.lock:
            node.users -= 1
            content = node.content
            if node.users or content is None:
                return
            with contextlib.suppress(OSError):  # a full disk: the times of a file are all that is lost
                self.save_times(node)
            node.size, node.seen = content.size, content.seen
            if content.upper >= 0 and node.nlink:
                self.unsynced.add(node.ino)
            node.content = None
            content.close()

    def change(self, node: Node, *, size: int | None = None) -> Content:
        """Its content (acquired), ready to be written; nothing of it is copied. `size`: cut to it in the same step."""
        content = node.content
        assert content is not None
        if content.upper >= 0:
            return content
        with self.lock, content.lock:
            if content.upper < 0:
                seen = content.seen if size is None else min(content.seen, size)
                length = content.size if size is None else size
                make(self.data(node.ino), length, seen)
                if node.nlink:  # open and without a name: nothing to record
                    self.record.run(node.put(has_data=True, seen=seen))
                    node.recorded = True
                node.has_data, node.seen = True, seen
                self.unlisted = self.unlisted or not seen
                content.attach(self.data(node.ino), seen)
        return content

    def write(self, node: Node, data: memoryview, offset: int, counters: Counters) -> int:
        """Write through a handle."""
        done = self.change(node).write(data, offset, counters)
        node.mtime = node.ctime = now()
        node.unsaved = True
        return done

    def resize(self, node: Node, size: int) -> None:
        """Truncate or extend an acquired file. A cut of lower bytes is on the disk before it is done."""
        content = node.content
        assert content is not None
        if content.upper < 0:
            self.change(node, size=size)
            return
        with content.lock:
            cuts = size < content.seen
            if cuts:
                self.record.run((CUT, (size, size, node.ino)), durable=True)
            content.resize(size)
            if cuts:
                self.record.run((CUT_DONE, (node.ino,)))
                node.seen = size

    def allocate(self, node: Node, mode: int, offset: int, length: int, counters: Counters) -> None:
        """fallocate of an acquired file."""
        self.change(node).allocate(mode, offset, length, counters)
        node.mtime = node.ctime = now()
        node.unsaved = True

    def save_times(self, node: Node) -> None:
        """Record the times that writing changed."""
        if node.unsaved and node.nlink:
            self.record.run(node.put())
            node.recorded = True
        node.unsaved = False

    def sync(self, node: Node) -> None:
        """fsync: data, marks, record; in this order."""
        content = node.content
        if content is not None:
            content.sync()
        with self.lock:
            self.save_times(node)
        self.sync_names()

    def sync_names(self) -> None:
        """What was recorded is on the disk, after the names of new files in `data`."""
        if self.unlisted:
            self.unlisted = False
            sync_folder(self.upper + b"/data")
        self.record.sync()

    def settle(self, nodes: dict[int, Node]) -> None:
        """What fsync was not called for becomes durable too; data that nobody names any more is removed."""
        with self.lock:
            numbers, self.unsynced = self.unsynced, set()
            doomed, self.doomed = self.doomed, []
        failed: OSError | None = None
        for number in numbers:
            node = nodes.get(number)
            if node is not None and node.has_data and node.nlink:
                try:
                    self.acquire(node).sync()
                    self.unsynced.discard(number)
                except OSError as error:
                    failed = error
                finally:
                    self.release(node)
        self.sync_names()
        for number in doomed:
            self.remove_data(number)
        if failed is not None:
            raise failed

    def remove_data(self, ino: int) -> None:
        """Take a node's upper files away."""
        for path in (self.data(ino), self.data(ino) + b".map"):
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue

    def finish_cut(self, ino: int, size: int) -> None:
        """A truncation that was recorded before a crash is carried out."""
        if os.path.exists(self.data(ino)):
            os.truncate(self.data(ino), size)
        self.record.run((CUT_DONE, (ino,)))

    def sweep(self, known: set[int]) -> None:
        """After a crash: remove data that no node has."""
        for name in os.listdir(self.upper + b"/data"):
            ino = int(name.partition(b".")[0], 16)
            if ino not in known:
                os.unlink(self.upper + b"/data/" + name)

    def size_above(self, ino: int) -> int:
        """The length of a node's upper file; 0 when an unclean end of the machine lost a file that was never synced."""
        try:
            found = os.stat(self.data(ino))
        except FileNotFoundError:
            return 0
        return found.st_size if stat.S_ISREG(found.st_mode) else 0

    def upper_bytes(self) -> int:
        """What the upper layer takes on its disk now."""
        total = 0
        for folder in (self.upper, self.upper + b"/data"):
            with os.scandir(folder) as found:
                for entry in found:
                    try:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
                    except FileNotFoundError:
                        continue
        return total
