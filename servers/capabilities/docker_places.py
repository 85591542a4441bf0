"""Which places of a machine belong to a container, and which to the machine itself. Pure.

Containers see all kinds of places: their own data, but also the clock's zone, the engine's socket, the whole disk.
"""

from __future__ import annotations

from enum import StrEnum

from servers.capabilities.storage import normal
from servers.capabilities.volumes import holds

# What the kernel or a service makes anew at each start.
_VIRTUAL = ("/proc", "/sys", "/dev", "/run", "/var/run", "/var/lock")
# phpBorg's own place on a server: borg's caches, what is half restored.
_OURS = "/var/lib/phpborg"
# The machine's own programs, and what lies in them.
_PROGRAMS = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/boot", "/snap")
# Much more than one project's data; what lies in them may be.
_WIDE = (
    "/etc", "/var", "/var/lib", "/var/log", "/var/cache", "/home", "/root", "/opt", "/srv", "/mnt", "/media",
    "/tmp", "/var/tmp",  # noqa: S108  (places of a server, no files of ours)
)  # fmt: skip
_MACHINES = (
    "/etc/localtime", "/etc/timezone", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/machine-id",
    "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/os-release", "/etc/ssl", "/etc/ca-certificates", "/etc/pki",
    "/etc/docker",
)  # fmt: skip


class Place(StrEnum):
    """Whose a place is: never read, the machine's (read only when it is chosen), or a container's own."""

    NEVER = "never"
    SYSTEM = "system"
    OWN = "own"


def place_of(path: str, data_root: str | None) -> Place:
    """Whose it is. `data_root`: where the engine keeps its own; volumes in it are read as volumes alone."""
    path = normal(path)
    engine = (data_root or "/var/lib/docker",)
    if is_virtual(path):
        return Place.NEVER
    if any(holds(top, path) or holds(path, top) for top in (*engine, _OURS)):
        return Place.NEVER
    if path in _WIDE or any(holds(top, path) for top in (*_PROGRAMS, *_MACHINES)):
        return Place.SYSTEM
    return Place.OWN


def is_virtual(path: str) -> bool:
    """Is it the whole machine, or made anew at each start?"""
    return path == "/" or any(holds(top, path) for top in _VIRTUAL)


def is_own_directory(path: str, data_root: str | None) -> bool:
    """May a project's directory be read as a whole? Also one inside a volume may: tools keep projects there."""
    path = normal(path)
    volumes = normal(f"{data_root or '/var/lib/docker'}/volumes")
    if holds(volumes, path) and path != volumes:
        return True
    return place_of(path, data_root) is Place.OWN
