"""A standby's copy, restored by the product, started by the commands that it shows: on its own, and writable."""

from __future__ import annotations

from pathlib import Path

import pytest

from backups.models import Repository
from servers.models import Server
from tests.backups.conftest import RunJob, local_server, pool, real_repository, run_job
from tests.backups.test_database_backups import MakeDatabaseJob, make, proven
from tests.lab.loops import Place
from tests.lab.restoring import Run, here, out, postgresql_of, restored
from tests.support import postgresql

__all__ = ["local_server", "make", "out", "pool", "real_repository", "run_job"]
pytestmark = pytest.mark.lab


@pytest.mark.parametrize("method", ["stream", "snapshot"])
def test_it_starts_on_its_own(
    btrfs_place: Place,
    out: Path,
    local_server: Server,
    real_repository: Repository,
    make: MakeDatabaseJob,
    run_job: RunJob,
    run_pending: Run,
    method: str,
) -> None:
    """What the primary has sent is there; the primary is not asked by the copy, and goes on."""
    copy = postgresql.give(btrfs_place.subvolume) / "standby"
    with postgresql.running(out / "primary", out / "run-1") as primary:
        primary.sql("CREATE TABLE t AS SELECT n, md5(n::text) h FROM generate_series(1, 5000) n")
        where = ["-h", str(primary.sockets), "-p", str(primary.port)]
        made = postgresql.as_owner(["pg_basebackup", "-R", "-C", "-S", "one", "-D", str(copy), *where])
        assert made.returncode == 0, made.stderr
        with postgresql.running(copy, out / "run-2") as standby:
            assert standby.sql("SELECT pg_is_in_recovery(), count(*) FROM t") == "t|5000"
            archive = proven(run_job(make("postgresql", standby.sockets, method)))
            assert archive.backup_config["database"]["facts"]["in_recovery"] is True
            commands = restored(archive, local_server, str(out / "put back"), run_pending)
            with postgresql_of(commands, here) as sql:
                assert sql("SELECT pg_is_in_recovery(), count(*), sum(hashtext(h)) FROM t") == "f|" + primary.sql(
                    "SELECT count(*), sum(hashtext(h)) FROM t"
                )
                sql("DELETE FROM t")
                assert sql("SELECT count(*) FROM pg_stat_wal_receiver") == "0"
            assert standby.sql("SELECT count(*) FROM t") == "5000"
            assert primary.sql("SELECT active FROM pg_replication_slots") == "t"
