"""Dumps of a server that speaks MongoDB's protocol (FerretDB), through the helper into an archive and back.

`mongodump` and `mongorestore` are MongoDB's own.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from servers import errors
from servers.remote.probes import bson
from servers.remote.producers.mongodb import Walk
from servers.transport import host_for
from servers.transport.base import Host
from servers.transport.tunnel import link
from tests.lab.ferretdb import PASSWORD, Server, running_ferretdb
from tests.support.sshd import Lab, descendants, local_target, wait_until

pytestmark = pytest.mark.lab
PASSPHRASE = "pa$s 'w\"ord"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """This machine, as root."""
    lab = Lab.create()
    yield host_for(local_target(lab))
    lab.remove()


@pytest.fixture
def borg(tmp_path):
    """Borg on this machine, with an empty repository: `borg("list", "::")`."""
    env = {**os.environ, "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(tmp_path / "base")}
    env |= {"BORG_REPO": str(tmp_path / "repository"), "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}

    def run(*words: str) -> bytes:
        return subprocess.run(["borg", *words], env=env, check=True, capture_output=True).stdout

    run("init", "-e", "repokey-blake2")
    return run


@pytest.fixture
def backup(host, borg, tmp_path):
    """Make an archive "one" of these streams, with the tools of this server."""

    def run(server: Server, *streams: dict[str, Any], **secrets: str) -> Any:
        token = uuid.uuid4().hex
        rows = [{"producer": "mongodump", **server.access, **stream} for stream in streams]
        with on_path(server.tools), link(host, str(tmp_path / "repository"), mode="tunnel", token=token) as way:
            argv = ["create", "--json", "--log-json", way.location("one")]
            asked = {"argv": argv, "token": token, "streams": rows}
            return host.run("borg", asked, secrets={"passphrase": PASSPHRASE, **secrets}, link=way)

    return run


@contextmanager
def on_path(folder: Path) -> Iterator[None]:
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}:{before}"
    yield
    os.environ["PATH"] = before


@contextmanager
def writes(server: Server) -> Iterator[list[int]]:
    """Documents {"_id": n, "twice": 2n} of shop.orders, one after the other; those that were acknowledged."""
    done: list[int] = []
    over = threading.Event()

    def work() -> None:
        orders = server.client()["shop"]["orders"]
        while not over.is_set():
            orders.insert_one({"_id": len(done), "twice": 2 * len(done)})
            done.append(len(done))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        wait_until(lambda: len(done) > 20)
        yield done
    finally:
        over.set()
        thread.join()


def restore(server: Server, archive: bytes) -> None:
    """All but the accounts: FerretDB has no version of theirs, so they count as those of MongoDB 2.4."""
    where = (f"--host={server.access['address']}", f"--port={server.port}")
    argv = (server.tools / "mongorestore", *where, "--nsExclude=admin.*", "--archive")
    done = subprocess.run(argv, input=archive, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_secured_server_is_dumped_under_writes(backup, borg, ferretdb):
    items = [{"_id": n, "name": f"nön {n} 😀", "price": n / 7} for n in range(500)]
    client = ferretdb.client()
    client["shop"]["items"].insert_many(items)
    client["shop"]["items"].create_index([("name", 1)], unique=True)
    client["weird-db"]["x"].insert_one({"_id": 1})
    with writes(ferretdb) as done:
        before = len(done)
        ended = backup(ferretdb, {"name": "mongodb/all.archive"}, database=PASSWORD)
        after = len(done) + 1
    assert ended.exit.code == 0, ended.exit.stderr_tail
    assert "done dumping shop.items (500 documents)" in ended.exit.stderr_tail
    assert PASSWORD not in ended.exit.stderr_tail
    with running_ferretdb() as fresh:
        restore(fresh, borg("extract", "--stdout", "::one"))
        shop = fresh.client()["shop"]
        assert list(shop["items"].find().sort("_id")) == items
        assert shop["items"].index_information()["name_1"]["unique"] is True
        orders = list(shop["orders"].find().sort("_id"))
        assert orders == [{"_id": n, "twice": 2 * n} for n in range(len(orders))]
        assert before <= len(orders) <= after
        assert fresh.client()["weird-db"]["x"].count_documents({}) == 1


def test_one_database_of_an_awkward_name(backup, borg):
    with running_ferretdb() as server, running_ferretdb() as fresh:
        for name in ("weird-db", "-x", "other"):
            server.client()[name]["c"].insert_one({"_id": name})
        streams = [{"name": f"mongodb/{n}", "database": name} for n, name in enumerate(("weird-db", "-x"))]
        ended = backup(server, *streams)
        assert ended.exit.code == 0, ended.exit.stderr_tail
        for number in (0, 1):
            restore(fresh, borg("extract", "--stdout", "::one", f"mongodb/{number}"))
        assert fresh.client().list_database_names() == ["-x", "weird-db"]


@pytest.mark.parametrize("secured", [False, True])
def test_by_its_socket(backup, borg, secured):
    with running_ferretdb(secured=secured) as server, running_ferretdb() as fresh:
        server.client()["shop"]["c"].insert_one({"_id": 1})
        ended = backup(server, {"name": "all", "socket": str(server.socket)}, database=PASSWORD)
        assert ended.exit.code == 0, ended.exit.stderr_tail
        assert "oplog" not in ended.exit.stderr_tail
        restore(fresh, borg("extract", "--stdout", "::one"))
        assert list(fresh.client()["shop"]["c"].find()) == [{"_id": 1}]


def test_the_oplog_is_asked_for_of_a_replica_set_as_a_whole(backup):
    """FerretDB has none, and mongodump says so; of one database it is not asked for."""
    with running_ferretdb(replica_set="rs0") as server:
        server.client()["shop"]["c"].insert_one({"_id": 1})
        with pytest.raises(errors.StreamFailed, match="oplog"):
            backup(server, {"name": "all"})
        ended = backup(server, {"name": "all", "database": "shop"})
        assert ended.exit.code == 0, ended.exit.stderr_tail


def test_a_wrong_password_fails_in_the_words_of_the_server(backup, borg, ferretdb):
    with pytest.raises(errors.StreamFailed, match="Authentication failed"):
        backup(ferretdb, {"name": "all"}, database="wrong")
    assert borg("list", "--short", "::") == b""


def test_without_mongodump_the_package_is_named(backup, borg, ferretdb):
    (ferretdb.tools / "mongodump").rename(ferretdb.tools / "away")
    try:
        with pytest.raises(errors.RemotePathMissing, match="mongodb-database-tools"):
            backup(ferretdb, {"name": "all"}, database=PASSWORD)
    finally:
        (ferretdb.tools / "away").rename(ferretdb.tools / "mongodump")


def test_a_server_that_is_down_or_elsewhere_is_refused(backup, ferretdb):
    with pytest.raises(errors.StreamFailed, match="cannot be asked"):
        backup(ferretdb, {"name": "all", "port": 1, "login": {"method": "none"}})
    with pytest.raises(errors.RemotePathMissing, match="nobody listens"):
        backup(ferretdb, {"name": "all", "port": 1}, database=PASSWORD)
    with pytest.raises(errors.UnsafePath, match="not an address of this machine"):
        backup(ferretdb, {"name": "all", "address": "192.0.2.1"}, database=PASSWORD)


@pytest.mark.parametrize(
    ("victim", "error", "words"),
    [
        ("mongodump", errors.StreamFailed, "mongodump ended with signal 9"),
        ("phpborg-remote", errors.ConnectionLost, None),
    ],
)
def test_a_kill_leaves_no_archive_and_no_process(backup, borg, victim, error, words):
    with running_ferretdb() as server:
        server.client()["shop"]["big"].insert_many([{"_id": n, "text": "x" * 100_000} for n in range(300)])

        def kill() -> None:
            wait_until(lambda: dumps(server), seconds=20)
            time.sleep(0.3)
            for pid in dumps(server) if victim == "mongodump" else helpers():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(error, match=words):
            backup(server, {"name": "all"})
        killer.join()
        wait_until(lambda: not dumps(server), seconds=15)
        assert borg("list", "--short", "::") == b""


def helpers() -> list[int]:
    """The helper's own processes that we have started."""
    found = []
    for pid in descendants(os.getpid()):
        with suppress(OSError):
            if b"phpborg-remote" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def dumps(server: Server) -> list[int]:
    """Processes of mongodump that read this server."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else [b""]
            if words[0].endswith(b"/mongodump") and f"--port={server.port}".encode() in words:
                found.append(int(entry.name))
    return found


@pytest.fixture(scope="module")
def archive() -> bytes:
    """What mongodump prints of two collections."""
    with running_ferretdb() as server:
        server.client()["a"]["one"].insert_many([{"_id": n} for n in range(5)])
        server.client()["a"]["two"].insert_many([{"_id": n} for n in range(5)])
        argv = (server.tools / "mongodump", f"--host={server.access['address']}", f"--port={server.port}", "--archive")
        return subprocess.run(argv, check=True, capture_output=True).stdout


def problem(data: bytes, step: int = 1 << 20) -> str | None:
    walk, source = Walk(), io.BytesIO(data)
    while chunk := source.read(step):
        walk.feed(chunk)
    return walk.missing()


@pytest.mark.parametrize("step", [1, 3, 7, 1000, 1 << 20])
def test_a_whole_archive_is_whole_however_it_arrives(archive, step):
    assert problem(archive, step) is None


def test_an_archive_that_is_cut_is_seen(archive):
    """Wherever it is cut, but where a whole collection ends: there the tool's exit status has to tell."""
    ends = [length for length in range(len(archive)) if problem(archive[:length]) is None]
    assert len(ends) == 2  # before the first collection, and between the two
    assert all(archive[:length].endswith(b"\xff\xff\xff\xff") for length in ends)


def test_what_is_no_archive_is_seen():
    with pytest.raises(bson.Damaged):
        Walk().feed(b"Failed: can't connect")
    assert problem(b"") == "it ends before its first collection"
