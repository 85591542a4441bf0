"""How a node of Elasticsearch is asked, against a fake node: the laboratory's has no logins."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from servers.remote import nearby, wire
from servers.remote.probes import databases
from servers.remote.snapshots.elasticsearch import _problem
from servers.remote.snapshots.elasticsearch_api import Api, Unreachable


class FakeNode(BaseHTTPRequestHandler):
    """Lets "elastic" with "changeme é" in, and tells every question that it was asked."""

    asked: ClassVar[list[tuple[str, str, str]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.command, self.path, self.headers.get("Authorization", "")))
        allowed = self.headers.get("Authorization") == "Basic ZWxhc3RpYzpjaGFuZ2VtZSDDqQ=="
        cause = {"type": "security_exception", "reason": "unable to authenticate user [elastic]"}
        value: Any = {"error": {"type": "outer", "reason": "failed", "caused_by": cause}, "status": 401}
        data = json.dumps({"tagline": "fake"} if allowed else value).encode()
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """Where a fake node listens, as the account of this test."""
    FakeNode.asked.clear()
    server = HTTPServer(("127.0.0.1", 0), FakeNode)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def api(url: str, password: str) -> Api:
    return Api({"url": url, "login": {"method": "given", "user": "elastic"}}, {"database": password})


def test_a_login_goes_into_the_header_alone(url):
    assert api(url, "changeme é").get("/") == {"tagline": "fake"}
    assert FakeNode.asked == [("GET", "/", "Basic ZWxhc3RpYzpjaGFuZ2VtZSDDqQ==")]


def test_a_refusal_has_the_innermost_reason_and_no_password(url):
    with pytest.raises(wire.Refused, match=r"status 401: .*unable to authenticate user \[elastic\]") as caught:
        api(url, "wrong one").get("/")
    assert "wrong" not in caught.value.message


def test_a_stranger_who_listens_there_is_not_shown_the_login(url, monkeypatch):
    monkeypatch.setattr(databases, "_tcp_makers", lambda port: [("127.0.0.1", 65534)])
    with pytest.raises(Unreachable, match="account nobody"):
        api(url, "changeme é").get("/")
    assert FakeNode.asked == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
def test_addresses_of_this_machine(address):
    assert nearby.own_address(address, "address") in ("127.0.0.1", "::1")


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "1.2.3", "example.org", "", None, 5])
def test_other_addresses_are_refused(address):
    with pytest.raises(wire.Refused):
        nearby.own_address(address, "address")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"state": "SUCCESS", "failures": [], "shards": {"failed": 0}}, None),
        ({"state": "SUCCESS", "failures": [], "shards": {"failed": 1}}, "SUCCESS, not whole"),
        ({"state": "SUCCESS"}, "names no shard"),
        ({"state": "FAILED", "reason": "Indices don't have primary shards [a]"}, "primary shards \\[a\\]"),
        (
            {"state": "PARTIAL", "failures": [{"index": "a", "shard_id": n, "reason": "lost"} for n in range(22)]},
            r"PARTIAL.*a\[0\]: lost.*a\[19\]: lost; and 2 more",
        ),
    ],
)
def test_a_snapshot_is_whole_only_with_every_shard(found, words):
    problem = _problem(found)
    assert problem is None if words is None else re.search(words, problem or "")
