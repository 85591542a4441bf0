"""What the helper asks of a session's MongoDB, asked of a real server with its protocol: FerretDB, by its socket.

FerretDB has no roles, so what a login may not do is not seen here.
"""

from __future__ import annotations

import datetime
import json
import socket
import time

import pytest

from recovery.checks.base import READ
from recovery.checks.mongodb import MongodbChecks, row_of
from servers.remote import wire
from servers.remote.instant import mongo
from tests.lab.ferretdb import PASSWORD, USER

pytestmark = pytest.mark.lab
LOGIN = mongo.Login(USER, PASSWORD)


@pytest.fixture
def shop(ferretdb):
    """A database of this test's own."""
    found = ferretdb.client()["asked"]
    found["teas"].drop()
    found["teas"].insert_many({"_id": number, "price": number / 2} for number in range(250))
    found["cups"].drop()
    found["cups"].insert_one({"_id": 1, "made": datetime.datetime(2026, 1, 31, 12), "of": ["clay", None, True, b"x"]})
    return found


@pytest.fixture
def patient(ferretdb):
    def connect() -> mongo.Patient:
        end = socket.socket(socket.AF_UNIX)
        end.connect(str(ferretdb.socket))
        return mongo.Patient(end, wire.Control(60), time.monotonic() + 30, lambda: None)

    return connect


def test_a_server_is_ready_when_the_login_was_proven_and_a_query_answered(shop, patient):
    asked = mongo.Query(['{"listDatabases": 1}'], LOGIN, {"ok": 1}, counts=True)
    assert mongo.ask(patient(), asked)[0] is True
    assert mongo.ask(patient(), asked._replace(login=LOGIN._replace(password="wrong")))[0] is False
    assert mongo.ask(patient(), asked._replace(login=None))[0] is False


def test_its_answers_have_one_form_and_come_whole(shop, patient):
    def lines(command: str) -> list[str]:
        told: list[bytes] = []
        assert mongo.Look("asked", command, LOGIN).carry_out(patient(), told.append) == (0, b"")
        return [line.decode() for line in told]

    rows = lines('{"find": "teas", "sort": {"_id": 1}}')
    assert len(rows) == 250  # more than its first batch
    assert rows[3] == row_of('{"price": 1.5, "_id": 3}')
    (cup,) = lines('{"find": "cups", "filter": {"made": {"$date": "2026-01-31T12:00:00Z"}}}')
    assert json.loads(cup)["of"] == ["clay", None, True, {"$binary": {"base64": "eA==", "subType": "00"}}]
    assert lines('{"count": "teas", "query": {"_id": {"$lt": 10}}}') == ['{"n": 10}']
    assert lines('{"aggregate": "teas", "pipeline": [{"$match": {"_id": 5}}]}') == ['{"_id": 5, "price": 2.5}']
    for wrong in ('{"nonsense": 1}', "SELECT 1"):
        code, words = mongo.Look("asked", wrong, LOGIN).carry_out(patient(), lambda line: None)
        assert code == 1
        assert words


def test_its_collections_are_validated(shop, patient):
    told: list[bytes] = []
    code, words = mongo.Look("admin", None, LOGIN).carry_out(patient(), told.append)
    verdict = MongodbChecks().judge([line.decode() for line in told], code, words.decode())
    assert verdict.is_good, verdict.problems
    assert verdict.tables >= 2
    assert (verdict.rows or 0) >= 251
    assert MongodbChecks().read(None, MongodbChecks().client((), ())).name == READ  # type: ignore[arg-type]
