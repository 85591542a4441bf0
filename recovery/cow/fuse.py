"""The store as a filesystem: each request of the kernel becomes one call of the store."""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import wire
from .node import Node, now
from .stats import Counters
from .store import Store

if TYPE_CHECKING:
    Parts = list[bytes | memoryview]
    Kept = tuple[tuple[bytes, int, int], ...]


class Request:
    """One message: its header's fields, its body, and the thread's own buffer and counters."""

    __slots__ = ("body", "counters", "nodeid", "out", "who")

    def __init__(self, out: memoryview, counters: Counters) -> None:
        self.out, self.counters = out, counters
        self.body = memoryview(b"")
        self.nodeid = 0
        self.who = (0, 0)

    def names(self, offset: int = 0) -> list[bytes]:
        """The names in the body, each ended by a zero byte."""
        return bytes(self.body[offset:]).split(b"\0")[:-1]


class Filesystem:
    """Serves a store by the descriptor of a mount, in a number of threads."""

    def __init__(self, store: Store, fd: int) -> None:
        self.store, self.fd = store, fd
        self.counters: list[Counters] = []
        self._folders: dict[int, Kept] = {}
        self._next = 1
        self._lock = threading.Lock()
        self._calls: dict[int, Callable[[Request], Parts | None]] = {
            wire.LOOKUP: self._lookup,
            wire.FORGET: self._forget,
            wire.BATCH_FORGET: self._batch_forget,
            wire.GETATTR: self._getattr,
            wire.SETATTR: self._setattr,
            wire.READLINK: self._readlink,
            wire.SYMLINK: self._symlink,
            wire.MKNOD: self._mknod,
            wire.MKDIR: self._mkdir,
            wire.UNLINK: self._unlink,
            wire.RMDIR: self._rmdir,
            wire.RENAME: self._rename,
            wire.RENAME2: self._rename2,
            wire.LINK: self._link,
            wire.OPEN: self._open,
            wire.CREATE: self._create,
            wire.READ: self._read,
            wire.WRITE: self._write,
            wire.RELEASE: self._release,
            wire.FSYNC: self._fsync,
            wire.FSYNCDIR: self._fsyncdir,
            wire.STATFS: self._statfs,
            wire.OPENDIR: self._opendir,
            wire.READDIR: self._readdir,
            wire.RELEASEDIR: self._releasedir,
            wire.FALLOCATE: self._fallocate,
            wire.LSEEK: self._lseek,
            wire.INTERRUPT: lambda request: None,
            wire.DESTROY: lambda request: [],
        }

    def serve(self, count: int) -> list[threading.Thread]:
        """Start the threads; each ends when the filesystem is unmounted."""
        threads = [threading.Thread(target=self._work, name=f"fuse-{number}", daemon=True) for number in range(count)]
        for thread in threads:
            thread.start()
        return threads

    def totals(self) -> Counters:
        """The counters of all threads together."""
        total = Counters()
        for counters in self.counters:
            total.add(counters)
        return total

    def _work(self) -> None:
        buffer, counters = bytearray(wire.BUFFER_BYTES), Counters()
        self.counters.append(counters)
        request = Request(memoryview(bytearray(wire.MAX_BYTES)), counters)
        whole = memoryview(buffer)
        unpack, size, calls, fd = wire.IN.unpack_from, wire.IN.size, self._calls, self.fd
        while True:
            try:
                length = wire.receive(fd, buffer)
            except wire.Unmounted:
                return
            _, opcode, unique, request.nodeid, uid, gid, _, _, _ = unpack(buffer)
            request.who, request.body = (uid, gid), whole[size:length]
            code, parts = 0, None
            try:
                parts = calls[opcode](request)
            except KeyError:
                code = errno.ENOSYS if opcode not in calls else self._broken()
            except OSError as error:
                code = error.errno or errno.EIO
            except Exception:
                code = self._broken()
            if code or parts is not None:
                wire.reply(fd, unique, code, parts or ())

    @staticmethod
    def _broken() -> int:
        traceback.print_exc(file=sys.stderr)
        return errno.EIO

    # what goes back

    def _attr(self, node: Node) -> bytes:
        size = node.length
        pieces = [divmod(value, 1_000_000_000) for value in (node.atime, node.mtime, node.ctime)]
        (at, an), (mt, mn), (ct, cn) = pieces
        links = min(node.nlink, 1) if node.is_folder else node.nlink  # 1: nobody counts subfolders by it
        numbers = (node.ino, size, -(-size // 512), at & (2**64 - 1), mt & (2**64 - 1), ct & (2**64 - 1), an, mn, cn)
        return wire.ATTR.pack(*numbers, node.mode, links, node.uid, node.gid, node.rdev & 0xFFFFFFFF, 4096, 0)

    def _entry(self, node: Node) -> bytes:
        return wire.ENTRY.pack(node.ino, 0, wire.LONG, wire.LONG, 0, 0) + self._attr(node)

    def _attr_out(self, node: Node) -> Parts:
        return [wire.ATTR_OUT.pack(wire.LONG, 0, 0), self._attr(node)]

    # names

    def _lookup(self, request: Request) -> Parts:
        store = self.store
        with store.lock:
            try:
                node = store.lookup(store.node(request.nodeid), request.names()[0])
            except FileNotFoundError:  # the kernel may remember that, too
                return [wire.ENTRY.pack(0, 0, wire.LONG, 0, 0, 0), bytes(wire.ATTR.size)]
            node.lookups += 1
            return [self._entry(node)]

    def _forget(self, request: Request) -> None:
        self.store.forget(request.nodeid, int.from_bytes(request.body[:8], "little"))

    def _batch_forget(self, request: Request) -> None:
        body = request.body
        for number in range(int.from_bytes(body[:4], "little")):
            start = 8 + 16 * number
            ino, count = body[start : start + 8], body[start + 8 : start + 16]
            self.store.forget(int.from_bytes(ino, "little"), int.from_bytes(count, "little"))

    def _make(self, request: Request, name: bytes, mode: int, target: bytes | None = None) -> Node:
        store = self.store
        with store.lock:
            node = store.make(store.node(request.nodeid), name, mode, request.who, target=target)
            node.lookups += 1
            return node

    def _symlink(self, request: Request) -> Parts:
        name, target = request.names()
        return [self._entry(self._make(request, name, stat.S_IFLNK | 0o777, target))]

    def _mknod(self, request: Request) -> Parts:
        mode = int.from_bytes(request.body[:4], "little")
        return [self._entry(self._make(request, request.names(16)[0], mode))]

    def _mkdir(self, request: Request) -> Parts:
        mode = stat.S_IFDIR | int.from_bytes(request.body[:4], "little")
        return [self._entry(self._make(request, request.names(8)[0], mode))]

    def _unlink(self, request: Request) -> Parts:
        self.store.unlink(self.store.node(request.nodeid), request.names()[0])
        return []

    def _rmdir(self, request: Request) -> Parts:
        self.store.rmdir(self.store.node(request.nodeid), request.names()[0])
        return []

    def _rename(self, request: Request, offset: int = 8, *, replace: bool = True) -> Parts:
        to = self.store.node(int.from_bytes(request.body[:8], "little"))
        old, new = request.names(offset)
        self.store.rename(self.store.node(request.nodeid), old, to, new, replace=replace)
        return []

    def _rename2(self, request: Request) -> Parts:
        flags = int.from_bytes(request.body[8:12], "little")
        if flags & ~1:  # exchange and whiteout
            raise OSError(errno.EINVAL, "rename flags")
        return self._rename(request, 16, replace=not flags)

    def _link(self, request: Request) -> Parts:
        store = self.store
        with store.lock:
            node = store.node(int.from_bytes(request.body[:8], "little"))
            store.link(node, store.node(request.nodeid), request.names(8)[0])
            node.lookups += 1
            return [self._entry(node)]

    def _readlink(self, request: Request) -> Parts:
        return [self.store.readlink(self.store.node(request.nodeid))]

    def _keep(self, listing: list[tuple[bytes, int, int]], handle: int = 0) -> int:
        with self._lock:
            if not handle:
                handle, self._next = self._next, self._next + 1
            self._folders[handle] = tuple(listing)
            return handle

    def _opendir(self, request: Request) -> Parts:
        return [wire.OPEN_OUT.pack(self._keep(self.store.listing(self.store.node(request.nodeid))), 0, 0)]

    def _readdir(self, request: Request) -> Parts:
        handle, offset, size = wire.IO.unpack_from(request.body)
        if not offset:
            self._keep(self.store.listing(self.store.node(request.nodeid)), handle)
        parts: Parts = []
        for position, (name, ino, kind) in enumerate(self._folders[handle][offset:], offset + 1):
            piece = wire.DIRENT.pack(ino, position, len(name), kind >> 12) + name
            piece += bytes(-len(piece) % 8)
            size -= len(piece)
            if size < 0:
                break
            parts.append(piece)
        return [b"".join(parts)]

    def _releasedir(self, request: Request) -> Parts:
        with self._lock:
            self._folders.pop(int.from_bytes(request.body[:8], "little"), None)
        return []

    # attributes

    def _getattr(self, request: Request) -> Parts:
        return self._attr_out(self.store.node(request.nodeid))

    def _setattr(self, request: Request) -> Parts:
        store, node = self.store, self.store.node(request.nodeid)
        values = wire.SETATTR_IN.unpack_from(request.body)
        valid, size, atime, mtime = values[0], values[3], values[5], values[6]
        an, mn, mode, uid, gid = values[8], values[9], values[11], values[13], values[14]
        changes: dict[str, int] = {}
        if valid & wire.SET_SIZE:
            store.files.acquire(node)
            try:
                store.files.resize(node, size)
            finally:
                store.release(node)
            changes["mtime"] = now()
        if valid & wire.SET_ATIME:
            changes["atime"] = now() if valid & wire.ATIME_NOW else _signed(atime) * 1_000_000_000 + an
        if valid & wire.SET_MTIME:
            changes["mtime"] = now() if valid & wire.MTIME_NOW else _signed(mtime) * 1_000_000_000 + mn
        for bit, name, value in ((wire.SET_MODE, "mode", mode), (wire.SET_UID, "uid", uid), (wire.SET_GID, "gid", gid)):
            if valid & bit:
                changes[name] = value
        store.set_attributes(node, **changes)
        return self._attr_out(node)

    def _statfs(self, request: Request) -> Parts:
        found = os.statvfs(self.store.upper)
        counts = (found.f_blocks, found.f_bfree, found.f_bavail, found.f_files, found.f_ffree)
        return [wire.STATFS_OUT.pack(*counts, found.f_bsize, 255, found.f_frsize, *((0,) * 7))]

    # bytes: a file's handle is its number, all handles share one content

    def _open(self, request: Request) -> Parts:
        self.store.files.acquire(self.store.node(request.nodeid))
        return [wire.OPEN_OUT.pack(request.nodeid, wire.KEEP_CACHE, 0)]

    def _create(self, request: Request) -> Parts:
        mode = int.from_bytes(request.body[4:8], "little")
        node = self._make(request, request.names(16)[0], stat.S_IFREG | stat.S_IMODE(mode))
        self.store.files.acquire(node)
        return [self._entry(node), wire.OPEN_OUT.pack(node.ino, wire.KEEP_CACHE, 0)]

    def _release(self, request: Request) -> Parts:
        self.store.release(self.store.node(request.nodeid))
        return []

    def _read(self, request: Request) -> Parts:
        _, offset, size = wire.IO.unpack_from(request.body)
        content = self.store.nodes[request.nodeid].content
        assert content is not None
        counters = request.counters
        done = content.read_into(request.out[:size], offset, counters)
        counters.reads += 1
        counters.bytes_read += done
        return [request.out[:done]]

    def _write(self, request: Request) -> Parts:
        _, offset, size = wire.IO.unpack_from(request.body)
        node, counters = self.store.node(request.nodeid), request.counters
        done = self.store.files.write(node, request.body[40 : 40 + size], offset, counters)
        counters.writes += 1
        counters.bytes_written += done
        return [done.to_bytes(8, "little")]

    def _fsync(self, request: Request) -> Parts:
        self.store.files.sync(self.store.node(request.nodeid))
        return []

    def _fsyncdir(self, request: Request) -> Parts:
        self.store.files.sync_names()
        return []

    def _fallocate(self, request: Request) -> Parts:
        _, offset, length, mode, _ = wire.FALLOCATE_IN.unpack_from(request.body)
        self.store.files.allocate(self.store.node(request.nodeid), mode, offset, length, request.counters)
        return []

    def _lseek(self, request: Request) -> Parts:
        _, offset, whence = wire.LSEEK_IN.unpack_from(request.body)
        content = self.store.node(request.nodeid).content
        assert content is not None
        return [content.seek(offset, whence).to_bytes(8, "little")]


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
