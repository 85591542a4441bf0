"""The way in: a port of this machine, each connection carried to what serves in the container.

That is one of two: a socket in the directory that we share with it (Socket), or a port of the container's own loopback
(Port). The container has no network, so nothing in it can reach out; our port is free again with our end, however that
comes.
"""

import os
import socket
import stat
import threading
from typing import List, NamedTuple, Optional, Tuple, Union

from .. import wire
from . import inside, web

_CHUNK = 1 << 16
_MOST_CONNECTIONS = 512


class Socket(NamedTuple):
    """A unix socket at this path, in a directory that the container's account may write."""

    path: str

    def connected(self) -> socket.socket:
        """Raises OSError and Refused."""
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connect(end, self.path)
        except BaseException:
            end.close()
            raise
        return end


class Port(NamedTuple):
    """A port of 127.0.0.1 where only the container is."""

    namespace: inside.Namespace
    port: int

    def connected(self) -> socket.socket:
        """Raises OSError."""
        return self.namespace.connect(self.port)


Target = Union[Socket, Port]


class Gateway:
    """Listens from the moment it is made: the first free port of the range is ours."""

    def __init__(self, address: str, ports: Tuple[int, int], target: Target, door: Optional[web.Door] = None) -> None:
        self._target = target
        self._door = door  # None: the server itself asks who comes
        self._listener = _listen(address, ports)
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: List[socket.socket] = []
        self._closing = False
        self.served = 0

    def start(self) -> None:
        """Let them in."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def connections(self) -> int:
        """How many are open now."""
        with self._lock:
            return len(self._open) // 2

    def close(self) -> None:
        """Free the port and end what is open."""
        with self._lock:
            self._closing = True
            ends = list(self._open)
        for end in [self._listener, *ends]:
            _shut(end)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                if self._closing:
                    return
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = self._target.connected()
        except (OSError, wire.Refused):
            client.close()  # the client sees its connection end, as with a server that is not up
            return
        with client, server:
            with self._lock:
                if self._closing or len(self._open) >= 2 * _MOST_CONNECTIONS:
                    return
                self._open += [client, server]
                self.served += 1
            try:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._door is None:
                    _carry(client, server)
                else:
                    self._door.carry(client, server)
            finally:
                with self._lock:
                    self._open.remove(client)
                    self._open.remove(server)


def _listen(address: str, ports: Tuple[int, int]) -> socket.socket:
    """Bind is the one question that cannot be answered wrongly by somebody who comes between."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in range(ports[0], ports[1] + 1):
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.bind((address, port))
            listener.listen(64)
            return listener
        except OSError as error:
            listener.close()
            problem = error.strerror or str(error)
    text = "no port from {} to {} is free on {}: {}".format(ports[0], ports[1], address, problem)
    raise wire.Refused("no-port", text, first=ports[0], last=ports[1])


def _carry(client: socket.socket, server: socket.socket) -> None:
    """Both directions, to their ends."""
    back = threading.Thread(target=_pump, args=(server, client), daemon=True)
    back.start()
    _pump(client, server)
    back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """One direction, to its end; then the other side is told that no more comes."""
    try:
        while True:
            data = source.recv(_CHUNK)
            if not data:
                break
            sink.sendall(data)
    except OSError:
        _shut(source)
    try:
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def _shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def connect(end: socket.socket, path: str) -> None:
    """Connect to a socket that lies in a directory of the container's account. Raises OSError and Refused.

    The account may put anything under that name: a link would lead us, as root, to a socket of this machine's own.
    """
    found = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(found).st_mode):
            raise wire.Refused("unsafe", "{} is not a socket".format(path))
        end.connect("/proc/self/fd/{}".format(found))
    finally:
        os.close(found)


def answers(path: str) -> bool:
    """Does somebody accept connections at this socket?"""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with probe:
        probe.settimeout(5)
        try:
            connect(probe, path)
        except OSError:
            return False
        return True
