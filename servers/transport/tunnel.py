"""The way from borg on a server to one repository on this host.

tunnel: a socket here serves `borg serve --append-only --restrict-to-repository` for each connection;
ssh carries it to a socket on the server. direct: the server's own key and sshd here. Local: the path
itself for root, else the socket without ssh.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from phpborg import process
from phpborg.errors import PhpBorgError
from servers.transport.authorized_keys import serve_argv
from servers.transport.base import Host, Link, Target
from servers.transport.keys import installation_id

Mode = Literal["tunnel", "direct"]
_TOKEN = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z-]{6,62})[0-9A-Za-z]")
_BUFFER = 4 << 20
# Borg holds one connection; a few more may be ending. A server that opens many must not fill this host.
_MOST_CONNECTIONS = 4


class _Ended:
    """The stop for every `borg serve` of one listener."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()


class Server:
    """Listens on a socket of this host; each connection is one `borg serve` for one repository."""

    def __init__(self, path: Path, repository: str, *, append_only: bool) -> None:
        self.link: Link | None = None
        self._argv = serve_argv((repository,), append_only=append_only)
        self._ended = _Ended()
        self._threads: list[threading.Thread] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        path.chmod(0o600)
        self._socket.listen(4)
        self._acceptor = threading.Thread(target=self._accept, daemon=True, name="borg-serve-accept")
        self._acceptor.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            if len(self._threads) >= _MOST_CONNECTIONS:
                connection.close()
                continue
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                connection.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True, name="borg-serve")
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            process.stream(
                self._argv,
                attached=connection.fileno(),
                on_stderr=self._line,
                stop=self._ended,
                graces=process.Graces(interrupt=5, terminate=5),
                on_start=lambda _: connection.close(),
            )

    def _line(self, line: bytes) -> None:
        if self.link and self.link.on_stderr:
            self.link.on_stderr(line)

    def close(self) -> None:
        """Refuse new connections, let the last `borg serve` finish its end, then make it."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._acceptor.join(5)
        for thread in self._threads:
            thread.join(5)
        self._ended.set()
        for thread in self._threads:
            thread.join(30)


def _local_directory(token: str) -> Path:
    """Short and the same for whoever cleans up later; sockets have names of at most 107 bytes."""
    if not _TOKEN.fullmatch(token):
        raise ValueError(f"not a token: {token!r}")
    if os.geteuid() == 0:
        return Path("/run/phpborg") / f"{token}-serve"
    return Path(f"/tmp/phpborg-{token}-serve")  # noqa: S108  (made 0700, refused when it exists)


def _make_local(token: str) -> Path:
    directory = _local_directory(token)
    if os.geteuid() == 0:
        directory.parent.mkdir(mode=0o711, exist_ok=True)
        directory.parent.chmod(0o711)
    directory.mkdir(mode=0o700)
    return directory


def remove_local(token: str) -> bool:
    """Remove what a link left on this host; True when there was something."""
    directory = _local_directory(token)
    try:
        status = directory.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return False
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    return True


def remove_remote(host: Host, token: str) -> bool:
    """Remove what a link left on the server; True when there was something."""
    if host.target.kind == "local":
        return False
    return bool(host.call("link_dir", {"action": "remove", "token": token}, as_login=True, timeout=20)["removed"])


def clean_up(host: Host, token: str) -> None:
    """Both sides, for the reaper; the far side may be gone, then its error is raised."""
    remove_local(token)
    remove_remote(host, token)


def is_plain_local(target: Target) -> bool:
    """Does borg on this target use the repository's path itself?"""
    return target.kind == "local" and os.geteuid() == 0


@contextmanager
def link(host: Host, repository_path: str, *, mode: Mode, token: str, append_only: bool = True) -> Iterator[Link]:
    """Open the way to one repository for as long as the context lasts; give the Link to `Host.run`.

    `token` (8 to 64 letters, digits, hyphens; unguessable, such as the task's id) names what is made
    on both sides, so that `clean_up` finds it. Nothing is left on either side, and then `Link.gone` says
    so; a far side that can no longer be reached is left to the reaper.
    """
    if is_plain_local(host.target):
        yield Link(repository_path, {"mode": "local"}, gone=True)
        return
    repository = f"ssh://phpborg{repository_path}"
    if mode == "direct" and host.target.kind == "ssh":
        yield Link(repository, {"mode": "direct", "installation": installation_id()}, gone=True)
        return
    directory = _make_local(token)
    server = None
    try:
        local = directory / "link.sock"
        server = Server(local, repository_path, append_only=append_only)
        with _carried(host, repository, local, token) as way:
            server.link = way
            yield way
    finally:
        if server:
            server.close()
        remove_local(token)


@contextmanager
def _carried(host: Host, repository: str, local: Path, token: str) -> Iterator[Link]:
    """The socket as the server sees it."""
    if host.target.kind == "local":
        yield Link(repository, {"mode": "socket", "path": str(local)}, gone=True)
        return
    made = host.call("link_dir", {"action": "make", "token": token}, as_login=True)
    way = Link(repository, {"mode": "socket"}, remote_directory=made["path"], local_socket=str(local))
    try:
        yield way
    finally:
        with suppress(PhpBorgError):
            remove_remote(host, token)
            way.gone = True
