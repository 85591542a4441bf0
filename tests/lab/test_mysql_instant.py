"""MySQL itself out of an archive: killed amid commits by its binary log, with open and with prepared transactions."""

from __future__ import annotations

import os
import pty
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from recovery.engines import find
from recovery.engines.base import Consistency, Product
from recovery.models import Session as Row
from recovery.services import connecting, serving
from tests.instant.conftest import PASSPHRASE, host, lab, start
from tests.instant.test_product_real import look
from tests.lab import images
from tests.lab.engine import Engine
from tests.lab.mysqld import ROWS, fill, new_place, running

__all__ = ["host", "lab", "start"]
pytestmark = pytest.mark.lab
SECONDS = 300
WRITES = (
    "INSERT INTO shop.kettle VALUES (0, 'x')",
    "INSERT INTO shop.isam VALUES (2)",
    "CREATE TABLE shop.fresh (id INT)",
    "CREATE TABLE shop.fresh (id INT) ENGINE=MyISAM",
    "ALTER TABLE shop.kettle ADD COLUMN more INT",
    "DROP TABLE shop.kettle",
    "DROP DATABASE shop",
    "CREATE USER other@localhost",
    "LOAD DATA INFILE '/phpborg/run/rows' INTO TABLE shop.kettle (id)",
    "SET GLOBAL innodb_read_only = 0",
)
# The strongest may change these: InnoDB goes on refusing, and nobody is handed such an account.
SETTINGS = ("SET GLOBAL super_read_only = 0", "SET GLOBAL read_only = 0")
OF_INNODB = (*WRITES[:1], WRITES[2], *WRITES[4:6])
FILE = "SELECT -1 INTO OUTFILE '/phpborg/run/rows'"


@dataclass(frozen=True)
class Archived:
    """A repository, the rows that clients were told to be committed, and all that its own server then has."""

    repository: Path
    told: frozenset[int]
    rows: frozenset[int]


@pytest.fixture(scope="module")
def archived(engine: Engine) -> Iterator[Archived]:
    """With the archive "mysql": a directory as a snapshot would hold it."""
    place = new_place(engine)
    with running(engine, place) as server:
        told = fill(server)
    path = place / "repository"
    env = {"PATH": "/usr/bin:/bin", "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(place / "borg")}
    subprocess.run(["borg", "init", "-e", "repokey-blake2", str(path)], check=True, env=env, capture_output=True)
    subprocess.run(["borg", "create", f"{path}::mysql", "data"], check=True, env=env, cwd=place, capture_output=True)
    # What the archive should show, by the server itself as it starts after the kill.
    with running(engine, place) as server:
        rows = server.sql("SELECT id FROM shop.busy WHERE word = 'x'").split()
        assert len(server.sql("XA RECOVER CONVERT XID").splitlines()) == 2
    yield Archived(path, frozenset(told), frozenset(map(int, rows)))
    shutil.rmtree(place)


@dataclass
class Asking:
    """A running session, and how the database's own client reaches it through the port of this machine."""

    engine: Engine
    port: int
    login: serving.Login

    def client(self, text: str, *words: str, user: str = "") -> subprocess.CompletedProcess[str]:
        head = ["mysql", "--no-defaults", "-NB", "-h", "127.0.0.1", "-P", str(self.port), "-u", user or self.login.name]
        run = ["run", "--rm", "--network=host", "--env", "MYSQL_PWD", images.MYSQL.tag]
        argv = self.engine.client(*run, *head, *words, "-e", text)
        env = {**os.environ, "MYSQL_PWD": self.login.password}
        return subprocess.run(argv, capture_output=True, text=True, env=env, check=False)

    def sql(self, text: str) -> str:
        done = self.client(text)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def with_strongest(asked: serving.Asked, found) -> serving.Asked:
    """Beside our login an account that may do everything, to show that it is the server that refuses."""
    login = find.engine_of(found).login(found, name="strongest", password="x", read_only=False)
    lines = [line for line in login.decode().splitlines(keepends=True) if line.startswith(("CREATE", "GRANT"))]
    return serving.Asked(asked.args, {**asked.secrets, "login": asked.secrets["login"] + "".join(lines)})


def as_typed(engine: Engine, line: str, password: str, text: str) -> str:
    """The command line as a person runs it in a terminal, who types the password and then a statement."""
    ours, theirs = pty.openpty()
    words = ["run", "--rm", "--interactive", "--tty", "--network=host", images.MYSQL.tag, *shlex.split(line)]
    process = subprocess.Popen(
        engine.client(*words), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    said = bytearray()

    def read() -> None:
        with suppress(OSError):
            while chunk := os.read(ours, 4096):
                said.extend(chunk)

    reader = threading.Thread(target=read)
    reader.start()

    def until(word: bytes) -> None:
        deadline = time.monotonic() + 30
        while word not in said:
            assert time.monotonic() < deadline, bytes(said)
            assert process.poll() is None, bytes(said)
            time.sleep(0.05)

    until(b"assword:")
    os.write(ours, f"{password}\n".encode())
    until(b"mysql>")
    os.write(ours, f"{text}\nexit\n".encode())
    process.wait(30)
    reader.join(10)
    os.close(ours)
    return said.decode(errors="replace")


def test_only_what_was_committed_is_seen_and_every_write_is_refused(engine, archived, tmp_path_factory, start):
    found = look(archived.repository, "mysql", tmp_path_factory.mktemp("look"))
    assert (found.product, found.consistency) == (Product.MYSQL, Consistency.CRASH)
    version = engine.docker("run", "--rm", "--network=none", images.MYSQL.tag, "mysqld", "--version").stdout
    assert f"Ver {found.version}" in version
    asked, login = serving.request(found, images.MYSQL.tag, read_only=True, with_adminer=False)
    session = start(repository=archived.repository, archive="mysql", asked=with_strongest(asked, found))
    row = session.until("ready", SECONDS)
    asking = Asking(engine, row["port"], login)
    assert asking.sql("SELECT tea, COUNT(*) FROM shop.kettle GROUP BY tea").split() == ["committed", str(ROWS)]
    rows = frozenset(map(int, asking.sql("SELECT id FROM shop.busy WHERE word = 'x'").split()))
    assert archived.told <= rows
    assert rows == archived.rows
    # What two clients had prepared was seen by nobody.
    assert asking.sql("SELECT id FROM shop.doubt") == "1"
    assert row["prepared"] == 2
    assert asking.sql("XA RECOVER") == ""
    assert asking.client(FILE).returncode != 0
    strongest = Asking(engine, row["port"], serving.Login("strongest", "x", b""))
    strongest.sql(FILE)
    for text in WRITES:
        assert asking.client(text).returncode != 0, text
        refused = strongest.client(text)
        assert "read" in refused.stderr.lower().replace("-", " "), (text, refused)
    assert asking.client("SELECT 1", user="strong").returncode != 0
    assert asking.client("SELECT 1", user="root").returncode != 0
    assert "phpborg-tmp" not in asking.sql("SHOW DATABASES")
    assert asking.sql("SELECT @@read_only, @@super_read_only, @@innodb_read_only").split() == ["1", "1", "1"]
    assert asking.sql("SELECT @@event_scheduler, @@log_bin") in ("OFF\t0", "DISABLED\t0")
    for text in SETTINGS:
        assert asking.client(text).returncode != 0, text
        strongest.sql(text)
    for text in OF_INNODB:
        assert strongest.client(text).returncode != 0, text
    assert asking.sql("SELECT COUNT(*) FROM shop.kettle") == str(ROWS)
    nothing_is_left(session)


def test_the_lines_that_are_shown_reach_it(engine, archived, tmp_path_factory, start):
    """In a terminal, by MySQL's own client and by MariaDB's, with TLS and without."""
    found = look(archived.repository, "mysql", tmp_path_factory.mktemp("look"))
    asked, login = serving.request(found, images.MYSQL.tag, read_only=True, with_adminer=False)
    session = start(repository=archived.repository, archive="mysql", asked=asked)
    port = session.until("ready", SECONDS)["port"]
    shown = connecting.connection_of(Row(product=str(found.product), port=port, login=login.name))
    assert shown is not None
    assert " 20000 |" in as_typed(engine, shown.command, login.password, "SELECT COUNT(*) FROM shop.kettle;")
    asking = Asking(engine, port, login)
    for words in ((), ("--ssl-mode=DISABLED",), ("--ssl-mode=REQUIRED",)):
        done = asking.client("SELECT 1", *words)
        assert done.stdout == "1\n", (words, done.stderr)
    wrong = Asking(engine, port, serving.Login(login.name, "x" * 24, b""))
    assert wrong.client("SELECT 1").returncode != 0
    theirs = ["mariadb", *shlex.split(shown.command)[1:], "--batch", "-N", "-e", "SELECT 1"]
    words = [word for word in theirs if word != "-p"]
    env = {**os.environ, "MYSQL_PWD": login.password}
    done = subprocess.run(words, capture_output=True, text=True, env=env, check=False)
    assert done.stdout == "1\n", done.stderr
    nothing_is_left(session)


def test_a_sandbox_is_written_and_keeps_what_was_in_doubt(engine, archived, tmp_path_factory, start):
    found = look(archived.repository, "mysql", tmp_path_factory.mktemp("look"))
    asked, login = serving.request(found, images.MYSQL.tag, read_only=False, with_adminer=False)
    session = start(repository=archived.repository, archive="mysql", asked=asked)
    row = session.until("ready", SECONDS)
    asking = Asking(engine, row["port"], login)
    assert row["prepared"] == 2
    assert asking.sql("SELECT id FROM shop.doubt") == "1"
    assert len(asking.sql("XA RECOVER CONVERT XID").splitlines()) == 2
    asking.sql("XA COMMIT 'one'; XA ROLLBACK X'00ff0a095c', 'é', 7")
    assert asking.sql("SELECT id FROM shop.doubt").split() == ["1", "2"]
    assert asking.sql("SELECT tea, COUNT(*) FROM shop.kettle GROUP BY tea").split() == ["committed", str(ROWS)]
    asking.sql("DROP TABLE shop.kettle; INSERT INTO shop.isam VALUES (2); CREATE TABLE shop.fresh (id INT)")
    nothing_is_left(session)
    session = start(repository=archived.repository, archive="mysql", asked=asked)
    asking = Asking(engine, session.until("ready", SECONDS)["port"], login)
    assert asking.sql("SELECT COUNT(*) FROM shop.kettle") == str(ROWS)
    nothing_is_left(session)


def nothing_is_left(session) -> None:
    session.finish()
    assert session.error is None
    stack = serving_places(session.token)
    assert [path for path in stack if os.path.lexists(path)] == []


def serving_places(token: str) -> list[str]:
    return [f"/var/lib/phpborg/instant/{token}", f"/run/phpborg/instant-{token}"]
