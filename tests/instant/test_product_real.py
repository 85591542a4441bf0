"""From an archive to an answer: found in its files, recipe, request, a server in a container."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backups.borg import view
from recovery.engines import find
from recovery.engines.base import Consistency, Found, Hints, Taken
from recovery.services import serving
from tests.instant.conftest import PASSPHRASE
from tests.support import mariadb, own_image, postgresql

pytestmark = pytest.mark.real

ROWS = 20_000


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="phpborg-product-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def repository(place: Path) -> Path:
    """Archives of two servers as a snapshot would hold them: of one moment, while they ran; a tablespace beside."""
    path = place / "repository"
    env = {"PATH": "/usr/bin:/bin", "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(place / "borg")}
    subprocess.run(["borg", "init", "-e", "repokey-blake2", str(path)], check=True, env=env, capture_output=True)
    space = postgresql.give(place / "a space,with signs")
    with postgresql.running(place / "pg", place / "s") as cluster:
        cluster.sql(f"CREATE TABLESPACE aside LOCATION '{space}'")
        cluster.sql(f"CREATE TABLE kettle TABLESPACE aside AS SELECT i AS id FROM generate_series(1, {ROWS}) i")
        cluster.process.send_signal(signal.SIGKILL)
        cluster.process.wait()
    with mariadb.running(place / "my", place / "m") as server:
        server.sql(
            "CREATE DATABASE shop; USE shop; CREATE TABLE shop.kettle (id INT PRIMARY KEY);"
            f"INSERT INTO shop.kettle SELECT seq FROM seq_1_to_{ROWS};"
            "CREATE TABLE shop.old (id INT) ENGINE=MyISAM; CREATE TABLE shop.aria (id INT) ENGINE=Aria;"
        )
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    for name, paths in (("pg", ["pg", space.name]), ("my", ["my"])):
        whole = [str(place / one) for one in paths]
        subprocess.run(["borg", "create", f"{path}::{name}", *whole], check=True, env=env, capture_output=True)
    return path


def look(repository: Path, archive: str, place: Path) -> Found:
    """What is in the archive, by a mount as a browsing page has it."""
    base, point = place / f"base-{archive}", place / f"mount-{archive}"
    base.mkdir(exist_ok=True)
    options = {"encryption": "repokey-blake2", "passphrase": PASSPHRASE, "base_dir": base}
    view.mount_view(repository, archive, point, options=("ignore_permissions",), **options)
    try:
        (found,) = find.find(point, Hints(taken=Taken.FROZEN)).found
        return found
    finally:
        view.unmount(point)


def psql(port: int, login: serving.Login, text: str) -> subprocess.CompletedProcess[str]:
    words = [
        str(postgresql.PROGRAMS / "psql"),
        "-XAt",
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-U",
        login.name,
        "postgres",
    ]
    env = {**os.environ, "PGPASSWORD": login.password}
    return subprocess.run([*words, "-c", text], capture_output=True, text=True, env=env, check=False)


def mysql(port: int, login: serving.Login, text: str) -> subprocess.CompletedProcess[str]:
    words = ["mariadb", "--no-defaults", "-N", "-B", "-h", "127.0.0.1", "-P", str(port), "-u", login.name, "-e", text]
    env = {**os.environ, "MYSQL_PWD": login.password}
    return subprocess.run(words, capture_output=True, text=True, env=env, check=False)


def digest(top: Path) -> str:
    """Of every byte below."""
    total = hashlib.sha256()
    for path in sorted(top.rglob("*")):
        total.update(str(path).encode() + (path.read_bytes() if path.is_file() else b""))
    return total.hexdigest()


@pytest.fixture
def serve(start, repository):
    """Start what is asked for an archive of `repository`."""

    def begin(asked: serving.Asked, archive: str):
        return start(repository=repository, archive=archive, asked=asked)

    return begin


def test_a_cluster_of_a_snapshot_with_a_tablespace_beside_it(engine, repository, place, serve):
    """Its tablespace is the container's alone: the one of this machine, at the same path, stays as it is."""
    found = look(repository, "pg", place)
    assert (found.version, found.consistency) == ("15", Consistency.CRASH)
    live = place / "a space,with signs"
    before = digest(live)
    asked, login = serving.request(found, own_image.postgresql(engine), read_only=True)
    session = serve(asked, "pg")
    port = session.until("ready")["port"]
    assert psql(port, login, "SELECT count(*) FROM kettle").stdout.strip() == str(ROWS)
    for text in ("INSERT INTO kettle VALUES (0)", "CREATE TABLE x ()", "COPY kettle FROM PROGRAM 'true'"):
        assert psql(port, login, text).returncode != 0
    session.finish()
    assert digest(live) == before


def test_a_server_of_mariadb_that_was_killed(engine, repository, place, serve):
    found = look(repository, "my", place)
    asked, login = serving.request(found, own_image.mariadb(engine), read_only=True)
    session = serve(asked, "my")
    port = session.until("ready")["port"]
    assert mysql(port, login, "SELECT count(*) FROM shop.kettle").stdout.strip() == str(ROWS)
    for text in (
        "INSERT INTO shop.kettle VALUES (0)",
        "INSERT INTO shop.old VALUES (0)",
        "CREATE TABLE shop.x (i INT)",
    ):
        assert mysql(port, login, text).returncode != 0
    assert "phpborg-tmp" not in mysql(port, login, "SHOW DATABASES").stdout
    # A sort of what does not fit into memory goes to the disk: the run directory is in this machine's memory.
    assert mysql(port, login, "SELECT @@tmpdir").stdout.strip() == "/phpborg/data/#phpborg-tmp"
    large = "SELECT a.id, REPEAT('x', 500) t FROM shop.kettle a ORDER BY RAND(), t LIMIT 19999, 1"
    assert mysql(port, login, "SET sort_buffer_size = 65536; " + large).returncode == 0
    session.finish()


def test_a_sandbox_may_be_written_and_is_thrown_away(engine, repository, place, serve):
    found = look(repository, "pg", place)
    asked, login = serving.request(found, own_image.postgresql(engine), read_only=False)
    session = serve(asked, "pg")
    port = session.until("ready")["port"]
    assert psql(port, login, "DELETE FROM kettle").stdout.strip() == f"DELETE {ROWS}"
    session.finish()
    session = serve(asked, "pg")
    port = session.until("ready")["port"]
    assert psql(port, login, "SELECT count(*) FROM kettle").stdout.strip() == str(ROWS)


def test_no_secret_is_in_what_can_be_shown(engine, repository, place):
    found = look(repository, "my", place)
    asked, login = serving.request(found, "mariadb:10.11", read_only=True)
    assert login.password not in repr((asked, login))
    assert login.password not in str(asked.args)
    assert login.password in asked.secrets["client"]
