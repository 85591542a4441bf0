"""Whose fault it is that a database does not run (any more): its files', or that of the machine it was to run on.

Docker's own word for a container that reached its limit of memory is an event: the container itself is gone with its
end, and a server that lost one of its processes goes on.
"""

import os
import time
from typing import Optional

from .. import children, wire
from . import cage
from .asked import Session

_LEAST_ROOM = 16 << 20
_SECONDS = 20.0


class Machine:
    """Looked at when something of a session has failed. Made before the first container."""

    def __init__(self, session: Session, docker: cage.Docker, layers: str, control: wire.Control) -> None:
        self._session = session
        self._docker = docker
        self._layers = layers
        self._control = control
        self._since = int(time.time())

    def fault(self) -> Optional[wire.Refused]:
        """Why nothing can be said about the files; None when the machine did its part."""
        argv = cage.exhausted(self._docker, self._session.token, self._since, int(time.time()) + 1)
        code, said = children.capture(argv, self._control, timeout=_SECONDS)
        self._control.check()
        if code != 0:
            return wire.Refused("docker-away", said.decode("utf-8", "replace").strip())
        if said.strip():
            text = "the kernel ended a program of the container, which may use {} MiB of memory"
            return wire.Refused("memory", text.format(self._session.memory >> 20))
        try:
            space = os.statvfs(self._layers)
        except OSError:
            return None
        if space.f_bavail * space.f_frsize < _LEAST_ROOM or not (space.f_favail or not space.f_files):
            return wire.Refused("room", "{} is full".format(self._layers))
        return None
