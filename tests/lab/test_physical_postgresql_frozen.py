"""PostgreSQL's volume frozen under pgbench: restored by the product, started by exactly the commands that it shows."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backups.models import Repository
from servers.models import Server
from tests.backups.conftest import RunJob, local_server, pool, real_repository, run_job
from tests.backups.test_database_backups import MakeDatabaseJob, make, proven
from tests.lab import restoring
from tests.lab.loops import Place
from tests.lab.restoring import WHOLE, Run, adds_up, here, opened, out, postgresql_of, restored
from tests.support import postgresql
from tests.support.postgresql import Cluster

__all__ = ["local_server", "make", "out", "pool", "real_repository", "run_job"]
pytestmark = pytest.mark.lab


@pytest.fixture
def cluster(btrfs_place: Place, out: Path) -> Iterator[Cluster]:
    """Its data, its log and a tablespace side by side on a subvolume, names with blanks; its settings elsewhere."""
    top = opened(btrfs_place.subvolume)
    data, log, space = top / "pg data", top / "the log", top / "space [é]*"
    made = ("--waldir", str(log))
    postgresql.give(log)
    with postgresql.running(data, out / "run", make=made):
        pass
    settings = postgresql.give(out / "settings")
    settings.chmod(0o755)
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        shutil.move(data / name, settings / name)
        shutil.chown(settings / name, postgresql.OWNER)
    with (settings / "postgresql.conf").open("a") as file:
        file.write(f"\tData_Directory = '{data}'\nhba_file = '{settings}/pg_hba.conf'\nwork_mem = '7MB'\n")
        file.write(f"ident_file='{settings}/pg_ident.conf'\narchive_mode = on\narchive_command = '/bin/false'\n")
    options = ("-c", f"config_file={settings}/postgresql.conf")
    with postgresql.running(data, out / "run", options=options) as running:
        running.sql(f"CREATE TABLESPACE aside LOCATION '{postgresql.give(space)}'")
        running.sql("CREATE ROLE reader LOGIN PASSWORD 'x' CONNECTION LIMIT 3")
        running.sql("CREATE DATABASE bench TABLESPACE aside")
        yield running


@contextmanager
def benched(cluster: Cluster) -> Iterator[None]:
    """pgbench of two clients on database `bench`."""
    where = ["-h", str(cluster.sockets), "-p", str(cluster.port), "bench"]
    filled = postgresql.as_owner(["pgbench", "-iq", *where])
    assert filled.returncode == 0, filled.stderr
    words = postgresql.owner_words(["pgbench", "-n", "-c", "2", "-T", "600", *where])
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/") as bench:
        try:
            restoring.wait_for(lambda: transactions(cluster) > 20, "nothing is written")
            yield
            assert bench.poll() is None
        finally:
            bench.terminate()


def transactions(cluster: Cluster) -> int:
    return int(cluster.sql(restoring.HISTORY, "bench"))


@pytest.mark.parametrize("selection", [None, WHOLE], ids=["what belongs to it", "whole archive"])
def test_a_snapshot_starts_by_the_commands_that_are_shown(
    btrfs_place: Place,
    cluster: Cluster,
    out: Path,
    local_server: Server,
    real_repository: Repository,
    make: MakeDatabaseJob,
    run_job: RunJob,
    run_pending: Run,
    selection: list[str] | None,
) -> None:
    """While the frozen one goes on; then without its settings where they were, when the archive's are restored."""
    target = out / "put back é"
    with benched(cluster):
        job = make("postgresql", cluster.sockets, "snapshot")
        least = transactions(cluster)
        archive = proven(run_job(job))
        most = transactions(cluster)
        assert os.listdir(btrfs_place.path) == [btrfs_place.subvolume.name]
        commands = restored(archive, local_server, str(target), run_pending, selection)
        if selection == WHOLE:
            (out / "settings").rename(out / "gone")
        with postgresql_of(commands, here) as sql:
            adds_up(sql, "bench", least, most + 2)
            assert sql("SELECT rolconnlimit, rolpassword IS NOT NULL FROM pg_authid WHERE rolname = 'reader'") == "3|t"
            assert sql("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname = 'aside'").startswith(
                str(target)
            )
            data = Path(sql("SHOW data_directory"))
            assert data.is_relative_to(target)
            assert (data / "pg_wal").resolve().is_relative_to(target)
            # Settings are its own, and its log goes nowhere.
            assert (sql("SHOW work_mem"), sql("SHOW archive_mode")) == ("7MB", "off")
            sql("INSERT INTO pgbench_history (delta) VALUES (1000000)", "bench")
        assert cluster.sql("SELECT max(delta) < 1000000 FROM pgbench_history", "bench") == "t"
