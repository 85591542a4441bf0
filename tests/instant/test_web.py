"""What passes a search engine's port on: who may come in, and what is let through; behind it a stand-in of a server."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from servers.remote.instant import web

PASSWORD = b"Xs8cQpLm2vTzRk4wNb6yHd1f"
BASIC = b"Authorization: Basic " + base64.b64encode(b"phpborg:" + PASSWORD) + b"\r\n"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"),
        ("HEAD", "/items"),
        ("GET", "/items/_search?q=n:1"),
        ("GET", "/_cat/indices"),
        ("POST", "/_search"),
        ("POST", "/items,other-*/_search?size=1"),
        ("POST", "/_msearch"),
        ("POST", "/items/_count"),
        ("POST", "/_search/scroll"),
        ("DELETE", "/_search/scroll"),
        ("POST", "/items/_validate/query"),
        ("POST", "/_sql"),
    ],
)
def test_what_reads(method, target):
    assert web.reads(method, target)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/items"),
        ("DELETE", "/items"),
        ("PATCH", "/items"),
        ("POST", "/_bulk"),
        ("POST", "/items/_bulk"),
        ("POST", "/items/_doc"),
        ("POST", "/items/_doc/_search"),
        ("POST", "/items/_update_by_query"),
        ("POST", "/items/_close"),
        ("POST", "/_snapshot/_search"),
        ("POST", "/%5Fsnapshot/_search"),
        ("POST", "/_snapshot/one/_search"),
        ("POST", "/a%2F_doc%2F_search"),
        ("POST", "/items//_search"),
        ("POST", "/items/../_search"),
        ("POST", "/_bulk?x=/_search"),
        ("POST", "/"),
        ("GET", "/items/_flush"),
        ("GET", "/%5fforcemerge"),
        ("DELETE", "/_search/scroll/x"),
        ("PUT", "/_cluster/settings"),
        ("OPTIONS", "/items"),
    ],
)
def test_what_does_not(method, target):
    assert not web.reads(method, target)


class _StandIn(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        names = sorted(name.lower() for name in self.headers)
        data = json.dumps({"method": self.command, "path": self.path, "names": names, "bytes": len(body)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else data)

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def stand_in() -> Iterator[tuple[str, int]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _StandIn)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield ("127.0.0.1", server.server_address[1])
    server.shutdown()
    server.server_close()


def talk(stand_in: tuple[str, int], said: bytes, *, read_only: bool = True) -> bytes:
    """All that is answered to these bytes of one connection."""
    ours, theirs = socket.socketpair()
    upstream = socket.create_connection(stand_in, timeout=30)

    def carry() -> None:
        with theirs, upstream:
            web.Door("phpborg", PASSWORD, read_only).carry(theirs, upstream)

    thread = threading.Thread(target=carry, daemon=True)
    thread.start()
    with ours:
        ours.settimeout(30)
        ours.sendall(said)
        ours.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := ours.recv(65536):
            answer += chunk
    thread.join(30)
    return answer


def test_two_requests_of_one_connection_and_nothing_of_the_login_goes_further(stand_in):
    one = b"POST /items/_search HTTP/1.1\r\nHost: x\r\nX-Else: y\r\n" + BASIC + b'Content-Length: 5\r\n\r\n{"a"}'
    answer = talk(stand_in, one + b"GET / HTTP/1.1\r\n" + BASIC + b"\r\n")
    assert answer.count(b"HTTP/1.1 200") == 2
    assert b'"bytes": 5' in answer
    assert b"authorization" not in answer
    assert b"x-else" not in answer


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 401),
        (b"GET / HTTP/1.1\r\nAuthorization: Basic cGhwYm9yZzo=\r\n\r\n", 401),
        (b"PUT /items HTTP/1.1\r\n" + BASIC + b"\r\n", 403),
        (b"GET http://else.where/ HTTP/1.1\r\n" + BASIC + b"\r\n", 400),
        (b"POST /_search HTTP/1.1\r\n" + BASIC + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"POST /_search HTTP/1.1\r\n" + BASIC + b"Content-Length: 0\r\nContent-Length: 9\r\n\r\n", 411),
        (b"POST /_search HTTP/1.1\r\n" + BASIC + b"Content-Length: -1\r\n\r\n", 411),
        (b"POST /_search HTTP/1.1\r\n" + BASIC + b"Content-Length: \xb2\r\n\r\n", 411),
    ],
    ids=str,
)
def test_who_and_what_is_refused_ends_the_connection(stand_in, said, status):
    """A second request behind it is never read: it could be the body of the first."""
    answer = talk(stand_in, said + b"GET /second HTTP/1.1\r\n" + BASIC + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1") == 1
    assert b"/second" not in answer


def test_a_sandbox_may_be_written_by_who_has_the_login(stand_in):
    said = b"PUT /items HTTP/1.1\r\n" + BASIC + b"Content-Length: 2\r\n\r\n{}"
    assert b'"method": "PUT"' in talk(stand_in, said, read_only=False)


def test_a_question_of_ours_is_answered_when_its_answer_holds_what_it_must(stand_in):
    def ask(query: web.Query) -> bool:
        return web.ask(socket.create_connection(stand_in, timeout=30), query, 30)[0]

    assert ask(web.Query("GET", "/_cluster/health", b"", b'"/_cluster/health"'))
    assert not ask(web.Query("GET", "/", b"", b"no such words"))
    assert ask(web.Query("PUT", "/", b"{}", None))
    assert not ask(web.Query("DELETE", "/", b"", None))
