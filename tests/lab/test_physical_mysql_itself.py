"""MySQL itself, its files as they are at one moment under writes: restored, and started by the commands that are shown.

Its machine has no volume that could be frozen: its process is stopped for the length of the run in place of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from backups.models import Archive, Repository
from recovery.services.next_commands import Command
from tests.backups.conftest import MakeJob, RunJob, local_server, make_job, pool, real_repository, run_job
from tests.lab.restoring import WHOLE, Run, inside, restored, wait_for
from tests.lab.servers import LabServer
from tests.lab.test_database_jobs import proven, row_of, writing
from tests.lab.test_mysql_jobs import emptied, filled, looked

__all__ = ["filled", "local_server", "make_job", "pool", "real_repository", "row_of", "run_job"]
pytestmark = pytest.mark.lab
_TARGET = "/srv/put back é"
_BUSY = "SELECT COUNT(*) = MAX(total) + 1, COUNT(*) FROM `weird-db name`.busy"
_EQUAL = (
    "CHECKSUM TABLE shop.t, shop.log, shop.isam EXTENDED",
    "SHOW GRANTS FOR 'it''s'@'127.0.0.1'",
    "SELECT routine_name, routine_definition FROM information_schema.routines WHERE routine_schema = 'shop' ORDER BY 1",
    "SELECT user, host, plugin, HEX(authentication_string) FROM mysql.user ORDER BY 1, 2",
)
_CHECKED = ("shop.t", "shop.log", "shop.isam", "shop.parts", "`weird-db name`.busy", "mysql.user", "mysql.proxies_priv")
# In a terminal of its own, which stays open.
_TERMINAL = 'setsid "$@" </dev/null >/tmp/started.log 2>&1 & echo $! >/tmp/started.pid'


@contextmanager
def stopped(machine: LabServer) -> Iterator[None]:
    """Nothing of it moves: what its files hold is one moment, as after a power cut."""
    machine.execute(("pkill", "-STOP", "-x", "mysqld"))
    try:
        yield
    finally:
        machine.execute(("pkill", "-CONT", "-x", "mysqld"))


def told(archive: Archive, instance: Any, file: str) -> Archive:
    """What a snapshot's archive says of itself."""
    data = instance.data.path.rstrip("/")
    archive.backup_config = {
        "database": {
            "engine": "mysql",
            "server_version": instance.version,
            "method": "snapshot",
            "consistency": "crash-consistent",
            "data_directory": data,
            "included": [{"kind": "data", "name": data, "path": data.lstrip("/")}],
            "facts": {"owner": instance.owner, "flavour": instance.flavour, "log_bin": instance.log_bin},
        },
        "frozen": {"hold": {"binlog": {"file": file, "position": 4}}},
    }
    archive.save()
    return archive


@contextmanager
def started(machine: LabServer, commands: list[Command]) -> Iterator[Any]:
    """The restored server, beside the one that runs."""
    execute = inside(machine)
    assert [command.sentence for command in commands if not command.argv] == []
    *before, start, show = [command.argv for command in commands]
    for argv in before:
        execute(argv)
    machine.execute(("sh", "-c", _TERMINAL, "sh", *start))
    try:
        ready = ("sh", "-c", 'kill -0 "$(cat /tmp/started.pid)" && "$@"', "sh", *show)
        wait_for(lambda: machine.execute(ready, check=False).returncode == 0, "it does not answer", 90)
        assert "shop" in execute(show)
        yield lambda text: execute((*show[:-1], "-NB", f"--execute={text}")).strip()
    finally:
        ended = (
            'kill "$(cat /tmp/started.pid)"; while kill -0 "$(cat /tmp/started.pid)" 2>/dev/null; do sleep 0.1; done'
        )
        machine.execute(("sh", "-c", ended), check=False)


def test_a_copy_starts_by_the_commands_that_are_shown(
    filled: LabServer, row_of: Any, real_repository: Repository, make_job: MakeJob, run_job: RunJob, run_pending: Run
) -> None:
    """With a binary log, transactions on their way, tables of MyISAM; beside the server that runs."""
    machine = filled
    machine.execute(("rm", "-rf", _TARGET))
    row = row_of(machine)
    instance = looked(row)
    expected = {question: machine.sql(question) for question in _EQUAL}
    job = make_job(real_repository, b"/var/lib/mysql", server=row)
    with writing(machine, "INSERT INTO busy (total) SELECT COUNT(*) FROM busy", "mysql 'weird-db name'"):
        count = "SELECT COUNT(*) FROM `weird-db name`.busy"
        wait_for(lambda: int(machine.sql(count)) > 20, "nothing is written")
        least = int(machine.sql(count))
        file = machine.sql("SHOW BINARY LOG STATUS").split()[0]
        with stopped(machine):
            archive = told(proven(run_job(job)), instance, file)
        commands = restored(archive, row, _TARGET, run_pending, WHOLE)
        with started(machine, commands) as sql:
            assert {question: sql(question) for question in _EQUAL} == expected
            whole, found = sql(_BUSY).split()
            assert (whole, int(found) >= least) == ("1", True), (least, found)
            checked = sql(f"CHECK TABLE {', '.join(_CHECKED)} EXTENDED")
            assert [line.split("\t")[-1] for line in checked.splitlines()] == ["OK"] * len(_CHECKED)
            assert sql("SELECT @@datadir").startswith(_TARGET)
            assert sql("SELECT @@log_bin_basename").startswith(_TARGET)
            assert int(machine.sql(count)) > int(found)
    machine.execute(("rm", "-rf", _TARGET))
    emptied(machine)
