"""Private views of the filesystems: extraction that can write into its staging directory and nowhere else.

An archive is made by whoever has the server it comes from: a link in it, and a file "below" that link,
would lead borg out of the directory it extracts into. Borg also names that directory by its path, which
the owner of a directory on the way may change meanwhile. So root extracts in a private view of the
filesystems: all of it is read-only but the staging directory, which is shown at a place of root's, and
what borg itself needs.
"""

import ctypes
import errno
import os
import stat
from typing import List

from . import places, policy, tree, wire

_CLONE_NEWNS = 0x20000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE, _MS_SLAVE = 1, 32, 4096, 16384, 1 << 18, 1 << 19
# What a remount must repeat of a mount's own options, or the kernel refuses it.
_KEPT = {"nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "nodiratime": 2048, "relatime": 1 << 21}
_MOUNT_SETATTR = 442
_AT_FDCWD, _AT_RECURSIVE, _ATTR_RDONLY = -100, 0x8000, 1

_libc = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, "{}: {}".format(what, os.strerror(number)))


def _mount(source: bytes, target: bytes, flags: int) -> None:
    _check(_libc.mount(source, target, None, ctypes.c_ulong(flags), None), "mount")


def _attributes(path: bytes, flags: int, to_set: int, to_clear: int) -> None:
    wanted = _Attributes(to_set, to_clear, 0, 0)
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    result = _libc.syscall(
        ctypes.c_long(_MOUNT_SETATTR), ctypes.c_int(_AT_FDCWD), path, ctypes.c_uint(flags), ctypes.byref(wanted), size
    )
    _check(result, "mount_setattr")


def separate(follow: bool = False) -> None:
    """From now on this process and its children have mounts of their own. Raises OSError.

    `follow`: what the system mounts and unmounts meanwhile is seen here, too, so that a long backup keeps nobody
    from taking a disk away; never the other way round.
    """
    _check(_libc.unshare(ctypes.c_int(_CLONE_NEWNS)), "unshare")
    _mount(b"none", b"/", _MS_REC | (_MS_SLAVE if follow else _MS_PRIVATE))


def bind(source: int, path: bytes, *, writable: bool = False) -> None:
    """Let the directory `path` be the open directory `source`, read-only unless `writable`.

    Nothing in it is a device or gains rights. No link on the way is followed. Raises OSError and Refused.
    """
    target, _ = tree.walk_to(path)
    _mount(_by_descriptor(source), _by_descriptor(target), _MS_BIND)
    os.close(target)
    seen, _ = tree.walk_to(path)
    try:
        limits = (0 if writable else _MS_RDONLY) | _KEPT["nosuid"] | _KEPT["nodev"]
        _mount(b"none", _by_descriptor(seen), _MS_REMOUNT | _MS_BIND | limits)
        same = os.path.samestat(os.fstat(seen), os.fstat(source))
        if not same or not (writable or os.fstatvfs(seen).f_flag & os.ST_RDONLY):
            raise wire.Refused("unsafe", "{} was exchanged meanwhile".format(wire.shown(path)))
    finally:
        os.close(seen)


def _by_descriptor(descriptor: int) -> bytes:
    return "/proc/self/fd/{}".format(descriptor).encode("ascii")


def _freeze(writable: List[bytes]) -> None:
    """Every mount becomes read-only but these."""
    try:
        _attributes(b"/", _AT_RECURSIVE, _ATTR_RDONLY, 0)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        _freeze_one_by_one(writable)
        return
    for path in writable:
        _attributes(path, 0, 0, _ATTR_RDONLY)


def _freeze_one_by_one(writable: List[bytes]) -> None:
    """Before Linux 5.12."""
    for mount in tree.mounted():
        path, options = mount.path, mount.options
        if path not in writable and os.path.lexists(path):
            kept = sum(flag for name, flag in _KEPT.items() if name in options)
            _mount(b"none", path, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept)


def extraction(staging: int, path: bytes, needed: List[bytes]) -> int:
    """Confine this process; returns the staging directory as it is to be used from now on.

    `path` leads to the directory that `staging` has open; `needed` are directories that stay writable.
    An account that is not root is confined by what it is.
    """
    if os.geteuid() or not policy.confines():
        return staging
    place = os.fsencode(places.make_private(places.RESTORE))
    status = os.lstat(place)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid or status.st_mode & 0o022:
        raise wire.Refused("unsafe", "{} must be a directory of root".format(places.RESTORE))
    try:
        separate()
    except OSError as error:
        text = "a restore cannot be confined here ({}); see “confine” in {}".format(error.strerror, places.POLICY)
        raise wire.Refused("unsafe", text) from None
    for directory in needed:
        opened, _ = tree.walk_to(directory)
        _mount(_by_descriptor(opened), _by_descriptor(opened), _MS_BIND)
        os.close(opened)
    # The descriptor belongs to the world outside: the same directory is looked for again in this one.
    here, _ = tree.walk_to(path)
    if not os.path.samestat(os.fstat(here), os.fstat(staging)):
        raise wire.Refused("unsafe", "the staging directory was exchanged")
    _mount(_by_descriptor(here), place, _MS_BIND)
    os.close(here)
    _freeze([place, *needed])
    os.close(staging)
    return tree.open_directory(place)
