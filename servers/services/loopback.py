"""A connection to a port of a server's own loopback: directly on this machine, else through ssh's standard streams."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from phpborg.process import Child
from servers.models import Server
from servers.services.reach import target_of
from servers.transport import openssh

_LOOPBACK = "127.0.0.1"
_CONNECT_SECONDS = 10.0


@contextmanager
def connected(server: Server, port: int) -> Iterator[socket.socket]:
    """For a block. Nothing listens on this machine for it: nobody else can use the way.

    A far port where nobody listens is seen as an end of the stream. Raises OSError, and as `target_of`.
    """
    if server.is_local:
        with socket.create_connection((_LOOPBACK, port), timeout=_CONNECT_SECONDS) as direct:
            direct.settimeout(None)
            yield direct
        return
    config = openssh.write_config(target_of(server))
    ours, theirs = socket.socketpair()
    with ours:
        argv = ("ssh", "-F", str(config), "-W", f"{_LOOPBACK}:{port}", openssh.ALIAS)
        try:
            child = Child(argv, attached=theirs.fileno())
        finally:
            theirs.close()
        with child:
            yield ours
