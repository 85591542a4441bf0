"""The prepared copy: made under writes and started, or refused; nothing is left of it."""

from __future__ import annotations

import json
import pwd
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from servers import errors
from servers.remote import places, wire
from servers.remote.snapshots import mariabackup
from servers.transport import host_for
from servers.transport.base import Host
from tests.support import mariadb
from tests.support.sshd import Lab, local_target, wait_until

pytestmark = pytest.mark.real

PASSWORD = "pa'ss \"w\\ord# é"
_RIGHTS = "RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR"
_WRITE = "BEGIN; INSERT INTO shop.ledger SELECT n+1, 'text' FROM shop.total; UPDATE shop.total SET n=n+1; COMMIT;"


@pytest.fixture(scope="module")
def here(lab: Lab) -> Host:
    """This machine, as root."""
    return host_for(local_target(lab))


@pytest.fixture(scope="module")
def server() -> Iterator[mariadb.Server]:
    """A data directory with a blank, tables of three engines, a table that its writer fills."""
    with tempfile.TemporaryDirectory(prefix="phpborg-copy-") as name:
        place = Path(name)
        place.chmod(0o755)
        with mariadb.running(place / "data dir", place / "run") as made:
            secret = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
            made.sql(
                "CREATE DATABASE shop; USE shop; CREATE TABLE t (n INT PRIMARY KEY, h CHAR(32)) ENGINE=InnoDB;"
                "INSERT INTO t SELECT seq, MD5(seq) FROM seq_1_to_20000;"
                "CREATE TABLE ledger (n INT PRIMARY KEY, text TEXT) ENGINE=InnoDB;"
                "CREATE TABLE total (n INT) ENGINE=InnoDB; INSERT INTO total VALUES (0);"
                "CREATE TABLE m (n INT) ENGINE=MyISAM; INSERT INTO m VALUES (1);"
                "CREATE TABLE a (n INT) ENGINE=Aria; INSERT INTO a VALUES (2); CREATE DATABASE `../up`;"
                f"CREATE USER copy@localhost IDENTIFIED BY '{secret}'; GRANT {_RIGHTS} ON *.* TO copy@localhost;"
            )
            yield made


@contextmanager
def writing(server: mariadb.Server) -> Iterator[None]:
    """Somebody adds row after row, each in one transaction with their number."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            server.sql(_WRITE)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def volume(server: mariadb.Server, **more: Any) -> dict[str, Any]:
    return {"kind": "mariabackup", "datadir": str(server.data), **server.where, **more}


def ask(host: Host, action: str, token: str, args: dict[str, Any], **more: Any) -> dict[str, Any]:
    return host.call("snapshot", {"action": action, "token": token, **args}, timeout=300, **more)


def processes() -> list[bytes]:
    """Command lines and environments of all that runs."""
    found = []
    for path in [*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")]:
        with suppress(OSError):
            found.append(path.read_bytes())
    return found


def is_clean(server: mariadb.Server, token: str) -> None:
    """Nothing is left of it, nobody works on it any more, and everybody may write at once."""
    assert not [words for words in processes() if token.encode() in words]
    assert [path.name for path in server.data.parent.iterdir() if "phpborg" in path.name] == []
    assert not Path(f"{places.RUN}/snapshot-{token}").exists()
    began = time.monotonic()
    server.sql(
        "SET lock_wait_timeout = 5; INSERT INTO shop.m VALUES (1); CREATE TABLE shop.x (n INT); DROP TABLE shop.x"
    )
    assert time.monotonic() - began < 2


def test_a_copy_under_writes_starts_as_it_is_and_is_one_moment_of_the_writer(server, here, token, place):
    args = volume(server)
    number = "SELECT n FROM shop.total"
    with writing(server):
        before = int(server.sql(number))
        wait_until(lambda: int(server.sql(number)) > before, 10)
        made = ask(here, "make", token, args)
        after = int(server.sql(number))
    try:
        view = Path(made["mountpoint"])
        assert (made["origins"], made["type"]) == ([str(server.data)], "copy")
        assert ask(here, "state", token, args) == {"exists": True, "valid": True, "used_percent": None}
        there = server.data.stat()
        owners = {(path.lstat().st_uid, path.lstat().st_gid) for path in [view, *view.rglob("*")]}
        assert owners == {(there.st_uid, there.st_gid)}
        assert there.st_uid == pwd.getpwnam(mariadb.ACCOUNT).pw_uid
        assert view.stat().st_mode == there.st_mode
        private = Path(made["device"]).stat()
        assert (private.st_uid, private.st_mode & 0o777) == (0, 0o700)
        with pytest.raises(OSError, match="Read-only file system"):
            (view / "x").touch()
        subprocess.run(["cp", "-a", str(view), str(place / "copy")], check=True)
    finally:
        removed = ask(here, "remove", token, args)["removed"]
    assert removed == [made["mountpoint"], made["name"]]
    assert ask(here, "remove", token, args)["removed"] == []
    assert ask(here, "state", token, args) == {"exists": False, "valid": False, "used_percent": None}
    is_clean(server, token)
    with mariadb.running(place / "copy", place / "again") as again:
        tables = ", ".join(f"shop.{name}" for name in ("t", "ledger", "total", "m", "a"))
        checked = again.sql(f"CHECK TABLE {tables} EXTENDED").splitlines()
        assert [line.split("\t")[-1] for line in checked] == ["OK"] * 5
        same = "CHECKSUM TABLE shop.t, shop.a EXTENDED; SHOW DATABASES; SHOW GRANTS FOR copy@localhost"
        assert again.sql(same) == server.sql(same)
        asked = "SELECT COUNT(*), MAX(n), (SELECT n FROM shop.total) FROM shop.ledger"
        counted, last, total = map(int, again.sql(asked).split())
        assert counted == last == total
        assert before < total <= after


def test_a_given_login_reaches_the_tool_and_nobody_else(server, here, token):
    seen: list[bytes] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            seen.extend(processes())

    watcher = threading.Thread(target=look)
    watcher.start()
    args = volume(server, login={"method": "given", "user": "copy"})
    try:
        ask(here, "make", token, args, secrets={"database": PASSWORD})
    finally:
        over.set()
        watcher.join()
        ask(here, "remove", token, args)
    assert any(b"mariadb-backup" in one and b"--backup" in one for one in seen)
    assert not any(b"pa'ss" in one for one in seen)
    is_clean(server, token)


def test_a_login_that_may_not_is_told_in_the_words_of_the_tool(server, here, token):
    args = volume(server, login={"method": "given", "user": "copy"})
    with pytest.raises(
        errors.SnapshotFailed, match=r"(?s)mariadb-backup --backup ended with exit 1: .*Access denied for user"
    ):
        ask(here, "make", token, args, secrets={"database": "wrong"})
    is_clean(server, token)
    server.sql("REVOKE PROCESS ON *.* FROM copy@localhost")
    try:
        with pytest.raises(errors.SnapshotFailed, match="PROCESS"):
            ask(here, "make", token, args, secrets={"database": PASSWORD})
    finally:
        server.sql("GRANT PROCESS ON *.* TO copy@localhost")
    is_clean(server, token)


def test_without_room_nothing_is_begun(here, token):
    with tempfile.TemporaryDirectory(prefix="phpborg-full-") as name:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m,mode=755", "tmpfs", name], check=True)
        try:
            with mariadb.running(Path(name, "data"), Path(name, "run")) as small:
                args = volume(small)
                ballast = shutil.disk_usage(name).free - (60 << 20)
                subprocess.run(["fallocate", "-l", str(ballast), f"{name}/ballast"], check=True)
                with pytest.raises(errors.SnapshotNoRoom, match=r"needs \d+ bytes beside it and \d+ are free"):
                    ask(here, "make", token, args)
                assert sorted(path.name for path in Path(name).iterdir()) == ["ballast", "data", "run"]
        finally:
            subprocess.run(["umount", name], check=True)


def test_a_server_of_an_ordinary_account_is_not_copied_by_root(place):
    socket = place / "s"
    listen = (
        "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen();"
        "print(flush=True); time.sleep(60)"
    )
    place.chmod(0o777)
    # The system's Python: a checkout may lie where that account cannot go.
    words = ["/usr/bin/python3", "-c", listen, str(socket)]
    listener = subprocess.Popen(words, stdout=subprocess.PIPE, user="nobody", cwd="/")
    assert listener.stdout
    try:
        listener.stdout.readline()
        where = {"socket": str(socket), "flavour": "mariadb", "login": {"method": "socket", "user": "root"}}
        with pytest.raises(wire.Refused, match="the account nobody is not copied by root"):
            mariabackup.volume({"action": "make", "datadir": "/srv/x", **where}, {})
    finally:
        listener.kill()
        listener.communicate()


# Ended on the way


_MAKER = """
import json, sys, time
from servers.remote import children, snapshots, wire
from servers.remote.snapshots import mariabackup
children.use_guard(children.start_guard())
request, step = json.loads(sys.stdin.readline())
def pause(name):
    if name == step:
        print(name, flush=True)
        time.sleep(120)
real, give, show = mariabackup._run, mariabackup._give, mariabackup.show
def run(argv, *rest):
    word = "prepare" if "--prepare" in argv else "backup"
    pause("before " + word)
    if step == "in " + word:
        # It does not end when it is told to.
        argv = ["sh", "-c", 'trap "" TERM; echo "$0" > /proc/$PPID/fd/1; sleep 2; exec "$@"', step, *argv]
    real(argv, *rest)
def given(*args):
    pause("prepared")
    give(*args)
def shown(*args):
    pause("ready")
    show(*args)
    pause("shown")
mariabackup._run, mariabackup._give, mariabackup.show = run, given, shown
snapshots.snapshot(wire.Request(json.dumps(request).encode()), wire.Control(60))
pause("answered")
"""


def killed_at(args: dict[str, Any], step: str) -> None:
    """A helper that makes a copy, killed at this step."""
    argv = [sys.executable, "-c", _MAKER]
    helper = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert helper.stdin
    assert helper.stdout
    try:
        request = {"nonce": "0" * 16, "v": 1, "verb": "snapshot", "args": args}
        helper.stdin.write(json.dumps([request, step]).encode() + b"\n")
        helper.stdin.flush()
        said = [helper.stdout.readline().decode().strip()]
        if step == "answered":
            said = [helper.stdout.readline().decode().strip()]
        assert said == [step]
    finally:
        helper.kill()
        helper.communicate()


STEPS = ["before backup", "in backup", "before prepare", "in prepare", "prepared", "ready", "shown", "answered"]


@pytest.mark.parametrize("step", STEPS)
def test_a_helper_that_is_killed_leaves_what_a_removal_takes_away(server, here, token, step):
    args = volume(server)
    killed_at({"action": "make", "token": token, **args}, step)
    assert ask(here, "state", token, args)["valid"] is (step in ("shown", "answered"))
    removed = ask(here, "remove", token, args)["removed"]
    assert removed[-1] == f"phpborg-{token}"
    is_clean(server, token)


def test_a_copy_that_is_stopped_while_it_waits_is_gone(server, here, token):
    """The tool waits for a table that somebody has locked."""
    words = ["mariadb", "--no-defaults", f"--socket={server.socket}", "--user=root"]
    hold = subprocess.Popen(words, stdin=subprocess.PIPE, bufsize=0)
    hold.stdin.write(b"LOCK TABLES shop.m WRITE;\n")
    stop = threading.Event()

    def when_it_waits() -> None:
        asked = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'BACKUP STAGE%' AND time > 0"
        wait_until(lambda: server.sql(asked) != "0", 30)
        stop.set()

    watcher = threading.Thread(target=when_it_waits)
    watcher.start()
    try:
        with pytest.raises(errors.RemoteStopped):
            ask(here, "make", token, volume(server), stop=stop)
        # Also what the tool was still waiting for is given up: nobody waits behind it.
        began = time.monotonic()
        server.sql(f"SET lock_wait_timeout = 5; {_WRITE} CREATE TABLE shop.y (n INT); DROP TABLE shop.y")
        assert time.monotonic() - began < 2
    finally:
        watcher.join()
        hold.kill()
        hold.communicate()
    is_clean(server, token)


def test_a_removal_never_crosses_a_mount(server, here, token):
    args = volume(server)
    made = ask(here, "make", token, args)
    inside = Path(made["device"], "data", "shop", "mounted")
    inside.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(inside)], check=True)
    try:
        (inside / "precious").touch()
        with pytest.raises(errors.UnsafePath, match="something is mounted below"):
            ask(here, "remove", token, args)
        assert (inside / "precious").exists()
    finally:
        subprocess.run(["umount", str(inside)], check=True)
    assert ask(here, "remove", token, args)["removed"] == [made["name"]]
    is_clean(server, token)
