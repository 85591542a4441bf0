"""A way to a port that only a container can see: its loopback, in its own network namespace.

A container of a session has no network, so what listens in it on 127.0.0.1 cannot be reached from this machine. A
socket belongs for ever to the namespace in which it was made, and a namespace is a matter of one thread: so a thread
enters it, makes the connected socket and ends. No other thread of ours is ever in there, and nothing is bridged.
"""

import ctypes
import os
import socket
import threading
from typing import List, Optional

from .. import children, wire
from . import cage

_CLONE_NEWNET = 0x40000000
_CONNECT_SECONDS = 10.0
_LOOPBACK = "127.0.0.1"
_libc = ctypes.CDLL(None, use_errno=True)  # os.setns is only there since Python 3.12


class Namespace:
    """The network namespace of a container that runs, held by a descriptor: a later process cannot take its place."""

    def __init__(self, docker: cage.Docker, name: str, control: wire.Control) -> None:
        """Raises Refused when the container does not run, or has this machine's network."""
        pid = _pid(docker, name, control)
        try:
            self._descriptor = os.open("/proc/{}/ns/net".format(pid), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise wire.Refused("instant", "{} has ended: {}".format(name, error.strerror), container=name) from None
        try:
            # Its number may have been given to another process before we opened: then it is not said again.
            if _pid(docker, name, control) != pid or self._is_ours():
                raise wire.Refused("instant", "{} has no network of its own".format(name), container=name)
        except BaseException:
            self.close()
            raise

    def _is_ours(self) -> bool:
        there, here = os.fstat(self._descriptor), os.stat("/proc/self/ns/net")
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def connect(self, port: int) -> socket.socket:
        """A connection to a port of the container's loopback. Raises OSError."""
        made: List[socket.socket] = []
        problems: List[OSError] = []

        def enter() -> None:
            try:
                if _libc.setns(self._descriptor, _CLONE_NEWNET) != 0:
                    number = ctypes.get_errno()
                    raise OSError(number, os.strerror(number))
                made.append(socket.create_connection((_LOOPBACK, port), timeout=_CONNECT_SECONDS))
            except OSError as error:
                problems.append(error)

        thread = threading.Thread(target=enter, daemon=True)
        thread.start()
        thread.join()
        if not made:
            raise problems[0] if problems else OSError("no thread could enter the namespace")
        made[0].settimeout(None)
        return made[0]

    def answers(self, port: int) -> bool:
        """Does somebody listen there?"""
        try:
            self.connect(port).close()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let go of it; the kernel takes it away with the last of its processes."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _pid(docker: cage.Docker, name: str, control: wire.Control) -> int:
    """The number of the container's first process, as the engine says it."""
    code, said = children.capture(cage.first_process(docker, name), control, timeout=30)
    pid: Optional[int] = int(said) if code == 0 and said.strip().isdigit() else None
    if not pid:  # 0: it does not run
        text = said.decode("utf-8", "replace").strip()
        raise wire.Refused("instant", "{} does not run: {}".format(name, text)[:1500], container=name)
    return pid
