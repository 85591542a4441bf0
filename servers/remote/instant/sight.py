"""Does the Docker engine see what we have mounted? If not, a container would get the empty directory below the mount.

An engine or a service of ours in a mount namespace of its own is common: PrivateTmp, PrivateMounts and MountFlags of
systemd, or one of the two in a container.
"""

import os
import socket
import struct
from typing import Iterable, Optional

from .. import tree, wire

_CONNECT_SECONDS = 10.0
_ENGINES = (b"dockerd", b"podman")


def check(engine: str, paths: Iterable[str]) -> None:
    """Raises Refused when one of these mount points is not there for the engine at this socket."""
    pid = _serves(engine)
    if pid is None:
        return
    try:
        with open("/proc/{}/mountinfo".format(pid), "rb") as file:
            seen = {tree.unescape(line.split(b" ")[4]) for line in file}
        root = os.readlink("/proc/{}/root".format(pid))
    except OSError:
        return  # it has just ended, which will be said soon enough
    for path in paths:
        if root != "/" or wire.raw(path) not in seen:
            raise wire.Refused("mounts-hidden", "process {} of the engine does not see {}".format(pid, path))


def _serves(engine: str) -> Optional[int]:
    """The engine's process; None when the socket does not tell (another program listens for it, or a relay)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        try:
            probe.connect(engine)
            told = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            return None
    pid = int(struct.unpack("3i", told)[0])
    try:
        with open("/proc/{}/comm".format(pid), "rb") as file:
            return pid if file.read().strip() in _ENGINES else None
    except OSError:
        return None
