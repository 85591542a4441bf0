"""Real database servers over a lower tree that must not change: they answer everything, and little is copied."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import mariadb, postgresql
from tests.support.cow import Tree, facts, tree

pytestmark = pytest.mark.real

# As docs of the mechanics say: no fsync (it would open every file), and hint bits are not worth a write. The
# second keeps a scan of rows that nobody vacuumed from changing every page.
STANDBY = ("-c", "fsync=off", "-c", "archive_mode=off", "-c", "wal_log_hints=on", "-c", "shared_buffers=16MB")


@pytest.fixture
def cow() -> Iterator[Tree]:
    """Reachable by the accounts of the servers, unlike pytest's own folders."""
    root = Path(tempfile.mkdtemp(prefix="pb-cow-"))
    root.chmod(0o755)
    yield tree(root)
    shutil.rmtree(root)


def size_of(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def test_postgresql_as_a_standby_scans_everything_and_copies_next_to_nothing(cow: Tree) -> None:
    lower, sockets = cow.lower / "data", cow.point.parent / "s"
    quick = ("-c", "fsync=off", "-c", "autovacuum=off", "-c", "max_wal_size=4GB")
    with postgresql.running(lower, sockets, options=quick) as cluster:
        cluster.sql(
            "CREATE TABLE t AS SELECT g AS id, repeat(md5(g::text), 25) AS text FROM generate_series(1, 120000) g"
        )
        cluster.sql("CREATE INDEX ON t (id)")
        rows = cluster.sql("SELECT count(*), sum(hashtext(text)) FROM t")
        cluster.sql("CREATE TABLE fresh AS SELECT * FROM t LIMIT 60000")  # no hint bits yet
    before, size = facts(cow.lower), size_of(lower)
    with cow:
        (cow.point / "data/standby.signal").touch()
        with postgresql.running(cow.point / "data", sockets, options=STANDBY) as cluster:
            assert cluster.sql("SELECT count(*), sum(hashtext(text)) FROM t") == rows
            assert cluster.sql("SELECT count(*) FROM fresh") == "60000"
            assert cluster.sql("SELECT text = md5('777') || right(text, -32) FROM t WHERE id = 777") == "t"
            with pytest.raises(AssertionError, match="read-only transaction"):
                cluster.sql("CREATE TABLE refused ()")
            figures = cow.figures()
        assert figures["bytes_read"] > 100_000_000
        assert figures["upper_bytes"] <= size / 100, (figures, size)
    assert facts(cow.lower) == before


def test_mariadb_applies_its_redo_above_and_then_reads_only(cow: Tree) -> None:
    lower, sockets = cow.lower / "data", cow.point.parent / "s"
    small = ("--innodb-log-file-size=8M", "--innodb-buffer-pool-size=16M", "--skip-log-bin")
    with mariadb.running(lower, sockets, *small, "--innodb-flush-log-at-trx-commit=1") as server:
        server.sql("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, text VARCHAR(900)) ENGINE=InnoDB")
        server.sql("INSERT INTO d.t SELECT seq, REPEAT(MD5(seq), 25) FROM seq_1_to_60000", "d")
        server.sql("UPDATE d.t SET text = CONCAT('late ', id) WHERE id % 100 = 0")
        rows = server.sql("SELECT COUNT(*), SUM(CRC32(text)) FROM d.t")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    before, size = facts(cow.lower), size_of(lower)
    reading = ("--innodb-read-only=1", "--read-only=1", "--event-scheduler=OFF", "--skip-slave-start")
    with cow:
        with mariadb.running(cow.point / "data", sockets, *small, "--innodb-flush-method=O_DIRECT") as server:
            assert server.sql("SELECT COUNT(*), SUM(CRC32(text)) FROM d.t") == rows
        applied = cow.figures()["upper_bytes"]
        assert applied < size / 2
        with mariadb.running(cow.point / "data", sockets, *small, *reading) as server:
            assert server.sql("SELECT COUNT(*), SUM(CRC32(text)) FROM d.t") == rows
            refused = server.client("--execute=INSERT INTO d.t VALUES (0, '')")
            assert refused.returncode
        assert cow.figures()["upper_bytes"] - applied <= size / 100
        cow.kill()
        cow.start()
        with mariadb.running(cow.point / "data", sockets, *small, *reading) as server:
            assert server.sql("SELECT COUNT(*), SUM(CRC32(text)) FROM d.t") == rows
    assert facts(cow.lower) == before


def test_a_lower_tree_out_of_an_archive_is_read_with_its_owners(cow: Tree, tmp_path: Path) -> None:
    source, repository = tmp_path / "source", tmp_path / "repository"
    source.mkdir()
    (source / "file").write_bytes(os.urandom(3_000_000))
    os.chown(source / "file", 4242, 4343)
    os.symlink("/etc/hostname", source / "link")
    environment = {**os.environ, "BORG_BASE_DIR": str(tmp_path / "base")}
    environment["BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK"] = "yes"

    def borg(*words: str) -> None:
        subprocess.run(["borg", *words], env=environment, cwd=source, check=True, capture_output=True)

    borg("init", "-e", "none", str(repository))
    borg("create", f"{repository}::one", ".")
    borg("mount", "-o", "allow_other,ignore_permissions", f"{repository}::one", str(cow.lower))
    try:
        with cow:
            assert (cow.point / "file").read_bytes() == (source / "file").read_bytes()
            assert ((cow.point / "file").stat().st_uid, os.readlink(cow.point / "link")) == (4242, "/etc/hostname")
            with (cow.point / "file").open("r+b") as file:
                file.seek(1_000_000)
                file.write(b"changed")
            content = (source / "file").read_bytes()
            assert (cow.point / "file").read_bytes() == content[:1_000_000] + b"changed" + content[1_000_007:]
        assert (cow.lower / "file").read_bytes() == content
    finally:
        borg("umount", str(cow.lower))
