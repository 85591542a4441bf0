"""What the helper says to MongoDB and makes of its answers; hostile ones come from a double."""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from servers.remote import wire
from servers.remote.instant import asked, extended, mongo
from servers.remote.probes import bson, mongodb, scram
from tests.transport.fake_mongod import FakeMongod

LOGIN = mongo.Login("phpborg", "secret")
SECRETS = {"password": "secret", "login": '{"ping": 1}\n{"ping": 1}'}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"b": 1, "a": 2}', '{"a": 2, "b": 1}'),
        ('{"_id": {"$oid": "0123456789abcdef01234567"}}', '{"_id": {"$oid": "0123456789abcdef01234567"}}'),
        ('{"at": {"$date": "2026-01-31T12:00:00.000Z"}}', '{"at": {"$date": "2026-01-31T12:00:00Z"}}'),
        ('{"at": {"$date": {"$numberLong": "1769860800005"}}}', '{"at": {"$date": "2026-01-31T12:00:00.005Z"}}'),
        ('{"at": {"$date": -1}}', '{"at": {"$date": {"$numberLong": "-1"}}}'),
        ('{"n": {"$numberLong": "5"}, "m": 5.0, "l": 2.5}', '{"l": 2.5, "m": 5, "n": 5}'),
        ('{"_id": 7, "total": {"$numberDecimal": "19.99"}}', '{"_id": 7, "total": {"$numberDecimal": "19.99"}}'),
        ('{"n": {"$numberDouble": "NaN"}}', '{"n": {"$numberDouble": "NaN"}}'),
        ('{"n": [null, true, {"é": "\\u00e9"}]}', '{"n": [null, true, {"é": "é"}]}'),
    ],
)
def test_a_document_has_one_form(text, expected):
    assert extended.canonical(text) == expected
    assert extended.canonical(expected) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "SELECT 1",
        '{"_id": {"$oid": "12"}}',
        '{"a": {"$date": "yesterday"}}',
        '{"a": {"$date": {}}}',
        '{"a": 1e999999, "b": 99999999999999999999}',
        '{"a\\u0000": 1}',
        '{"$oid": "0123456789abcdef01234567"}',
        '{"a": ' * 70 + "1" + "}" * 70,
        '{"a": ' + "[" * 100_000,
    ],
)
def test_what_is_no_command_is_told(text):
    with pytest.raises(ValueError):
        extended.command(text)


def test_kinds_that_only_an_answer_has():
    """A decimal, a time stamp, bytes, and what an expression is written in."""
    document = bson.encode(
        {
            "price": bson.Raw(b"\x13", struct.pack("<QQ", 1999, (6176 - 2) << 49)),
            "less": bson.Raw(b"\x13", struct.pack("<QQ", 5, (1 << 63) | (6176 << 49))),
            "none": bson.Raw(b"\x13", struct.pack("<QQ", 0, 0x1F << 58)),
            "at": bson.Raw(b"\x11", struct.pack("<II", 3, 1000)),
            "raw": b"tea",
            "like": bson.Raw(b"\x0b", b"^t\0i\0"),
        }
    )
    assert bson.decode(document, extended.KINDS) == {
        "price": {"$numberDecimal": "19.99"},
        "less": {"$numberDecimal": "-5"},
        "none": {"$numberDecimal": "NaN"},
        "at": {"$timestamp": {"t": 1000, "i": 3}},
        "raw": {"$binary": {"base64": base64.b64encode(b"tea").decode(), "subType": "00"}},
        "like": {"$regularExpression": {"pattern": "^t", "options": "i"}},
    }
    with pytest.raises(bson.Damaged, match="unknown kind"):
        bson.decode(bson.encode({"code": bson.Raw(b"\x0f", b"")}), extended.KINDS)


@contextmanager
def double(*answers: bytes) -> Iterator[socket.socket]:
    """A connection to a double that answers each question with these bytes, and then ends."""
    here, there = socket.socketpair()

    def serve() -> None:
        with there, suppress(OSError):
            for answer in answers:
                if not there.recv(1 << 16):
                    return
                there.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with here:
        yield here
    thread.join(5)


def ask(end: socket.socket, asked: mongo.Query, seconds: float = 5) -> tuple[bool, str]:
    return mongo.ask(mongo.Patient(end, wire.Control(60), time.monotonic() + seconds, lambda: None), asked)


def query(*commands: str, login: mongo.Login | None = None, **holds: Any) -> mongo.Query:
    return mongo.Query(list(commands) or ['{"ping": 1}'], login, holds or {"ok": 1}, counts=False)


HEADER = struct.Struct("<iiii")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        HEADER.pack(1 << 30, 1, 0, 2013),
        HEADER.pack(-1, 1, 0, 2013),
        HEADER.pack(26, 1, 0, 1) + b"\0" * 10,
        HEADER.pack(40, 1, 0, 2013) + b"\0" * 4,
        mongodb.message(1, {"ok": 1.0})[:-3],
        HEADER.pack(26, 1, 0, 2013) + b"\0\0\0\0\x01" + b"\0" * 5,
    ],
)
def test_a_double_that_talks_nonsense_is_no_server_that_is_ready(answer):
    with double(answer) as end, pytest.raises(OSError):
        ask(end, query())


def test_a_double_that_answers_nothing_is_not_waited_for_for_ever():
    here, there = socket.socketpair()
    with there, pytest.raises(OSError, match="not answered in time"):
        ask(here, query(), 0.2)


def test_a_double_that_does_not_know_the_password_is_not_believed():
    """It says yes to everything, and its last word proves nothing."""

    def said(payload: str, **more: Any) -> bytes:
        return mongodb.message(1, {"ok": 1.0, "conversationId": 1, "payload": payload.encode(), **more})

    for first, last in (("r=x,s=c2FsdA==,i=15000", "v=AAAA"), ("r={nonce}x,s=c2FsdA==,i=1", ""), ("", "")):
        answers = (said(""), said(first), said(last, done=True), said(""))
        with double(*answers) as end:
            good, words = ask(end, query(login=LOGIN))
        assert not good
        assert words in ("the server's part of the sign-in is not right", "the server does not know the password")


def test_an_answer_that_holds_something_else_or_a_failed_write_is_not_good():
    with double(mongodb.message(1, {"ok": 1.0, "n": 2})) as end:
        assert ask(end, query(n=1))[0] is False
    with double(mongodb.message(1, {"ok": 1.0, "n": 1})) as end:
        assert ask(end, query(n=1))[0] is True
    failed = {"ok": 1.0, "n": 0, "writeErrors": [{"errmsg": "no"}]}
    with double(mongodb.message(1, failed)) as end:
        assert ask(end, query()) == (False, "[{'errmsg': 'no'}]")


def test_an_answer_that_is_final_ends_the_session():
    stubborn = query(n=1)._replace(final=True)
    with double(mongodb.message(1, {"ok": 1.0, "n": 2})) as end, pytest.raises(wire.Refused, match="'n': 2"):
        ask(end, stubborn)
    refused = mongodb.message(1, {"ok": 0.0, "errmsg": "no such command: 'ping'", "code": 59})
    with double(refused) as end, pytest.raises(wire.Refused, match="no such command"):
        ask(end, stubborn)
    with double(b"") as end, pytest.raises(OSError, match="ended the connection"):
        ask(end, stubborn)


def test_a_silent_server_is_waited_for_only_as_long_as_a_check_may_last():
    control = wire.Control(60)
    rests: list[int] = []
    here, there = socket.socketpair()
    with there, mongo.Patient(here, control, time.monotonic() + 0.5, lambda: rests.append(1)) as end:
        with pytest.raises(TimeoutError):
            mongo.Look("admin", None, LOGIN).carry_out(end, lambda line: None)
        assert rests
    here, there = socket.socketpair()
    control.stop()
    with there, mongo.Patient(here, control, time.monotonic() + 60, lambda: None) as end, pytest.raises(wire.Stopped):
        mongo.Look("admin", None, LOGIN).carry_out(end, lambda line: None)


def test_a_double_that_has_always_more_to_say_is_heard_only_as_long():
    """A cursor without an end, and rows that are no number."""
    more = mongodb.message(1, {"ok": 1.0, "cursor": {"id": 7, "ns": "a.b", "firstBatch": [], "nextBatch": []}})
    with double(*[more] * 100_000) as end:
        patient = mongo.Patient(end, wire.Control(60), time.monotonic() + 0.5, lambda: None)
        rows = mongo._cursor(mongodb.Talk(patient), "a", {"find": "b"})  # type: ignore[arg-type]
        with pytest.raises(TimeoutError):
            next(rows)
    for rows in (float("inf"), float("nan"), -1, "many"):
        with double(mongodb.message(1, {"ok": 1.0, "valid": True, "nrecords": rows})) as end:
            assert mongo._validated(mongodb.Talk(end), "a", "b")["rows"] is None


def test_many_collections_are_asked_for_a_few_at_a_time():
    """All values of an answer are bounded together: a list of all names would be too long."""
    asked_for: list[dict[str, Any]] = []

    class Talk:
        def carry_out(self, command: dict[str, Any], _database: str) -> dict[str, Any]:
            asked_for.append(command)
            return {"cursor": {"id": 0, "ns": "a.$cmd.listCollections", "firstBatch": [{"name": "b"}]}}

    assert list(mongo._collections(Talk(), "a")) == ["b"]  # type: ignore[arg-type]
    assert 0 < asked_for[0]["cursor"]["batchSize"] <= 1000


def test_a_look_as_somebody_whom_a_fake_mongod_does_not_let_in_says_why():
    secret = scram.prepared("SCRAM-SHA-256", "phpborg", "other")
    with FakeMongod("phpborg", secret, ("SCRAM-SHA-256",)) as fake:
        end = socket.create_connection(("127.0.0.1", fake.server_address[1]))
        with mongo.Patient(end, wire.Control(60), time.monotonic() + 10, lambda: None) as patient:
            told = mongo.Look("admin", None, LOGIN).carry_out(patient, lambda line: None)
        assert told == (1, b"Authentication failed.")
        fake.shutdown()


def test_what_a_request_asks():
    good = mongo.question(
        {"mongo": ['{"ping": 1}'], "login": {"name": "phpborg", "password": "password"}, "counts": True}, SECRETS
    )
    assert good == mongo.Query(['{"ping": 1}'], LOGIN, {"ok": 1}, counts=True)
    assert mongo.question({"mongo": "login"}, SECRETS).commands == ['{"ping": 1}'] * 2
    row = {"name": "read", "seconds": 5, "mongo": {"login": {"name": "phpborg", "password": "password"}}}
    (check,) = asked.checks([row], SECRETS)
    assert check.over == mongo.Look("admin", None, LOGIN)


@pytest.mark.parametrize(
    "table",
    [
        {"mongo": []},
        {"mongo": ["no JSON"]},
        {"mongo": "nothing"},
        {"mongo": ['{"ping": 1}'] * 21},
        {"mongo": ['{"ping": 1}'], "holds": "[]"},
        {"mongo": ['{"ping": 1}'], "login": {"name": "phpborg", "password": "none"}},
        {"mongo": ['{"ping": 1}'], "login": {}},
        {"mongo": {"ping": 1}},
    ],
)
def test_what_no_request_may_ask(table):
    with pytest.raises(wire.Refused):
        mongo.question(table, SECRETS)


def test_a_line_is_bounded_whatever_validate_says():
    words = [str(number) * 500 for number in range(50)]
    assert len(json.dumps(mongo._words(words))) < 1000
    assert mongo._words("no list") == []
