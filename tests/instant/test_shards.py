"""What the helper asks a search engine and makes of its answers; they come from a double."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from servers.remote import wire
from servers.remote.instant import shards


class Double:
    """A node that answers each path so, and refuses the others."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self._answers = answers

    def table(self, _method: str, path: str, _body: Any = None) -> Any:
        for begin, answer in self._answers.items():
            if path.startswith(begin):
                return answer
        raise shards.Refused("no handler found")

    def pause(self, seconds: float = 0) -> None:
        pass


def read(**answers: Any) -> list[dict[str, Any]]:
    paths = {"/" + name: answer for name, answer in answers.items()}
    quiet = {"/_cluster/health": {"number_of_in_flight_fetch": 0}, "/_cluster/settings": {}}
    double: Any = Double({**quiet, **paths})
    return list(shards._read(double))


def test_indices_that_a_double_does_not_know_are_named():
    """It lost the cluster's state, and has begun anew above the files of all indices."""
    dangling = {"dangling_indices": [{"index_name": "items", "index_uuid": "x"}]}
    nothing = {"metadata": {}}
    assert read(_cluster={}, _dangling=dangling) == [{"indices": 0}, {"dangling": "items"}]
    assert read(_cluster=nothing) == [{"indices": 0}]  # one that has no such question


def talk(*answer: bytes, seconds: float = 5, apart: float = 0.05) -> shards.Talk:
    """With a double that sends these pieces, one after the other, and then nothing."""
    here, there = socket.socketpair()

    def serve() -> None:
        with there, suppress(OSError):
            there.recv(1 << 16)
            for piece in answer:
                there.sendall(piece)
                time.sleep(apart)

    threading.Thread(target=serve, daemon=True).start()
    return shards.Talk(lambda: here, wire.Control(60), time.monotonic() + seconds, lambda: None)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"no JSON"])
def test_a_double_that_talks_nonsense_is_told(body):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
    with pytest.raises(shards.Refused, match="no JSON"):
        talk(head, body).table("GET", "/")
    with pytest.raises(shards.Refused):
        talk(head.replace(b"200 OK", b"500 Error"), body).table("GET", "/")


@pytest.mark.parametrize("said", [None, {}, "many", -1, 1 << 70, float("inf")])
def test_what_is_no_number_of_a_double_is_told(said):
    with pytest.raises(shards.Refused, match="is no number"):
        shards._number(said)
