"""Transactions in doubt: their names as the client prints them, and what is asked of the server, by a made client."""

from __future__ import annotations

import pytest

from servers.remote import wire
from servers.remote.instant import prepared

ROWS = b"1\t3\t0\tone\n7\t5\t2\t\\0\xff\\n\\t\\\\\xc3\xa9\n"
NAMES = ["X'6f6e65',X'',1", "X'00ff0a095c',X'c3a9',7"]


def test_names_are_read_byte_by_byte():
    assert prepared.names(ROWS) == NAMES
    assert prepared.names(b"") == []


@pytest.mark.parametrize("answer", [b"ERROR 1227\n", b"1\t4\t0\tone\n", b"1\t3\tone\n", b"x\t3\t0\tone\n"])
def test_what_is_no_name_is_refused(answer):
    with pytest.raises(wire.Refused):
        prepared.names(answer)


class Client:
    """Stands for the database's client: answers in turn, and remembers what it was asked."""

    def __init__(self, *answers: bytes) -> None:
        self.answers, self.asked = list(answers), []

    def __call__(self, words: list[str]) -> tuple[int, bytes]:
        assert words[:-1] == ["-e"]
        self.asked.append(words[-1])
        return 0, self.answers.pop(0)


def of(way: str) -> prepared.Prepared:
    return prepared.Prepared(["/usr/bin/mysql"], ["-e"], way == "roll back")


def test_they_are_counted_and_kept_by_a_made_client():
    client = Client(ROWS)
    assert prepared.settle(of("keep"), client) == 2
    assert client.asked == ["XA RECOVER"]


def test_they_are_rolled_back_by_their_names_by_a_made_client():
    client = Client(ROWS, b"", b"")
    assert prepared.settle(of("roll back"), client) == 2
    assert client.asked == ["XA RECOVER", "; ".join(f"XA ROLLBACK {name}" for name in NAMES), "XA RECOVER"]
    assert prepared.settle(of("roll back"), Client(b"")) == 0


def test_one_that_stays_is_no_success_by_a_made_client():
    with pytest.raises(wire.Refused, match="could not be rolled back"):
        prepared.settle(of("roll back"), Client(ROWS, b"", ROWS))
    with pytest.raises(wire.Refused, match="XA RECOVER: denied"):
        prepared.settle(of("keep"), lambda words: (1, b"denied"))
