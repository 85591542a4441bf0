"""Copies of MariaDB's files under writes, restored by the product, started by exactly the commands that it shows."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.utils import translation

from backups.models import Repository
from recovery.services.next_commands import Command
from servers.models import Server
from tests.backups.conftest import RunJob, local_server, pool, real_repository, run_job
from tests.backups.test_database_backups import MakeDatabaseJob, make, proven, writing
from tests.lab.loops import Place
from tests.lab.restoring import WHOLE, Run, here, opened, out, restored, wait_for
from tests.support import mariadb

__all__ = ["local_server", "make", "out", "pool", "real_repository", "run_job"]
pytestmark = pytest.mark.lab
_SHOP = (
    "CREATE DATABASE shop; USE shop; CREATE TABLE t (n INT PRIMARY KEY, h CHAR(32));"
    "INSERT INTO t SELECT seq, MD5(seq) FROM seq_1_to_20000;"
    "CREATE TABLE busy (n INT AUTO_INCREMENT PRIMARY KEY, total BIGINT);"
    "CREATE TABLE isam (n INT PRIMARY KEY, h CHAR(32)) ENGINE=MyISAM; INSERT INTO isam SELECT * FROM t;"
    "CREATE FUNCTION twice(i INT) RETURNS INT DETERMINISTIC RETURN i * 2; CREATE PROCEDURE p() SELECT twice(21);"
    "CREATE TRIGGER r BEFORE INSERT ON t FOR EACH ROW SET NEW.h = MD5(NEW.n);"
    "CREATE USER reader@localhost IDENTIFIED BY 'pa''ss'; GRANT SELECT ON shop.t TO reader@localhost"
)
_EQUAL = (
    "SELECT COUNT(*), SUM(CRC32(h)) FROM shop.t",
    "SELECT COUNT(*), SUM(CRC32(h)) FROM shop.isam",
    "SHOW GRANTS FOR reader@localhost",
    "SELECT routine_name, routine_type FROM information_schema.routines WHERE routine_schema = 'shop' ORDER BY 1",
    "CALL shop.p()",
    "SELECT action_statement FROM information_schema.triggers WHERE trigger_schema = 'shop'",
)
_WRITE = "INSERT INTO shop.busy (total) SELECT COUNT(*) FROM shop.busy"
_BUSY = "SELECT COUNT(*) = MAX(total) + 1, COUNT(*) FROM shop.busy"


@contextmanager
def started(commands: list[Command]) -> Iterator[Callable[[str], str]]:
    """The restored server: its commands as they are shown, the last but one in a terminal of its own."""
    *before, start, show = [command.argv for command in commands if command.argv]
    for argv in before:
        here(argv)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(start, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")

        def answers() -> bool:
            log.seek(0)
            assert process.poll() is None, log.read().decode(errors="replace")
            return subprocess.run(show, capture_output=True, cwd="/").returncode == 0

        try:
            wait_for(answers, "it does not answer", 60)
            assert "shop" in here(show)
            yield lambda text: here((*show[:-1], "-NB", f"--execute={text}")).strip()
        finally:
            process.terminate()
            process.wait(60)


def told(server: mariadb.Server) -> dict[str, str]:
    return {question: server.sql(question) for question in _EQUAL}


@pytest.mark.parametrize(
    ("method", "selection"),
    [("snapshot", None), ("snapshot", WHOLE), ("mariabackup", None)],
    ids=["snapshot", "whole archive of a snapshot", "prepared copy"],
)
def test_a_copy_starts_by_the_commands_that_are_shown(
    btrfs_place: Place,
    out: Path,
    local_server: Server,
    make: MakeDatabaseJob,
    run_job: RunJob,
    run_pending: Run,
    method: str,
    selection: list[str] | None,
    real_repository: Repository,
) -> None:
    """On btrfs, in a directory with a blank; users, routines and tables of both engines are there, unharmed."""
    data = btrfs_place.subvolume / "my data"
    with mariadb.running(data, out / "run") as server:
        server.sql(_SHOP)
        expected = told(server)
        job = make("mysql", server.socket, method, config_files=False)
        with writing(lambda: server.sql(_WRITE)):
            wait_for(lambda: int(server.sql("SELECT COUNT(*) FROM shop.busy")) > 20, "nothing is written")
            least = int(server.sql("SELECT COUNT(*) FROM shop.busy"))
            archive = proven(run_job(job))
            most = int(server.sql("SELECT COUNT(*) FROM shop.busy"))
        commands = restored(archive, local_server, str(out / "put back é"), run_pending, selection)
        assert [command.sentence for command in commands if not command.argv] == []
        with started(commands) as sql:
            assert {question: sql(question) for question in _EQUAL} == expected
            whole, count = sql(_BUSY).split()
            assert (whole, least <= int(count) <= most + 1) == ("1", True), (least, count, most)
            checked = sql("CHECK TABLE shop.t, shop.busy, shop.isam, mysql.global_priv, mysql.proc EXTENDED")
            assert [line.split("\t")[-1] for line in checked.splitlines()] == ["OK"] * 5
            assert sql("SELECT @@datadir").startswith(str(out / "put back é"))
            # The one that runs is another one, and nobody's network is used.
            assert sql("SELECT @@skip_networking") == "1"
            sql("DROP TABLE shop.isam")
        assert told(server) == expected
    assert os.listdir(btrfs_place.path) == [btrfs_place.subvolume.name]


def test_what_lies_elsewhere_is_not_shared_with_the_server_that_runs(
    btrfs_place: Place,
    out: Path,
    local_server: Server,
    make: MakeDatabaseJob,
    run_job: RunJob,
    run_pending: Run,
    real_repository: Repository,
) -> None:
    """A database behind a link, and a table with a directory of its own, beside the data directory."""
    top = opened(btrfs_place.subvolume)
    far, big = mariadb.give(top / "far [1]*"), mariadb.give(top / "big & one")
    with mariadb.running(top / "data", out / "run") as server:
        server.sql("CREATE DATABASE shop")
        (server.data / "linked").symlink_to(big)
        server.sql("CREATE TABLE linked.t (n INT PRIMARY KEY); INSERT INTO linked.t VALUES (1), (2)")
        server.sql(
            f"CREATE TABLE shop.far (n INT PRIMARY KEY) DATA DIRECTORY = '{far}'; INSERT INTO shop.far VALUES (7)"
        )
        archive = proven(run_job(make("mysql", server.socket, "snapshot", config_files=False)))
        with translation.override("en"):
            commands = restored(archive, local_server, str(out / "put back"), run_pending)
    told = [command.sentence for command in commands if not command.argv]
    (warning,) = [sentence for sentence in told if "where no other server uses it" in sentence]
    assert f"looks for {far}/shop/far.ibd nowhere else: put {out}/put back/{far.name}/shop/far.ibd there" in warning
    # As on another machine: what is told is done.
    far.rename(top / "elsewhere")
    (far / "shop").mkdir(parents=True)
    shutil.copy2(out / "put back" / far.name / "shop/far.ibd", far / "shop")
    here(("chown", "-R", "mysql:", str(far)))
    with started(commands) as sql:
        assert (sql("SELECT SUM(n) FROM linked.t"), sql("SELECT SUM(n) FROM shop.far")) == ("3", "7")
        sql("INSERT INTO linked.t VALUES (100); INSERT INTO shop.far VALUES (100)")
        (process,) = [path for path in Path("/proc").glob("[0-9]*") if _serves(path, out / "put back")]
        held = {os.readlink(link) for link in (process / "fd").iterdir()}
        assert str(out / "put back" / big.name / "t.ibd") in held
        assert [path for path in held if path.startswith(str(btrfs_place.path))] == [str(far / "shop/far.ibd")]
    shutil.rmtree(far)
    (top / "elsewhere").rename(far)
    with mariadb.running(top / "data", out / "run") as server:
        assert (server.sql("SELECT SUM(n) FROM linked.t"), server.sql("SELECT SUM(n) FROM shop.far")) == ("3", "7")
        checked = server.sql("CHECK TABLE linked.t, shop.far EXTENDED")
        assert [line.split("\t")[-1] for line in checked.splitlines()] == ["OK", "OK"]


def _serves(process: Path, place: Path) -> bool:
    """Is it a server on a directory below this one?"""
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[0].endswith(b"mariadbd") and any(word.startswith(f"--datadir={place}".encode()) for word in words)
