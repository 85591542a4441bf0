"""Database servers that keep still for a snapshot, and go on at once after it, whatever happens to us."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from servers.remote import holds, policy, wire
from servers.remote.holds import mysql
from tests.support import mariadb, postgresql
from tests.support.sshd import wait_until

pytestmark = pytest.mark.real

CANARY = "pa'ss"
PASSWORD = CANARY + ' "w\\ord# é'
SOON = 2.0


@contextmanager
def private_place() -> Iterator[Path]:
    """A short path: a socket's has a limit."""
    with tempfile.TemporaryDirectory(prefix="phpborg-hold-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def server() -> Iterator[mariadb.Server]:
    """MariaDB with a binary log, a database `shop` with an InnoDB table `i`, and accounts."""
    quoted = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
    with private_place() as place, mariadb.running(place / "da ta", place / "run", "--log-bin=bin") as made:
        made.sql(
            "CREATE DATABASE shop; CREATE TABLE shop.i (a INT) ENGINE=InnoDB;"
            f"CREATE USER given@localhost IDENTIFIED BY '{quoted}'; GRANT ALL ON *.* TO given@localhost;"
            f"CREATE USER small@localhost IDENTIFIED BY '{quoted}'; GRANT RELOAD ON *.* TO small@localhost;"
        )
        yield made


@pytest.fixture
def myisam(server) -> Iterator[mariadb.Server]:
    """The same server with a table that a power cut may damage."""
    server.sql("CREATE TABLE shop.m (a INT) ENGINE=MyISAM;")
    yield server
    server.sql("DROP TABLE shop.m;")


def row(server: mariadb.Server, **more: Any) -> dict[str, Any]:
    return {"engine": "mysql", **server.where, **more}


def given(user: str = "given") -> dict[str, Any]:
    return {"login": {"method": "given", "user": user}}


def held(asked: Any, during: Callable[[], object] = lambda: None, **secrets: str) -> dict[str, Any] | None:
    """Hold for the length of `during`; the facts about it."""
    with holds.opened(asked, secrets) as hold, hold:
        during()
    return hold.facts


def writes_at_once(server: mariadb.Server) -> None:
    began = time.monotonic()
    server.sql("SET lock_wait_timeout = 5; INSERT INTO shop.i VALUES (1);")
    assert time.monotonic() - began < SOON


def is_locked(server: mariadb.Server) -> bool:
    tried = server.client("--execute=SET lock_wait_timeout = 1; INSERT INTO shop.i VALUES (2);")
    assert not tried.returncode or "1205" in tried.stderr, tried.stderr
    return tried.returncode != 0


def writes_wait(server: mariadb.Server) -> None:
    assert is_locked(server)


def clients() -> list[bytes]:
    """Clients of ours that hold a session."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes()
        except OSError:
            continue
        if b"--skip-reconnect" in words and b"mariadb" in words.split(b"\0")[0]:
            found.append(words)
    return found


def test_with_innodb_alone_nobody_waits_and_the_position_is_told(server):
    with holds.opened(row(server), {}) as hold:
        with hold:
            assert not is_locked(server)
        assert hold.facts
        file, position = server.sql("SHOW MASTER STATUS").split("\t")[:2]
        assert (hold.facts["locked"], hold.facts["locked_seconds"], hold.facts["other_engines"]) == (False, None, {})
        assert hold.facts["binlog"]["file"] == file
        assert 0 < hold.facts["binlog"]["position"] <= int(position)
        assert hold.facts["binlog_exact"] is False
    assert not clients()


def test_other_tables_are_locked_for_the_length_of_the_block_alone(myisam):
    with holds.opened(row(myisam), {}) as hold:
        writes_at_once(myisam)
        with hold:
            assert is_locked(myisam)
            at = myisam.sql("SHOW MASTER STATUS; SELECT @@gtid_binlog_pos").split()
        writes_at_once(myisam)
        assert hold.facts
        assert hold.facts["other_engines"] == {"MyISAM": 1}
        assert hold.facts["binlog"] == {"file": at[0], "position": int(at[1]), "gtid": at[2]}
        assert (hold.facts["binlog_exact"], hold.facts["locked"]) == (True, True)
        assert 0 < hold.facts["locked_seconds"] < 10
    assert not clients()
    json.dumps(hold.facts)


def test_a_step_that_fails_releases_at_once(myisam):
    def fails() -> None:
        with hold:
            assert is_locked(myisam)
            raise wire.Refused("snapshot", "lvcreate: exit 5")

    with holds.opened(row(myisam), {}) as hold:
        with pytest.raises(wire.Refused, match="lvcreate: exit 5"):
            fails()
        writes_at_once(myisam)


@pytest.fixture
def busy(myisam) -> Iterator[None]:
    """Somebody's statement holds the tables for 20 s."""
    argv = ["mariadb", "--no-defaults", f"--socket={myisam.socket}", "--user=root", "shop"]
    text = "LOCK TABLES m WRITE; SELECT SLEEP(20) /* identified by 'secret' */"
    session = subprocess.Popen([*argv, f"--execute={text}"], stdout=subprocess.DEVNULL)
    wait_until(lambda: "SLEEP" in myisam.sql("SHOW FULL PROCESSLIST"), 10)
    yield
    session.kill()
    session.wait()
    for number in myisam.sql("SELECT id FROM information_schema.processlist WHERE info LIKE '%SLEEP(20)%'").split():
        myisam.client(f"--execute=KILL {number}")


def test_a_query_that_lasts_does_not_freeze_the_server(myisam, busy):
    began = time.monotonic()
    with pytest.raises(wire.Refused, match=r"within 1 s .*timeout exceeded.*root, shop, for \d+ s: SELECT") as refused:
        held(row(myisam, lock_seconds=1))
    assert time.monotonic() - began < 10
    assert refused.value.code == "hold"
    assert "secret" not in refused.value.message
    writes_at_once(myisam)
    assert not clients()


def test_a_session_that_was_killed_is_no_success(myisam):
    def kill() -> None:
        number = myisam.sql("SELECT id FROM information_schema.processlist WHERE command = 'Sleep'").split()[0]
        myisam.sql(f"KILL {number}")

    with pytest.raises(wire.Refused, match="was lost while"):
        held(row(myisam), kill)
    writes_at_once(myisam)


def test_what_lasts_too_long_is_let_go_and_no_success(myisam, monkeypatch):
    monkeypatch.setattr(mysql, "LONGEST_SECONDS", 1)

    def lasts() -> None:
        time.sleep(1.5)
        writes_at_once(myisam)

    with pytest.raises(wire.Refused, match="let go after 1 s"):
        held(row(myisam), lasts)


def test_a_given_login_is_shown_in_no_argument_and_no_environment(myisam):
    with holds.opened(row(myisam, **given()), {"database": PASSWORD}) as hold, hold:
        assert is_locked(myisam)
        seen = [path.read_bytes() for name in ("cmdline", "environ") for path in _of_clients(name)]
        assert len(seen) == 2
        assert not [words for words in seen if CANARY.encode() in words]
    with pytest.raises(wire.Refused, match="Access denied"):
        held(row(myisam, **given()), database="no")
    by_number = {"socket": None, "address": "127.0.0.1", "port": myisam.port}
    held(row(myisam, **given(), **by_number), lambda: writes_wait(myisam), database=PASSWORD)
    writes_at_once(myisam)


def _of_clients(name: str) -> list[Path]:
    found = [path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if path.read_bytes() in clients()]
    return [path / name for path in found]


def test_who_may_not_see_every_table_locks(server):
    """An account without SELECT is told of no tables: that is not the proof that there are none."""
    with holds.opened(row(server, **given("small")), {"database": PASSWORD}) as hold:
        with hold:
            assert is_locked(server)
        assert hold.facts
        assert (hold.facts["other_engines"], hold.facts["binlog"]) == (None, None)


def test_root_is_not_shown_to_a_server_of_an_ordinary_account(server, monkeypatch):
    monkeypatch.setattr("servers.remote.probes.databases.trusted", lambda engine, uid: False)
    with pytest.raises(wire.Refused, match="is not shown the login") as refused:
        holds.opened(row(server, login={"method": "debian.cnf"}), {}).__enter__()
    assert refused.value.code == "unsafe"


def test_what_is_no_hold_is_refused(server, monkeypatch):
    for bad in ("mysql", {"engine": "oracle"}, row(server, lock_seconds=0), row(server, login={"method": "guess"})):
        with pytest.raises(wire.Refused) as refused:
            holds.opened(bad, {}).__enter__()
        assert refused.value.code == "invalid"
    with pytest.raises(wire.Refused, match="not an address of this machine"):
        holds.opened({**row(server), **given(), "socket": None, "address": "192.0.2.1", "port": 1}, {}).__enter__()
    monkeypatch.setattr(policy, "load", lambda: {"read_roots": ["/srv"]})
    with pytest.raises(wire.Refused, match="does not allow backups of databases"):
        holds.opened(row(server), {}).__enter__()


_HELPER = """
import json, sys, time
from servers.remote import children, holds
from servers.remote.holds import mysql
children.use_guard(children.start_guard())
row, secrets, step = json.loads(sys.stdin.readline())
def pause(name):
    if name == step:
        print(name, flush=True)
        time.sleep(120)
real = mysql.Session.ask if row["engine"] == "mysql" else None
def ask(self, statement, seconds):
    if step == "locking" and statement.startswith("FLUSH"):
        print(step, flush=True)
    rows = real(self, statement, seconds)
    if statement.startswith("FLUSH"):
        pause("just locked")
    return rows
if real:
    mysql.Session.ask = ask
with holds.opened(row, secrets) as hold:
    pause("signed in")
    with hold:
        pause("held")
    pause("released")
"""


@contextmanager
def killed_at(row: dict[str, Any], step: str) -> Iterator[None]:
    """A process that holds, up to a step; killed there at the end of the block."""
    argv = [sys.executable, "-c", _HELPER]
    helper = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert helper.stdin
    assert helper.stdout
    try:
        helper.stdin.write(json.dumps([row, {}, step]).encode() + b"\n")
        helper.stdin.flush()
        assert helper.stdout.readline().decode().strip() == step
        yield
    finally:
        helper.kill()
        helper.wait()
        helper.stdin.close()
        helper.stdout.close()


@pytest.mark.parametrize("step", ["signed in", "just locked", "held", "released"])
def test_a_helper_that_is_killed_leaves_no_lock(myisam, step):
    with killed_at(row(myisam), step):
        assert is_locked(myisam) == (step in ("just locked", "held"))
    writes_at_once(myisam)
    wait_until(lambda: not clients(), 5)


def test_a_helper_that_is_killed_while_it_waits_for_the_lock_leaves_none(myisam, busy):
    with killed_at(row(myisam), "locking"):
        wait_until(lambda: "FLUSH TABLES" in myisam.sql("SHOW FULL PROCESSLIST"), 5)
    wait_until(lambda: "FLUSH TABLES" not in myisam.sql("SHOW FULL PROCESSLIST"), 5)
    writes_at_once(myisam)


# PostgreSQL


def test_postgresql_makes_a_checkpoint_and_one_that_is_down_stops_nothing():
    with private_place() as place:
        with postgresql.running(place / "da ta", place / "run") as cluster:
            before = cluster.sql("SELECT checkpoint_lsn FROM pg_control_checkpoint()")
            cluster.sql("CREATE TABLE t AS SELECT generate_series(1, 1000);")
            asked = {"engine": "postgresql", **cluster.where}
            with holds.opened(asked, {}) as hold, hold:
                assert cluster.sql("SELECT checkpoint_lsn FROM pg_control_checkpoint()") != before
            assert hold.facts
            assert (hold.facts["locked"], hold.facts["locked_seconds"], hold.facts["problem"]) == (False, None, None)
            assert hold.facts["checkpoint_seconds"] > 0
            with pytest.raises(wire.Refused, match="is not the account"):
                held({**asked, "owner": "nobody"})
        with holds.opened(asked, {}) as hold, hold:
            pass
        assert hold.facts
        assert "does not answer" in hold.facts["problem"]
        assert hold.facts["checkpoint_seconds"] is None


def test_a_hold_of_nothing_is_none():
    assert held(None) is None
