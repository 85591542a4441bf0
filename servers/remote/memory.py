"""Files without a name, in memory: what a tool says, and passwords for tools that read theirs from a file."""

import ctypes
import os
import pwd
import tempfile
from typing import Dict, Optional, Tuple

from . import wire

_secrets: Dict[Tuple[bytes, Optional[str]], int] = {}
_MFD_CLOEXEC = 1


def unnamed(name: str) -> int:
    """A descriptor of an empty file that nobody else can open and that goes with its last descriptor."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    libc = ctypes.CDLL(None, use_errno=True)  # Python before 3.8
    if hasattr(libc, "memfd_create"):
        made: int = libc.memfd_create(name.encode(), _MFD_CLOEXEC)
        if made >= 0:
            return made
    descriptor, path = tempfile.mkstemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    os.unlink(path)
    return descriptor


def secret(content: bytes, user: Optional[str]) -> int:
    """A descriptor of a file with this content, mode 0600, that belongs to the account of the tool that reads it.

    The tool gets it by `pass_fds` and opens it under `path_of(descriptor)`. Equal ones are made once; they go
    with this process. Raises OSError, also when there is no such account.
    """
    key = (content, user)
    if key not in _secrets:
        descriptor = unnamed("secret")
        os.fchmod(descriptor, 0o600)
        if user is not None and os.geteuid() == 0:
            try:
                account = pwd.getpwnam(user)
            except KeyError:
                raise OSError("there is no account {}".format(user)) from None
            os.fchown(descriptor, account.pw_uid, account.pw_gid)
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        _secrets[key] = descriptor
    return _secrets[key]


def password_file(password: str) -> bytes:
    """As libpq reads it (PGPASSFILE): the same password whichever server asks. It has no line end."""
    return wire.raw("*:*:*:*:{}\n".format(password.replace("\\", "\\\\").replace(":", "\\:")))


def path_of(descriptor: int) -> str:
    """Under which path a tool opens a descriptor that it has inherited."""
    return "/proc/self/fd/{}".format(descriptor)
