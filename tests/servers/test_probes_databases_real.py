"""The probes of databases against real servers: PostgreSQL 15 in two clusters, MariaDB 10.11, Redis 7."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from servers.remote.probes import mysql, postgresql, redis
from servers.remote.probes.base import Look
from tests.servers import database_servers as lab

pytestmark = pytest.mark.real

NAMES = ["weird-db name", "a$b;c", "-x", "../up", "q'u\"o\\te", "naïve 😀"]
ACCOUNT = "postgres"


def keys(facts: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in facts[name]}


# PostgreSQL


@dataclass
class Clusters:
    """`one` in a directory with a blank, with a tablespace and its log elsewhere; `two` wants a password."""

    top: Path
    ports: tuple[int, int]
    pids: tuple[int, int]

    def socket(self, number: int) -> str:
        """The one thing that names a server beyond doubt."""
        return f"{self.top}/run/.s.PGSQL.{self.ports[number]}"

    def found(self, **given: Any) -> list[dict[str, Any]]:
        facts = keys(postgresql.probe(Look({"postgresql": given} if given else {})), "clusters")
        return [facts[f"port {port}"] for port in self.ports]


def sql(run: Path, port: int, *statements: str, **env: str) -> None:
    argv = [
        lab.POSTGRES_BIN / "psql",
        "-X",
        "-q",
        "-h",
        run,
        "-p",
        str(port),
        "-d",
        "postgres",
        "-v",
        "ON_ERROR_STOP=1",
    ]
    # One -c each: a database is made outside of a transaction.
    lab.as_account(ACCOUNT, [*argv, *(word for text in statements for word in ("-c", text))], env={**os.environ, **env})


@pytest.fixture(scope="module")
def clusters() -> Iterator[Clusters]:
    ports, pids = (lab.free_port(), lab.free_port()), []
    with lab.place() as top, ExitStack() as stack:
        run, space, wal = (lab.directory(top / name, ACCOUNT) for name in ("run", "my space", "wal"))
        secret = top / "secret"
        secret.write_text(lab.PASSWORD)
        secret.chmod(0o644)
        for name, port, more in (
            ("da ta é", ports[0], ["-A", "peer", "-X", wal]),
            ("two", ports[1], ["-A", "scram-sha-256", "--pwfile", secret, "-U", "boss"]),
        ):
            data = lab.directory(top / name, ACCOUNT)
            made = [lab.POSTGRES_BIN / "initdb", "-D", data, "-N", "-E", "UTF8", "--locale=C.UTF-8", *more]
            lab.as_account(ACCOUNT, made)
            argv = [lab.POSTGRES_BIN / "postgres", "-D", data, "-k", run, "-p", str(port), "-c", "fsync=off"]
            argv += ["-c", "listen_addresses=127.0.0.1"]
            pids.append(stack.enter_context(lab.running(argv, ACCOUNT, partial(_ready, data), top / f"{name}.log")))
        quoted = [name.replace('"', '""') for name in NAMES]
        sql(run, ports[0], *(f'CREATE DATABASE "{name}" STRATEGY file_copy' for name in quoted))
        sql(run, ports[0], f"CREATE TABLESPACE \"spa'ce\" LOCATION '{space}'", "CREATE EXTENSION pg_trgm")
        sql(run, ports[0], 'CREATE TABLE t TABLESPACE "spa\'ce" AS SELECT generate_series(1, 10000) AS a')
        yield Clusters(top, ports, (pids[0], pids[1]))


def _ready(data: Path) -> bool:
    try:
        return "ready" in (data / "postmaster.pid").read_text()
    except OSError:
        return False


def test_both_clusters_are_found_outside_systemd_with_their_own_ports_and_directories(clusters):
    one, two = clusters.found()
    assert (one["pid"], two["pid"]) == clusters.pids
    assert (one["port"], two["port"]) == clusters.ports
    for found, name in ((one, "da ta é"), (two, "two")):
        assert (found["running"], found["contained"]) == (True, False)
        assert found["owner"] == ACCOUNT
        assert found["found_by"] == ["process"]
        assert found["socket_directory"] == str(clusters.top / "run")
        assert found["data"]["path"] == str(clusters.top / name)
        assert found["data"]["size_bytes"] > 10_000_000
        assert str(clusters.top / name / "postgresql.conf") in found["config_files"]
        assert all(os.path.exists(path) for path in found["config_files"])
    json.dumps([one, two])


def test_peer_lets_us_in_and_the_server_itself_says_what_it_is(clusters):
    one, _ = clusters.found()
    assert one["login"] == {"works": True, "method": "peer", "user": ACCOUNT, "file": None, "problem": None}
    assert one["version"].startswith("15.")
    assert (one["data"]["method"], one["data"]["confidence"]) == ("sql", "high")
    assert (one["in_recovery"], one["wal_level"], one["max_wal_senders"]) == (False, "replica", 10)
    assert one["wal_directory"] == str(clusters.top / "wal")
    assert "pg_trgm" in one["extensions"]


def test_the_tablespace_outside_is_told_with_its_size(clusters):
    (space,) = clusters.found()[0]["tablespaces"]
    assert (space["name"], space["location"]) == ("spa'ce", str(clusters.top / "my space"))
    assert space["size_bytes"] > 300_000


def test_awkward_database_names_come_out_as_they_are(clusters):
    found = {database["name"]: database for database in clusters.found()[0]["databases"]}
    assert set(found) == {*NAMES, "postgres", "template0", "template1"}
    assert all(database["size_bytes"] > 1_000_000 for database in found.values())
    assert found["template0"] == {**found["template0"], "is_template": True, "allows_connections": False}
    assert found["-x"] == {**found["-x"], "is_template": False, "allows_connections": True}


def test_a_cluster_that_lets_nobody_in_says_so_and_is_described_from_its_files(clusters):
    _, two = clusters.found()
    assert not two["login"]["works"]
    assert "password" in two["login"]["problem"]
    assert two["version"] == "15"
    assert (two["data"]["method"], two["data"]["confidence"]) == ("process", "medium")
    assert (two["databases"], two["in_recovery"], two["wal_level"]) == ([], None, None)


def test_a_given_login_works_for_the_cluster_that_it_names(clusters):
    one, two = clusters.found(user="boss", password=lab.PASSWORD, socket=clusters.socket(1))
    assert one["login"]["method"] == "peer"
    assert two["login"] == {"works": True, "method": "given", "user": "boss", "file": None, "problem": None}
    assert two["version"].startswith("15.")


def test_a_wrong_password_is_said(clusters):
    _, two = clusters.found(user="boss", password="wrong", socket=clusters.socket(1))
    assert 'password authentication failed for user "boss"' in two["login"]["problem"]


def test_a_cluster_that_hangs_costs_one_time_out_and_the_other_answers(clusters):
    with lab.stopped(clusters.pids[0]):
        began = time.monotonic()
        one, two = clusters.found(user="boss", password=lab.PASSWORD, socket=clusters.socket(1))
        assert time.monotonic() - began < 8
    assert "does not answer" in one["login"]["problem"]
    assert one["data"]["path"] == str(clusters.top / "da ta é")
    assert [space["location"] for space in one["tablespaces"]] == [str(clusters.top / "my space")]
    assert two["login"]["works"]


# MariaDB


@dataclass
class Mariadb:
    top: Path
    socket: Path
    port: int
    pid: int

    def found(self, **given: Any) -> dict[str, Any]:
        return keys(mysql.probe(Look({"mysql": given} if given else {})), "instances")[f"port {self.port}"]

    def sql(self, *statements: str) -> None:
        argv = ["mariadb", "--no-defaults", "--user=root", f"--socket={self.socket}", "--default-character-set=utf8mb4"]
        subprocess.run(argv, input="\n".join(statements), check=True, text=True)


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Mariadb]:
    account = lab.MARIADB_ACCOUNT
    with lab.place() as top, ExitStack() as stack:
        argv = ["mariadb-install-db", "--no-defaults", f"--user={account}", f"--datadir={top}/plain", "--skip-test-db"]
        subprocess.run(
            [*argv, "--auth-root-authentication-method=socket"], check=True, capture_output=True, env=lab.open_to_all()
        )
        data = (top / "plain").rename(top / "da ta é")  # its maker takes no blanks
        run, undo, _ = (lab.directory(top / name, account) for name in ("run", "undo", "elsewhere"))
        run.chmod(0o755)
        socket, port = run / "my sql.sock", lab.free_port()
        argv = ["/usr/sbin/mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={socket}", f"--port={port}"]
        argv += ["--bind-address=127.0.0.1", f"--innodb-undo-directory={undo}", "--innodb-undo-tablespaces=2"]
        argv += [f"--pid-file={run}/pid", "--log-bin", "--innodb-flush-log-at-trx-commit=0"]
        pid = stack.enter_context(lab.running(argv, account, lab.listens(socket), top / "log"))
        server = Mariadb(top, socket, port, pid)
        password = lab.PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
        server.sql(
            *(f"CREATE DATABASE `{name}`;" for name in NAMES[:-1]),
            "CREATE DATABASE `naïve`; USE `-x`;",
            "CREATE TABLE i (a INT) ENGINE=InnoDB; CREATE TABLE m (a INT) ENGINE=MyISAM;",
            f"CREATE TABLE d (a INT) ENGINE=InnoDB DATA DIRECTORY='{top}/elsewhere';",
            f"CREATE USER given@localhost IDENTIFIED BY '{password}'; GRANT SELECT ON *.* TO given@localhost;",
        )
        yield server


def test_the_server_is_found_by_its_process_and_described_by_itself(mariadb):
    found = mariadb.found()
    assert (found["pid"], found["owner"], found["socket"]) == (mariadb.pid, "mysql", str(mariadb.socket))
    assert (found["flavour"], found["running"], found["contained"]) == ("mariadb", True, False)
    assert found["version"].startswith("10.11.")
    assert (found["data"]["path"], found["data"]["method"]) == (str(mariadb.top / "da ta é"), "sql")
    assert found["data"]["size_bytes"] > 10_000_000
    assert (found["log_bin"], found["read_only"]) == (True, False)
    assert found["login"] == {"works": True, "method": "socket", "user": "root", "file": None, "problem": None}


def test_a_given_login_that_is_tried_alone_is_what_the_answer_is_about(mariadb):
    """Root's socket would let us in: nothing of it may be told of the login that was given."""
    here = {"socket": str(mariadb.socket), "alone": True}
    right = mariadb.found(user="given", password=lab.PASSWORD, **here)["login"]
    assert (right["works"], right["method"], right["user"]) == (True, "given", "given")
    wrong = mariadb.found(user="given", password="wrong", **here)["login"]
    assert wrong["works"] is False
    assert "1045" in wrong["problem"]


def test_awkward_names_engines_and_files_elsewhere(mariadb):
    found = mariadb.found()
    sizes = {database["name"]: database["size_bytes"] for database in found["databases"]}
    assert set(sizes) == {*NAMES[:-1], "naïve", "mysql", "sys"}
    assert sizes["-x"] > 0
    assert sizes["../up"] == 0
    assert found["engines"] == {"InnoDB": 2, "MyISAM": 1}
    assert found["outside_files"] == [str(mariadb.top / "undo"), f"{mariadb.top}/elsewhere/@002dx/d.ibd"]


@pytest.fixture
def no_root(mariadb: Mariadb) -> Iterator[None]:
    """Root is not let in through the socket any more; another account is there to undo that."""
    mariadb.sql(
        "CREATE USER nobody@localhost IDENTIFIED VIA unix_socket;",
        "GRANT ALL ON *.* TO nobody@localhost WITH GRANT OPTION;",
        "ALTER USER root@localhost IDENTIFIED BY 'unknown to all';",
    )
    yield
    argv = ["mariadb", "--no-defaults", "--user=nobody", f"--socket={mariadb.socket}", "--execute"]
    lab.as_account("nobody", [*argv, "ALTER USER root@localhost IDENTIFIED VIA unix_socket"])
    mariadb.sql("DROP USER nobody@localhost;")


def test_a_server_that_lets_nobody_in_still_greets_with_its_version(mariadb, no_root):
    found = mariadb.found()
    assert not found["login"]["works"]
    assert "Access denied" in found["login"]["problem"]
    assert (found["flavour"], found["databases"]) == ("mariadb", [])
    assert found["version"].startswith("10.11.")
    assert (found["data"]["method"], found["data"]["confidence"]) == ("process", "medium")


def test_a_given_login_with_an_awkward_password_is_shown_in_no_argument(mariadb, no_root):
    shown: list[list[str]] = []

    class Watched(Look):
        def run(self, argv: Any, **more: Any) -> Any:
            shown.append(list(argv))
            return super().run(argv, **more)

    look = Watched({"mysql": {"user": "given", "password": lab.PASSWORD, "socket": str(mariadb.socket)}})
    found = keys(mysql.probe(look), "instances")[f"port {mariadb.port}"]
    assert found["login"] == {"works": True, "method": "given", "user": "given", "file": None, "problem": None}
    assert not [word for argv in shown for word in argv if lab.CANARY in word]
    assert lab.CANARY not in json.dumps(found)


def test_a_server_that_hangs_costs_one_time_out(mariadb):
    with lab.stopped(mariadb.pid):
        began = time.monotonic()
        found = mariadb.found()
        assert time.monotonic() - began < 6
    assert "does not answer" in found["login"]["problem"]
    assert (found["running"], found["version"][:6]) == (True, "10.11.")
    assert found["data"]["path"] == str(mariadb.top / "da ta é")


# Redis


@pytest.fixture(scope="module", params=["open", "closed"])
def redis_at(request: pytest.FixtureRequest) -> Iterator[tuple[Path, int, int, bool]]:
    with lab.place() as top, ExitStack() as stack:
        data, port, closed = top / "da ta", lab.free_port(), request.param == "closed"
        data.mkdir()
        argv = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(data), "--save", ""]
        argv += ["--appendonly", "yes", "--unixsocket", str(top / "red is.sock")]
        argv += ["--requirepass", "s3cret' x"] if closed else []
        pid = stack.enter_context(lab.running(argv, None, lab.listens(port=port), top / "log"))
        yield data, port, pid, closed


def test_redis_is_asked_without_a_client(redis_at):
    data, port, pid, closed = redis_at
    given = {"redis": {"password": "s3cret' x"}} if closed else {}
    found = keys(redis.probe(Look(given)), "instances")[f"port {port}"]
    assert found["login"] == {
        "works": True, "method": "given" if closed else "none", "user": None, "file": None, "problem": None,
    }  # fmt: skip
    assert found["version"].startswith("7.")
    assert (found["pid"], found["owner"], found["socket"]) == (pid, "root", str(data.parent / "red is.sock"))
    assert (found["data"]["path"], found["data"]["method"]) == (str(data), "sql")
    assert found["persistence"] == {"rdb": False, "aof": True}


def test_redis_without_its_password_or_hanging_says_so(redis_at):
    data, port, pid, closed = redis_at
    found = keys(redis.probe(Look({})), "instances")[f"port {port}"]
    assert found["login"]["works"] is not closed
    assert (found["data"]["path"], found["persistence"]["aof"]) == (str(data), None if closed else True)
    with lab.stopped(pid):
        began = time.monotonic()
        found = keys(redis.probe(Look({})), "instances")[f"port {port}"]
        assert time.monotonic() - began < 6
    assert "does not answer" in found["login"]["problem"]
