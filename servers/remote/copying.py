"""Copying one entry with all that belongs to it, for a move that crosses filesystems."""

import ctypes
import errno
import os
import stat
from typing import Iterator, Set, Tuple

from . import wire

_libc = ctypes.CDLL(None, use_errno=True)
_NO_REPLACE = 1
_EXCHANGE = 2
_BLOCK = 1 << 20


def _rename_with(flags: int, source: bytes, source_dir: int, name: bytes, directory: int) -> None:
    if not hasattr(_libc, "renameat2"):
        raise OSError(errno.ENOSYS, "renameat2")
    if _libc.renameat2(source_dir, source, directory, name, ctypes.c_uint(flags)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), wire.shown(name))


def rename_new(source: bytes, source_dir: int, name: bytes, directory: int) -> None:
    """Move to a name that must be free; FileExistsError when it is not."""
    try:
        _rename_with(_NO_REPLACE, source, source_dir, name, directory)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL):
            raise
        # An old kernel or filesystem: the check and the move are two steps there.
        try:
            os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            os.rename(source, name, src_dir_fd=source_dir, dst_dir_fd=directory)
            return
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), wire.shown(name)) from None


def exchange(source: bytes, source_dir: int, name: bytes, directory: int) -> None:
    """Swap two entries of any kinds in one step."""
    _rename_with(_EXCHANGE, source, source_dir, name, directory)


def copy_entry(source: bytes, source_dir: int, name: bytes, directory: int, control: wire.Control) -> None:
    """Copy anything but a directory to a free name."""
    status = os.stat(source, dir_fd=source_dir, follow_symlinks=False)
    if stat.S_ISREG(status.st_mode):
        _copy_file(source, source_dir, name, directory, control)
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(source, dir_fd=source_dir), name, dir_fd=directory)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=directory, follow_symlinks=False)
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=directory, follow_symlinks=False)
    else:
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=directory)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=directory, follow_symlinks=False)
        _chmod_special(name, directory, status)
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=directory, follow_symlinks=False)


def _chmod_special(name: bytes, directory: int, wanted: os.stat_result) -> None:
    """The mode of a pipe or device that was just made: never that of what a link there leads to."""
    opened = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        if stat.S_IFMT(os.fstat(opened).st_mode) != stat.S_IFMT(wanted.st_mode):
            raise wire.Refused("unsafe", "{} was exchanged".format(wire.shown(name)))
        os.chmod("/proc/self/fd/{}".format(opened), stat.S_IMODE(wanted.st_mode))
    finally:
        os.close(opened)


def _copy_file(source: bytes, source_dir: int, name: bytes, directory: int, control: wire.Control) -> None:
    reader = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source_dir)
    try:
        writer = os.open(
            name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=directory
        )
        try:
            size = os.fstat(reader).st_size
            os.ftruncate(writer, size)
            for start, end in _data(reader, size):
                position = start
                while position < end:
                    control.check()
                    block = os.pread(reader, min(_BLOCK, end - position), position)
                    if not block:
                        break
                    os.pwrite(writer, block, position)
                    position += len(block)
            copy_metadata(reader, writer)
            os.fsync(writer)
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def _data(descriptor: int, size: int) -> Iterator[Tuple[int, int]]:
    """The parts of a file that are not holes."""
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:
                yield position, size
            return
        yield start, end
        position = end


def copy_metadata(source: int, target: int) -> None:
    """Owner, extended attributes and ACL, mode, times: from one open file or directory to another."""
    status = os.fstat(source)
    try:
        os.fchown(target, status.st_uid, status.st_gid)
    except PermissionError:
        if os.geteuid() == 0:
            raise
    for name in _attributes(target) - _attributes(source):
        if name.startswith(("system.posix_acl", "user.")):
            os.removexattr(target, name)
    for name in _attributes(source):
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.ENODATA):
                raise
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _attributes(descriptor: int) -> Set[str]:
    try:
        return set(os.listxattr(descriptor))
    except OSError:
        return set()
