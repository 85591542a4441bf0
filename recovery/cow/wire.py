"""The kernel's side of FUSE: mounting, and the messages of protocol 7.31 as they stand in <linux/fuse.h>."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence

LONG = 86400  # seconds that the kernel may keep names and attributes: nobody else changes them
MAX_BYTES = 1 << 20  # of one read or write
BUFFER_BYTES = MAX_BYTES + 4096
AHEAD_BYTES = 8 << 20  # that the kernel reads before it is asked, in requests of MAX_BYTES

LOOKUP, FORGET, GETATTR, SETATTR, READLINK, SYMLINK = 1, 2, 3, 4, 5, 6
MKNOD, MKDIR, UNLINK, RMDIR, RENAME, LINK, OPEN, READ, WRITE, STATFS, RELEASE = 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18
FSYNC, INIT, OPENDIR, READDIR, RELEASEDIR, FSYNCDIR = 20, 26, 27, 28, 29, 30
CREATE, INTERRUPT, DESTROY, BATCH_FORGET, FALLOCATE, RENAME2, LSEEK = 35, 36, 38, 42, 43, 45, 46

IN = struct.Struct("<IIQQIIIHH")  # len opcode unique nodeid uid gid pid extra padding
OUT = struct.Struct("<IiQ")
IO = struct.Struct("<QQI")  # fh offset size
ATTR = struct.Struct("<6Q10I")
ENTRY = struct.Struct("<4QII")
ATTR_OUT = struct.Struct("<QII")
OPEN_OUT = struct.Struct("<QIi")
SETATTR_IN = struct.Struct("<II6Q8I")
INIT_IN = struct.Struct("<4I")
INIT_OUT = struct.Struct("<4IHHIIHH2I6I")
STATFS_OUT = struct.Struct("<5Q4I6I")
FALLOCATE_IN = struct.Struct("<3Q2I")
LSEEK_IN = struct.Struct("<QQI")
DIRENT = struct.Struct("<QQII")
KEEP_CACHE = 2
SET_MODE, SET_UID, SET_GID, SET_SIZE, SET_ATIME, SET_MTIME, ATIME_NOW, MTIME_NOW = 1, 2, 4, 8, 16, 32, 128, 256

# ASYNC_READ BIG_WRITES ASYNC_DIO PARALLEL_DIROPS MAX_PAGES CACHE_SYMLINKS
_WANTED = 1 << 0 | 1 << 5 | 1 << 15 | 1 << 18 | 1 << 22 | 1 << 23
_NOSUID, _NODEV, _DETACH = 2, 4, 2
_libc = ctypes.CDLL(None, use_errno=True)


class Unmounted(Exception):
    """There is nothing to serve any more."""


def _checked(result: int) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _is_dead(point: bytes) -> bool:
    try:
        os.statvfs(point)  # asks, where stat may be answered from the kernel's memory
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


def mount(point: bytes) -> int:
    """Mount an unserved filesystem (needs root); answers the descriptor it is served by. A dead mount is taken away."""
    while _is_dead(point):
        unmount(point, lazy=True)
    mode = os.stat(point).st_mode
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    words = f"fd={fd},rootmode={mode:o},user_id={os.getuid()},group_id={os.getgid()}"
    words += f",allow_other,default_permissions,max_read={MAX_BYTES}"
    kind = b"fuse.phpborg-cow"
    try:
        _checked(_libc.mount(b"phpborg-cow", point, kind, ctypes.c_ulong(_NOSUID | _NODEV), words.encode()))
    except OSError:
        os.close(fd)
        raise
    return fd


def unmount(point: bytes, *, lazy: bool = False) -> None:
    """Unmount; EBUSY while somebody uses it, unless `lazy`."""
    _checked(_libc.umount2(point, _DETACH if lazy else 0))


def read_ahead(path: bytes) -> None:
    """Let the kernel read far ahead on the FUSE mount that holds `path`, where it lets us (/sys may be closed).

    For our own mount and for borg's below: only then do borg, this process and the server work at the same time. A
    scan of 1 GB took 2.2 times as long as to read it from borg's mount with a megabyte, 1.2 times with eight.
    """
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo") as file:
        found = [line.partition(" - ") for line in file]
    if any(left.split()[2] == number and right.startswith("fuse") for left, _, right in found):
        try:
            with open(f"/sys/class/bdi/{number}/read_ahead_kb", "w") as setting:
                setting.write(str(AHEAD_BYTES // 1024))
        except OSError:
            return


def receive(fd: int, buffer: bytearray) -> int:
    """The next request; raises Unmounted at the end."""
    while True:
        try:
            return os.readv(fd, [buffer])
        except OSError as error:
            if error.errno == errno.ENODEV:
                raise Unmounted from error
            if error.errno not in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                raise


def reply(fd: int, unique: int, code: int, parts: Sequence[bytes | memoryview] = ()) -> None:
    """Answer a request: an errno, or what was asked for. A request that the kernel gave up is no error."""
    length = OUT.size + sum(map(len, parts))
    try:
        os.writev(fd, [OUT.pack(length, -code, unique), *parts])
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise


def greet(fd: int) -> None:
    """Answer the first request, which negotiates."""
    buffer = bytearray(BUFFER_BYTES)
    receive(fd, buffer)
    _, opcode, unique, *_ = IN.unpack_from(buffer)
    major, minor, ahead, flags = INIT_IN.unpack_from(buffer, IN.size)
    if opcode != INIT or (major, minor) < (7, 28):
        reply(fd, unique, errno.EPROTO)
        raise OSError(errno.EPROTO, f"FUSE {major}.{minor} of this kernel is too old")
    pages = MAX_BYTES // os.sysconf("SC_PAGESIZE")
    answer = INIT_OUT.pack(7, 31, max(ahead, MAX_BYTES), flags & _WANTED, 64, 48, MAX_BYTES, 1, pages, 0, *((0,) * 8))
    reply(fd, unique, 0, [answer])
