"""MongoDB from an archive to an answer, in a container. Its server is a fake (fake_mongod_program.py): no real one can
be had here. The engine, the mounts, the layers, the gateway, the sign-in and the accounts are real."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from recovery.checks import base
from recovery.checks import mongodb as checks
from recovery.checks.base import Query
from recovery.engines.base import Consistency, Found
from recovery.services import serving
from servers.remote.probes import mongodb, scram
from tests.engines import engine_parts
from tests.instant.conftest import PASSPHRASE
from tests.instant.test_product_real import look
from tests.support import own_image
from tests.support.fake_mongod_program import STATE

pytestmark = pytest.mark.real

TEAS = [{"_id": number, "tea": f"no. {number}", "price": number / 2} for number in range(5)]
LATE = {"_id": 99, "tea": "only in the oplog"}
CONTENT = {
    "data": {"shop": {"teas": TEAS, "cups": [{"_id": 1}]}, "local": {"oplog.rs": [{"ts": 1}]}},
    "users": {"admin": {"pwd": "old", "roles": ["root"]}},
    "roles": {},
    "oplog": {"shop.teas": [LATE]},
    "damaged": ["shop.cups"],
}


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="phpborg-mongo-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def image(engine, place) -> str:
    return own_image.fake_mongod(engine, place / "image")


@pytest.fixture(scope="module")
def repository(place: Path) -> Path:
    """A member of a replica set, as a snapshot would hold it."""
    return archive(place / "repository", place, CONTENT)


def archive(path: Path, place: Path, content: dict[str, object]) -> Path:
    """A repository with the archive "db"."""
    place.mkdir(exist_ok=True)
    env = {"PATH": "/usr/bin:/bin", "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(place / "borg")}
    subprocess.run(["borg", "init", "-e", "repokey-blake2", str(path)], check=True, env=env, capture_output=True)
    data = engine_parts.made_mongodb(place / "db", "6.0", lock="4711\n")
    (data / "journal").mkdir()
    (data / "collection-2--7.wt").write_bytes(b"\0" * 64 + b"\x03settings\0....\x07replicaSetId\0" + b"\0" * 64)
    (data / STATE).write_text(json.dumps(content))
    for one in (data, *data.rglob("*")):
        os.chown(one, 998, 998)
    subprocess.run(["borg", "create", f"{path}::db", str(data)], check=True, env=env, capture_output=True)
    return path


@pytest.fixture(scope="module")
def found(repository: Path, place: Path) -> Found:
    return look(repository, "db", place)


def client(port: int, user: str = "", password: str = "") -> mongodb.Talk:
    talk = mongodb.Talk(socket.create_connection(("127.0.0.1", port), timeout=10))
    if user:
        mongodb.sign_in(talk, user, password, "admin")
    return talk


def test_a_fake_mongod_of_an_archive_is_read_and_never_written(repository, found, image, start):
    assert (found.version, found.consistency, found.facts.member) == ("6.0", Consistency.CRASH, True)
    assert {note.code for note in found.notes} == {"read_only_login", "replica_set"}
    asked, login = serving.request(found, image, read_only=True)
    session = start(repository=repository, archive="db", asked=asked)
    port = session.until("ready")["port"]
    assert 37017 <= port < 37217
    talk = client(port, login.name, login.password)
    rows = talk.ask("find", "shop", find="teas", filter={"_id": 99})["cursor"]["firstBatch"]
    assert rows == [LATE]  # its last checkpoint did not have it
    for command, more in (
        ("insert", {"insert": "teas", "documents": [{"_id": 7}]}),
        ("createUser", {"createUser": "x", "pwd": "x", "roles": []}),
        ("validate", {"validate": "teas", "repair": True}),
        ("delete", {"delete": "system.users", "deletes": [{"q": {}, "limit": 0}]}),
    ):
        with pytest.raises(mongodb.Refused, match="not authorized"):
            talk.ask(command, "shop", **more)
    with pytest.raises(mongodb.Refused, match="requires authentication"):
        client(port).ask("listDatabases")
    # The account of production is gone, and who comes first makes no other one.
    with pytest.raises(mongodb.Refused, match="Authentication failed"):
        client(port, "admin", "old")
    with pytest.raises(mongodb.Refused, match="requires authentication"):
        client(port).ask("createUser", createUser="x", pwd="x", roles=[])
    session.finish()
    assert session.error is None


def test_a_sandbox_of_a_fake_mongod_is_written_and_thrown_away(repository, found, image, start):
    asked, login = serving.request(found, image, read_only=False)
    for _ in range(2):
        session = start(repository=repository, archive="db", asked=asked)
        talk = client(session.until("ready")["port"], login.name, login.password)
        assert talk.ask("count", "shop", count="teas")["n"] == len(TEAS) + 1
        talk.ask("insert", "shop", insert="teas", documents=[{"_id": 7}])
        assert talk.ask("count", "shop", count="teas")["n"] == len(TEAS) + 2
        session.finish()


def test_a_fake_mongod_proves_its_collections_and_answers_queries(repository, found, image, start):
    asked, _login = serving.request(found, image, read_only=True, more=checks.statements())
    checker = checks.MongodbChecks()
    none = checker.client((), ())
    queries = [
        Query("shop", '{"find": "teas", "filter": {"_id": 1}}'),
        Query("shop", '{"find": "teas"}'),
        Query("shop", '{"count": "teas"}'),
        Query("shop", '{"insert": "teas", "documents": [{"_id": 8}]}'),
        Query("shop", "SELECT 1"),
    ]
    rows = [checker.read(found, none), *(checker.query(number, one, none) for number, one in enumerate(queries))]
    session = start(
        repository=repository, archive="db", asked=asked, action="check", checks=[row.as_asked(()) for row in rows]
    )
    session.until("answered")
    session.finish()
    lines: dict[str, list[str]] = {}
    for row in session.rows:
        if row["state"] == "checking":
            lines.setdefault(row["check"], []).append(row["line"])
    ends = {row["check"]: row for row in session.rows if row["state"] == "checked"}
    verdict = checker.judge(lines[base.READ], ends[base.READ]["code"], ends[base.READ]["detail"])
    assert (verdict.tables, verdict.rows, verdict.problems_count) == (3, len(TEAS) + 3, 1)
    assert verdict.problems[0].where == "shop.cups"
    assert "missing index entries" in verdict.problems[0].words
    assert lines["query-0"] == [checks.row_of('{"tea": "no. 1", "_id": {"$numberInt": "1"}, "price": 0.5}')]
    assert len(lines["query-1"]) == len(TEAS) + 1  # more than one batch
    assert lines["query-2"] == ['{"n": 6}']
    assert ends["query-3"]["code"] == 1
    assert "not authorized" in ends["query-3"]["detail"]
    assert ends["query-4"]["code"] == 1


def test_a_password_that_is_not_the_session_s_opens_no_fake_mongod(repository, found, image, start):
    asked, login = serving.request(found, image, read_only=True)
    session = start(repository=repository, archive="db", asked=asked)
    port = session.until("ready")["port"]
    with pytest.raises((mongodb.Refused, scram.Failed)):
        client(port, login.name, login.password + "x")
    session.finish()


def test_a_fake_mongod_that_keeps_the_accounts_of_production_is_not_served(place, image, start):
    path = place / "stubborn"
    archive(path, place / "stubborn-db", {**CONTENT, "stubborn": True})
    asked, _login = serving.request(look(path, "db", place / "stubborn-db"), image, read_only=True)
    session = start(repository=path, archive="db", asked=asked)
    with pytest.raises(Exception, match="refuses to be prepared"):
        session.until("ready")
