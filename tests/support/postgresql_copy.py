"""Copies of PostgreSQL clusters in tests: a ledger whose every moment adds up, a writer, a copy, and a start of it."""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.remote import streams
from servers.remote.producers import postgresql as producers
from tests.support import postgresql
from tests.support.postgresql import DEBIAN, Cluster, Release
from tests.support.sshd import wait_until

SPACE = "table space"
_WRITE = "INSERT INTO ledger SELECT n + 1, total + n + 1 FROM ledger ORDER BY n DESC LIMIT 1;\n"


def fill(cluster: Cluster) -> None:
    """A database `shop` in a tablespace beside the data directory, with a ledger."""
    space = postgresql.give(cluster.data.parent / SPACE)
    cluster.sql(f"CREATE TABLESPACE elsewhere LOCATION '{space}'")
    cluster.sql("CREATE DATABASE shop TABLESPACE elsewhere")
    cluster.sql("CREATE TABLE ledger (n int PRIMARY KEY, total bigint); INSERT INTO ledger VALUES (0, 0)", "shop")


def newest(cluster: Cluster) -> int:
    """The number of the last row that is committed."""
    return int(cluster.sql("SELECT max(n) FROM ledger", "shop"))


@contextmanager
def writing(cluster: Cluster, place: Path, *more: list[str]) -> Iterator[None]:
    """One writer that numbers its rows and sums them up; `more`: words for pgbench beside it."""
    script = place / "ledger.sql"
    script.write_text(_WRITE)
    script.chmod(0o644)
    common = ["pgbench", "-n", "-h", str(cluster.sockets), "-p", str(cluster.port), "-T", "600"]
    started = [
        subprocess.Popen(
            postgresql.owner_words([*common, *words, "shop"]), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for words in (["-f", str(script), "-c", "1"], *more)
    ]
    try:
        wait_until(lambda: newest(cluster) > 50, 20, "nothing is written")
        yield
        assert not [process for process in started if process.poll() is not None]  # nothing stopped it meanwhile
    finally:
        for process in started:
            process.terminate()
            process.wait()


def feed(cluster: Cluster, token: str) -> dict[str, object]:
    """The row of a request for a copy."""
    return {"producer": "pg_backup", **cluster.where, "token": token, "folder": str(cluster.data)}


class Copy:
    """The producer alone, its output in a file."""

    def __init__(self, row: dict[str, object], path: Path) -> None:
        producer = producers.pg_backup(row, {})
        with streams.Said() as said, path.open("wb") as file:
            child = streams.begin(producer, said.descriptor)
            assert child.stdout is not None
            shutil.copyfileobj(child.stdout, file, 1 << 20)
            child.stdout.close()
            self.code = child.wait()
            self.said = said.text()


def extract(path: Path, out: Path) -> None:
    """Owners, modes and links as they are in it."""
    out.mkdir(mode=0o755)
    subprocess.run(["tar", "-xpf", str(path), "--numeric-owner", "-C", str(out)], check=True)


@contextmanager
def restored(cluster: Cluster, out: Path, place: Path, release: Release = DEBIAN, **more) -> Iterator[Cluster]:
    """A server from extracted files; its tablespace is beside it, as the map in the copy is told."""
    data, space = (out / str(path)[1:] for path in (cluster.data, cluster.data.parent / SPACE))
    for folder in data.parents:
        if folder.is_relative_to(out):
            folder.chmod(0o755)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    table = data / "tablespace_map"
    table.write_text(table.read_text().replace(str(cluster.data.parent / SPACE), str(space)))
    with postgresql.running(data, place / "again", release=release, **more) as again:
        location = again.sql("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'elsewhere'")
        assert location == str(space)
        yield again


def check_ledger(again: Cluster, least: int, most: int) -> None:
    """Every row up to one between these two, and the sums are right."""
    check = "SELECT count(*), max(n), bool_and(total = n::bigint * (n + 1) / 2) FROM ledger"
    rows, last, good = again.sql(check, "shop").split("|")
    assert least <= int(last) <= most
    assert (int(rows), good) == (int(last) + 1, "t")


def backup_ended(cluster: Cluster) -> bool:
    """Neither a session of ours nor its slot is left."""
    sessions = cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'phpborg'")
    return sessions == "0" and cluster.sql("SELECT count(*) FROM pg_replication_slots") == "0"
