"""MariaDB out of an archive: what a start and a scan write, what was not committed, and where a big sort goes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recovery.services import serving
from tests.instant.conftest import PASSPHRASE, Session
from tests.instant.test_product_real import look, mysql
from tests.support import mariadb, own_image

pytestmark = pytest.mark.real

ROWS = 100_000
TABLE_BYTES = ROWS * 1000
UPPER_BYTES = 10 << 20  # one part in a hundred of a gigabyte, however large the database is
CLIENTS = 16
# The name of a distributed transaction, as no text can hold it.
ODD = "X'00ff0a095c','é',7"


def wait_for_clean(server: mariadb.Server) -> None:
    """Every page is in its file: what a start writes after that is the start's own."""
    server.sql("SET GLOBAL innodb_max_dirty_pages_pct = 0")
    dirty = "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'"
    deadline = time.monotonic() + 120
    while server.sql(dirty).split()[-1] != "0":
        assert time.monotonic() < deadline
        time.sleep(0.2)


def kill(server: mariadb.Server) -> None:
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()


def open_client(server: mariadb.Server) -> subprocess.Popen[str]:
    words = ["mariadb", "--no-defaults", f"--socket={server.socket}", "--user=root", "-n", "-N", "shop"]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)


def leave_open(server: mariadb.Server) -> subprocess.Popen[str]:
    """A large change that is not committed, and in the files as far as its log is."""
    client = open_client(server)
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write("BEGIN; UPDATE pending SET word = 'not committed'; SELECT 'changed';\n")
    client.stdin.flush()
    assert client.stdout.readline().strip() == "changed"
    server.sql("CREATE TABLE shop.later (id INT)")  # flushes the log
    return client


def insert(client: subprocess.Popen[str]) -> None:
    assert client.stdin is not None
    try:
        while True:
            client.stdin.write("INSERT INTO busy (word) VALUES ('x');\n")
            client.stdin.flush()
    except (OSError, ValueError):  # its server was killed
        return


def fill_busy(server: mariadb.Server) -> None:
    """Killed while many commit by the binary log, and one has not committed."""
    server.sql(
        f"CREATE DATABASE shop; USE shop; CREATE TABLE pending (id INT PRIMARY KEY, word CHAR(100));"
        f"INSERT INTO pending SELECT seq, 'committed' FROM seq_1_to_{ROWS};"
        "CREATE TABLE busy (id INT AUTO_INCREMENT PRIMARY KEY, word CHAR(100));"
        "CREATE TABLE doubt (id INT PRIMARY KEY); INSERT INTO doubt VALUES (1)"
    )
    server.sql("XA START 'one'; INSERT INTO shop.doubt VALUES (2); XA END 'one'; XA PREPARE 'one'")
    server.sql(
        f"XA START {ODD}; DELETE FROM shop.doubt WHERE id = 1; INSERT INTO shop.doubt VALUES (3);"
        f"XA END {ODD}; XA PREPARE {ODD}"
    )
    clients = [open_client(server) for _ in range(CLIENTS)]
    writers = [threading.Thread(target=insert, args=(client,), daemon=True) for client in clients]
    for writer in writers:
        writer.start()
    one = leave_open(server)
    while int(server.sql("SELECT COUNT(*) FROM shop.busy")) < 200:
        time.sleep(0.1)
    kill(server)
    for client in (*clients, one):
        client.kill()
        client.wait()


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="phpborg-mysql-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def repository(place: Path) -> Path:
    """`quiet`: a large table, all in its files. `busy`: killed in the middle of everything."""
    path = place / "repository"
    env = {"PATH": "/usr/bin:/bin", "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(place / "borg")}
    subprocess.run(["borg", "init", "-e", "repokey-blake2", str(path)], check=True, env=env, capture_output=True)
    with mariadb.running(place / "quiet", place / "q", "--innodb-flush-log-at-trx-commit=0") as server:
        server.sql(
            "CREATE DATABASE shop; USE shop; CREATE TABLE shop.kettle (id INT PRIMARY KEY, tea VARCHAR(1000));"
            f"INSERT INTO shop.kettle SELECT seq, CONCAT(MD5(seq), REPEAT('tea.', 242)) FROM seq_1_to_{ROWS}"
        )
        wait_for_clean(server)
        kill(server)
    durable = ("--innodb-flush-log-at-trx-commit=1", "--log-bin=binlog", "--sync-binlog=1")
    with mariadb.running(place / "busy", place / "b", *durable) as server:
        fill_busy(server)
    for name in ("quiet", "busy"):
        subprocess.run(
            ["borg", "create", f"{path}::{name}", str(place / name)], check=True, env=env, capture_output=True
        )
    return path


@pytest.fixture
def serve(engine, repository, place, start):
    """Start a session of an archive; answers it with its port and login."""

    def begin(archive: str, *, read_only: bool = True) -> tuple[Session, int, serving.Login]:
        found = look(repository, archive, place)
        asked, login = serving.request(found, own_image.mariadb(engine), read_only=read_only)
        session = start(repository=repository, archive=archive, asked=asked)
        return session, session.until("ready", 120)["port"], login

    return begin


def upper(session: Session) -> int:
    """The bytes of the layer, as they are told once they stand still."""
    time.sleep(8)  # a layer makes what was written durable every few seconds
    return int(session.rows[-1]["upper_bytes"])


def test_a_start_writes_little_and_a_scan_nothing(serve):
    session, port, login = serve("quiet")
    deadline = time.monotonic() + 60  # files that the first run threw away are let go of a little later
    while (started := upper(session)) >= UPPER_BYTES:
        assert time.monotonic() < deadline, session.rows[-1]
    assert mysql(port, login, "SELECT COUNT(*), MAX(LENGTH(tea)) FROM shop.kettle").stdout.split() == ["100000", "1000"]
    assert session.rows[-1]["read_bytes"] > 0
    assert upper(session) - started < TABLE_BYTES / 100


def test_a_big_sort_goes_to_the_disk_of_the_layer(serve):
    session, port, login = serve("quiet")
    before = upper(session)
    query = "SELECT COUNT(*), SLEEP(20) FROM (SELECT tea FROM shop.kettle ORDER BY tea DESC LIMIT 99999) AS sorted"
    asking = threading.Thread(target=mysql, args=(port, login, query))
    asking.start()
    most = before
    while asking.is_alive():
        most = max(most, int(session.rows[-1]["upper_bytes"]))
        time.sleep(0.2)
    asking.join()
    assert most - before > TABLE_BYTES / 2


def test_what_was_not_committed_is_not_seen_and_what_was_about_to_be_stops_nobody(serve):
    _session, port, login = serve("busy")
    words = mysql(port, login, "SELECT word, COUNT(*) FROM shop.pending GROUP BY word").stdout.split()
    assert words == ["committed", str(ROWS)]
    assert int(mysql(port, login, "SELECT COUNT(*) FROM shop.busy").stdout) >= 200


def test_what_clients_had_prepared_is_neither_shown_nor_lost(serve):
    """Nobody saw it on the server; in a sandbox it is still in doubt, and can be committed by its name."""
    session, port, login = serve("busy")
    assert session.rows[-1]["prepared"] == 2
    assert mysql(port, login, "SELECT id FROM shop.doubt").stdout.split() == ["1"]
    assert mysql(port, login, "XA RECOVER").stdout == ""
    session.finish()
    session, port, login = serve("busy", read_only=False)
    assert session.rows[-1]["prepared"] == 2
    assert mysql(port, login, "SELECT id FROM shop.doubt").stdout.split() == ["1"]
    assert len(mysql(port, login, "XA RECOVER FORMAT='SQL'").stdout.splitlines()) == 2
    assert mysql(port, login, f"XA ROLLBACK 'one'; XA COMMIT {ODD}").returncode == 0
    assert mysql(port, login, "SELECT id FROM shop.doubt").stdout.split() == ["3"]


def test_a_session_of_a_server_without_such_transactions_counts_none(serve):
    session, _port, _login = serve("quiet")
    assert session.rows[-1]["prepared"] == 0
