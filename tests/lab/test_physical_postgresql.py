"""Copies of PostgreSQL's files under writes, restored by the product, started by exactly the commands that it shows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from backups.models import Repository
from tests.backups.conftest import RunJob, pool, real_repository, run_job
from tests.lab import restoring
from tests.lab.restoring import Run, adds_up, inside, postgresql_of, restored
from tests.lab.servers import LabServer
from tests.lab.test_database_jobs import job_of, proven, row_of

__all__ = ["pool", "real_repository", "row_of", "run_job"]
pytestmark = pytest.mark.lab
_BENCH = 'setsid runuser -u postgres -- "$@" </dev/null >/tmp/bench.log 2>&1 & echo $! >/tmp/bench.pid'
_PREPARE = (
    "DROP DATABASE IF EXISTS bench",
    "DROP ROLE IF EXISTS reader",
    "CREATE ROLE reader LOGIN PASSWORD 'pa''ss' CONNECTION LIMIT 3",
)


@contextmanager
def benched(machine: LabServer, port: int) -> Iterator[None]:
    """pgbench of two clients on database `bench`."""
    bench = (f"{restoring.PROGRAMS}/pgbench", "-n", "-c", "2", "-T", "600", "-p", str(port), "bench")
    machine.execute(("sh", "-c", _BENCH, "sh", *bench))
    try:
        restoring.wait_for(lambda: transactions(machine, port) > 20, "nothing is written")
        yield
    finally:
        machine.execute(("sh", "-c", 'kill -- "-$(cat /tmp/bench.pid)" 2>/dev/null || pkill -x pgbench'))


def transactions(machine: LabServer, port: int) -> int:
    return int(machine.sql(restoring.HISTORY, database="bench", port=port))


@pytest.mark.parametrize(
    ("port", "space", "selection"),
    [(5432, "pg_default", None), (5432, "pg_default", restoring.WHOLE), (5433, "outside", None)],
    ids=["main", "whole archive", "blank and tablespace"],
)
def test_a_stream_starts_by_the_commands_that_are_shown(
    postgresql_server: LabServer,
    row_of: Any,
    real_repository: Repository,
    run_job: RunJob,
    run_pending: Run,
    port: int,
    space: str,
    selection: list[str] | None,
) -> None:
    """As Debian lays a cluster out: settings below /etc, with conf.d; the other cluster goes on meanwhile."""
    machine, target = postgresql_server, "/srv/put back é/copy"
    machine.execute(("rm", "-rf", "/srv/put back é"))
    for line in (*_PREPARE, f"CREATE DATABASE bench TABLESPACE {space}"):
        machine.sql(line, port=port)
    bench = ("runuser", "-u", "postgres", "--", f"{restoring.PROGRAMS}/pgbench", "-iq", "-p", str(port), "bench")
    machine.execute(bench)
    row = row_of(machine)
    job = job_of(row, real_repository, "postgresql", "stream", port=port)
    with benched(machine, port):
        least = transactions(machine, port)
        archive = proven(run_job(job))
        most = transactions(machine, port)
        commands = restored(archive, row, target, run_pending, selection)
        with postgresql_of(commands, inside(machine)) as sql:
            adds_up(sql, "bench", least, most + 2)
            assert sql("SELECT rolconnlimit, rolpassword IS NOT NULL FROM pg_authid WHERE rolname = 'reader'") == "3|t"
            assert sql("SHOW data_directory").startswith(target)
            places = sql("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname !~ '^pg_'")
            assert all(place.startswith(target) for place in places.splitlines())
            assert bool(places) == (port == 5433)
            # The one that runs is another one.
            sql("INSERT INTO pgbench_history (delta) VALUES (1000000)", "bench")
        assert machine.sql("SELECT max(delta) < 1000000 FROM pgbench_history", database="bench", port=port) == "t"
    machine.execute(("rm", "-rf", "/srv/put back é"))
