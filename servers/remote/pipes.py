"""Pipes as wide as the system lets us have them: fewer turns between their two ends; and one that is filled."""

import fcntl
import os

BYTES = 1 << 20
_F_SETPIPE_SZ = 1031  # fcntl(2); Python names it since 3.10


def widen(descriptor: int) -> None:
    """To 1 MiB, where it is a pipe and the system allows it."""
    try:
        fcntl.fcntl(descriptor, _F_SETPIPE_SZ, BYTES)
    except OSError:
        pass


def filled(data: bytes) -> int:
    """A descriptor that yields this once; not more than a pipe holds (64 KiB)."""
    read, write = os.pipe()
    with os.fdopen(write, "wb") as file:
        file.write(data)
    return read
