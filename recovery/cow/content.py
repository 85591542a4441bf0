"""The bytes of one file that is in use: blocks of the lower file, overlaid with those that were copied up.

`data/INO` is sparse and as long as the file. `data/INO.map` begins with HEADER_BYTES (magic, then the id of the boot
that wrote it), then one byte for each block of the lower file:
    0  the block is the lower file's; what `data/INO` holds there is meaningless
    1  copied, not yet flushed: true as long as the machine has not been started anew (the page cache outlives us)
    2  copied and flushed
A block is copied whole, then overlaid, then marked. Bytes at or beyond `seen` (the length of the lower file, or what
the shortest truncation left of it) never come from the lower file again.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Iterator

from .stats import Counters

BLOCK = 65536
HEADER_BYTES = 64
_MAGIC = b"PBCOWMAP1\n"
LOWER, UPPER, ZERO = 0, 1, 2
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
_NOTHING = memoryview(bytes(BLOCK))
_libc = ctypes.CDLL(None, use_errno=True)


def boot_id() -> bytes:
    """Which start of this machine it is."""
    with open("/proc/sys/kernel/random/boot_id", "rb") as file:
        return file.read().strip()[:40]


def blocks_of(length: int) -> int:
    """How many blocks hold so many bytes."""
    return -(-length // BLOCK)


def write_all(fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """pwrite to the end."""
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


def _header() -> bytes:
    return (_MAGIC + boot_id()).ljust(HEADER_BYTES, b"\0")


def make(data: bytes, size: int, seen: int) -> None:
    """The two upper files of a node, before the record names them; durable when lower bytes shine through."""
    pair = [(data, size, b""), (data + b".map", HEADER_BYTES + blocks_of(seen), _header())]
    for path, length, head in pair if seen else pair[:1]:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, length)
            write_all(fd, head, 0)
            if seen:
                os.fsync(fd)
        finally:
            os.close(fd)
    if seen:
        sync_folder(os.path.dirname(data))


def sync_folder(path: bytes) -> None:
    """The names in it are on the disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Content:
    """An open file. `below` opens the lower one at the first need; `upper` comes with the first change. Thread-safe."""

    def __init__(self, below: Callable[[], int] | None, size: int) -> None:
        self._below = below
        self.lower = -1
        self.size = size
        self.seen = size if below is not None else 0
        self.upper = -1
        self.map = bytearray()
        self.soft: set[int] = set()
        self.lock = threading.RLock()
        self._map_fd = -1

    def attach(self, data: bytes, seen: int) -> None:
        """Use the upper files; marks of an earlier boot that were not flushed are taken back."""
        if seen:
            self._map_fd = os.open(data + b".map", os.O_RDWR | os.O_CLOEXEC)
            self._read_marks(seen)
        # Without lower bytes a file may be missing: made, never synced, and the machine ended. Then it is empty.
        fd = os.open(data, os.O_RDWR | os.O_CLOEXEC | (0 if seen else os.O_CREAT), 0o600)
        self.seen, self.size = seen, os.fstat(fd).st_size
        self.upper = fd

    def _read_marks(self, seen: int) -> None:
        count = blocks_of(seen)
        raw = os.pread(self._map_fd, HEADER_BYTES + count, 0).ljust(HEADER_BYTES + count, b"\0")
        marks = bytearray(raw[HEADER_BYTES:])
        if raw[:HEADER_BYTES] != _header():
            marks = bytearray(marks.replace(b"\1", b"\0"))
            write_all(self._map_fd, marks, HEADER_BYTES)
            os.fsync(self._map_fd)
            write_all(self._map_fd, _header(), 0)
        self.soft = {block for block, mark in enumerate(marks) if mark == 1}
        self.map = marks

    def close(self) -> None:
        """Let go of the descriptors."""
        for fd in (self.lower, self.upper, self._map_fd):
            if fd >= 0:
                os.close(fd)
        self.lower = self.upper = self._map_fd = -1

    # reading

    def read_into(self, view: memoryview, offset: int, counters: Counters) -> int:
        """Fill `view` from `offset`; answers how many bytes. Raises EIO when the lower file gives less than it has."""
        want = min(len(view), self.size - offset)
        if want <= 0:
            return 0
        if self.upper < 0:
            self._read_lower(view[:want], offset)
            counters.lower_bytes += want
            return want
        for kind, start, end in self.runs(offset, offset + want):
            part = view[start - offset : end - offset]
            if kind == LOWER:
                self._read_lower(part, start)
                counters.lower_bytes += len(part)
            elif kind == UPPER:
                self._read_upper(part, start)
            else:
                part[:] = bytes(len(part))
        return want

    def runs(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Where the bytes from `start` to `end` are: kind, from, to."""
        marks, seen = self.map, self.seen
        while start < end:
            block, count = start // BLOCK, len(marks)
            if block >= count:
                yield UPPER, start, end
                return
            copied = marks[block] != 0
            after = block + 1
            while after < count and after * BLOCK < end and (marks[after] != 0) == copied:
                after += 1
            stop = min(end, after * BLOCK)
            if copied:
                yield UPPER, start, stop
            else:
                if start < seen:
                    yield LOWER, start, min(stop, seen)
                if stop > seen:
                    yield ZERO, max(start, seen), stop
            start = stop

    def _open_lower(self) -> int:
        with self.lock:
            if self.lower < 0:
                if self._below is None:
                    raise OSError(errno.EIO, "there is no file below")
                self.lower = self._below()
            return self.lower

    def _read_lower(self, view: memoryview, offset: int) -> None:
        lower = self.lower
        if lower < 0:
            lower = self._open_lower()
        while view:
            done = os.preadv(lower, [view], offset)
            if not done:
                raise OSError(errno.EIO, "the file below is shorter than it was")
            view, offset = view[done:], offset + done

    def _read_upper(self, view: memoryview, offset: int) -> None:
        while view:
            done = os.preadv(self.upper, [view], offset)
            if not done:  # a truncation at this very moment
                view[:] = bytes(len(view))
                return
            view, offset = view[done:], offset + done

    # writing: the upper files are attached

    def write(self, data: memoryview, offset: int, counters: Counters) -> int:
        """Overlay; blocks that are not wholly overwritten are copied first. Raises ENOSPC."""
        end = offset + len(data)
        with self.lock:
            first, last = offset // BLOCK, (end - 1) // BLOCK
            if self.is_lower(first) and (offset % BLOCK or end < min((first + 1) * BLOCK, self.size)):
                self._copy(first, counters)
            if last != first and self.is_lower(last) and end < min((last + 1) * BLOCK, self.size):
                self._copy(last, counters)
            write_all(self.upper, data, offset)
            self.size = max(self.size, end)
            self._mark(first, last + 1, counters)
        return len(data)

    def is_lower(self, block: int) -> bool:
        """Whether it has not been copied yet."""
        return block < len(self.map) and not self.map[block]

    def _copy(self, block: int, counters: Counters) -> None:
        start = block * BLOCK
        whole = memoryview(bytearray(min(BLOCK, self.size - start)))
        below = min(len(whole), self.seen - start)
        self._read_lower(whole[:below], start)
        counters.lower_bytes += below
        if whole == _NOTHING[: len(whole)] and self._punch(start, len(whole)):
            return  # a hole stays one
        write_all(self.upper, whole, start)

    def _punch(self, start: int, length: int) -> bool:
        arguments = (ctypes.c_int(self.upper), ctypes.c_int(KEEP_SIZE | PUNCH_HOLE))
        return not _libc.fallocate64(*arguments, ctypes.c_int64(start), ctypes.c_int64(length))

    def _mark(self, first: int, after: int, counters: Counters) -> None:
        after = min(after, len(self.map))
        fresh = [block for block in range(first, after) if not self.map[block]]
        if fresh:
            marks = bytes(mark or 1 for mark in self.map[first:after])
            write_all(self._map_fd, marks, HEADER_BYTES + first)
            self.map[first:after] = marks
            self.soft.update(fresh)
            counters.blocks_copied += len(fresh)

    def fill(self, limit: int, counters: Counters) -> int:
        """Copy up to `limit` blocks that are still below; answers how many. Safe to stop at any moment."""
        done = 0
        block = self.map.find(0)
        while block >= 0 and done < limit:
            with self.lock:
                if self.is_lower(block):
                    if block * BLOCK < self.size:
                        self._copy(block, counters)
                    self._mark(block, block + 1, counters)
                    done += 1
            block = self.map.find(0, block + 1)
        return done

    def missing(self) -> list[int]:
        """The blocks that are still below."""
        return [block for block, mark in enumerate(self.map) if not mark]

    def resize(self, size: int) -> None:
        """Truncate or extend; the record already knows of a cut below `seen`."""
        with self.lock:
            os.ftruncate(self.upper, size)
            self.size = size
            if size < self.seen:
                self.seen = size
                del self.map[blocks_of(size) :]
                self.soft = {block for block in self.soft if block < len(self.map)}

    def allocate(self, mode: int, offset: int, length: int, counters: Counters) -> None:
        """fallocate: reserve, punch a hole, or zero a range; other modes are EOPNOTSUPP."""
        if mode & ~(KEEP_SIZE | PUNCH_HOLE | ZERO_RANGE):
            raise OSError(errno.EOPNOTSUPP, "fallocate mode")
        end = offset + length
        with self.lock:
            first, last = offset // BLOCK, (end - 1) // BLOCK
            empties = mode & (PUNCH_HOLE | ZERO_RANGE)
            if empties:
                if self.is_lower(first) and offset % BLOCK:
                    self._copy(first, counters)
                if self.is_lower(last) and end < min((last + 1) * BLOCK, self.size):
                    self._copy(last, counters)
            arguments = (ctypes.c_int(self.upper), ctypes.c_int(mode), ctypes.c_int64(offset), ctypes.c_int64(length))
            while _libc.fallocate64(*arguments):
                code = ctypes.get_errno()
                if code != errno.EINTR:
                    raise OSError(code, os.strerror(code))
            self.size = os.fstat(self.upper).st_size
            if empties:
                self._mark(first, last + 1, counters)

    def seek(self, offset: int, whence: int) -> int:
        """SEEK_DATA or SEEK_HOLE."""
        if offset >= self.size:
            raise OSError(errno.ENXIO, "beyond the end")
        if self.upper < 0:
            return os.lseek(self._open_lower(), offset, whence)
        for kind, start, end in self.runs(offset, self.size):
            if kind == ZERO:
                if whence == os.SEEK_HOLE:
                    return start
                continue
            try:
                found = os.lseek(self.upper if kind == UPPER else self._open_lower(), start, whence)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                continue
            if found < end:
                return found
        if whence == os.SEEK_HOLE:
            return self.size
        raise OSError(errno.ENXIO, "only a hole follows")

    def sync(self) -> None:
        """The data is on the disk, then its marks are."""
        if self.upper < 0:
            return
        with self.lock:
            soft = sorted(self.soft)
        os.fdatasync(self.upper)
        if not soft:
            return
        with self.lock:
            kept = [block for block in soft if block < len(self.map)]
            for block in kept:
                self.map[block] = 2
            if kept:
                first, after = kept[0], kept[-1] + 1
                write_all(self._map_fd, bytes(self.map[first:after]), HEADER_BYTES + first)
                os.fdatasync(self._map_fd)
            self.soft.difference_update(soft)
