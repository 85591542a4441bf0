"""A port of a server's own loopback, reached from here: directly, and through ssh without a port on this machine."""

from __future__ import annotations

import http.client
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from servers.models import Server
from servers.services import loopback
from tests.support.sshd import Sshd, descendants
from tests.support.workers import wait_until

pytestmark = [pytest.mark.real]


class Echo(BaseHTTPRequestHandler):
    """Answers with the body that it got, twice."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body * 2)

    def log_message(self, *_args: Any) -> None:
        """Quiet."""


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["here", "far"])
def server(request, monkeypatch, sshd: Sshd) -> Server:
    if request.param == "here":
        return Server(name="here", kind=Server.Kind.LOCAL)
    monkeypatch.setattr(loopback, "target_of", lambda _server: sshd.target())
    return Server(name="far", kind=Server.Kind.SSH)


def listening() -> set[str]:
    return {line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if line.split()[3] == "0A"}


def test_megabytes_go_there_and_back_and_nothing_stays(server, port):
    before = listening()
    with loopback.connected(server, port) as way:
        connection = http.client.HTTPConnection("there")
        connection.sock = way
        connection.request("POST", "/", b"x" * 3_000_000)
        assert listening() <= before
        assert len(connection.getresponse().read()) == 6_000_000
    wait_until(lambda: not ssh_children(), 20)


def ssh_children() -> list[int]:
    found = []
    for pid in descendants(os.getpid()):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        found += [pid] if b"-W" in words else []
    return found


def test_a_port_where_nobody_listens_is_an_end_or_a_refusal(server, port):
    def ask() -> bytes:
        with loopback.connected(server, 1) as way:
            way.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return way.recv(10)

    if server.is_local:
        with pytest.raises(OSError):
            ask()
    else:
        with suppress(ConnectionResetError):  # when what was sent was not even read
            assert ask() == b""
    assert ssh_children() == []
