"""A backup of a database is killed at each step: no snapshot, mount, lock, backup mode or dump is left, and at once
the database takes writes. Afterwards the same job succeeds."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.test_chaos import horse_of
from tests.lab import loops
from tests.support import mariadb, postgresql
from tests.support.estate import Estate
from tests.support.product import eventually

pytestmark = pytest.mark.chaos
WORKERS = {"worker-backup-1": ("backup",), "worker-backup-2": ("backup",), "worker-restore": ("restore", "backup")}
_OURS = re.compile(r"snapshot-[0-9a-f]{16}|streams-[0-9a-f]{16}-[0-9]+")
_JOB = """
from backups.models import Repository
from backups.services import jobs
from backups.services.jobs import JobDefinition
from servers.models import Server
from servers.services.capabilities import latest_report
server = Server.objects.get(name="one")
report = latest_report(server)
found = [*report.postgresql.clusters, *report.mysql.instances]
places = [getattr(row, "socket", None) or getattr(row, "socket_directory", None) for row in found]
source = {{"instance": found[places.index({socket!r})].id, "method": {method!r}, "databases": [],
           "config_files": False, "login": "auto"}}
jobs.create_job(definition=JobDefinition(
    name={name!r}, server=server, repository=Repository.objects.get(name="main"), source=source,
    source_kind={kind!r}, compression="none", upload_rate_kib=1500))
"""


@dataclass
class Databases:
    """What the jobs read: a PostgreSQL cluster, and MariaDB on a btrfs subvolume."""

    cluster: postgresql.Cluster
    server: mariadb.Server
    filesystem: Path
    # What others have there: not ours to judge.
    others: frozenset[Path]

    def write(self) -> float:
        """A write into each; the seconds that both took."""
        began = time.monotonic()
        self.cluster.sql("INSERT INTO written VALUES (now())")
        self.server.sql("INSERT INTO shop.m VALUES (1); INSERT INTO shop.t (h) VALUES (RANDOM_BYTES(900))")
        self.cluster.sql("CREATE TABLE ddl (a int); DROP TABLE ddl")
        return time.monotonic() - began

    def left(self) -> list[str]:
        """What a run has left in the servers and beside them."""
        found = [f"session {row}" for row in self.cluster.sql(
            "SELECT application_name, state FROM pg_stat_activity WHERE application_name = 'phpborg'"
        ).splitlines()]  # fmt: skip
        found += self.cluster.sql("SELECT pid FROM pg_stat_replication").splitlines()
        found += [f"snapshot {path}" for path in self.filesystem.glob(".phpborg-*")]
        listed = subprocess.run(
            ["btrfs", "subvolume", "list", str(self.filesystem)], check=True, capture_output=True, text=True
        )
        found += [line for line in listed.stdout.splitlines() if "phpborg" in line]
        found += [str(path) for path in in_run() - self.others]
        mounted = Path("/proc/self/mountinfo").read_text()
        found += [line for line in mounted.splitlines() if "/run/phpborg/snapshot-" in line]
        return found


def in_run() -> set[Path]:
    """Pipes and frozen views of runs on this machine: other tests give theirs longer tokens."""
    return {path for path in Path("/run/phpborg").glob("s*-*") if _OURS.fullmatch(path.name)}


@pytest.fixture(scope="module")
def databases(estate: Estate) -> Iterator[Databases]:
    """Enough in each that a run takes some ten seconds."""
    place = Path(tempfile.mkdtemp(prefix="pb-kill-"))
    place.chmod(0o755)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, place)
        cluster = stack.enter_context(postgresql.running(place / "pg", place / "pg-run"))
        filesystem = stack.enter_context(loops.mounted("btrfs"))
        server = stack.enter_context(mariadb.running(filesystem.subvolume / "mysql", place / "my-run"))
        cluster.sql("CREATE TABLE written (at timestamptz)")
        cluster.sql("CREATE TABLE t AS SELECT n, gen_random_uuid() AS h FROM generate_series(1, 200000) n")
        server.sql(
            "CREATE DATABASE shop; USE shop; CREATE TABLE t (n INT AUTO_INCREMENT PRIMARY KEY, h VARBINARY(1000));"
            "CREATE TABLE m (a INT) ENGINE=MyISAM; INSERT INTO t (h) SELECT RANDOM_BYTES(900) FROM seq_1_to_15000"
        )
        estate.product.manage("server", "capabilities", "one", "--reload", "--wait", timeout=200)
        for name, kind, socket, method in (
            ("pg-stream", "postgresql", cluster.sockets, "stream"),
            ("pg-logical", "postgresql", cluster.sockets, "logical"),
            ("my-logical", "mysql", server.socket, "logical"),
            ("my-snapshot", "mysql", server.socket, "snapshot"),
        ):
            estate.product.python(_JOB.format(name=name, kind=kind, socket=str(socket), method=method))
        yield Databases(cluster, server, filesystem.path, frozenset(in_run()))


JOBS = ["pg-stream", "pg-logical", "my-logical", "my-snapshot"]


def phase(estate: Estate, task: str) -> str:
    code = f"from phpborg.tasks.models import Task\nprint(Task.objects.get(pk={task!r}).phase)"
    return estate.product.python(code).strip()


def at(estate: Estate, job: str, moment: str) -> str:
    """The job's run at this moment; its task."""
    task = estate.start(job)
    if moment == "freezing":
        eventually(lambda: phase(estate, task) in ("freezing", "transferring"), 60, "it freezes nothing")
    else:
        eventually(lambda: estate.task(task)["progress"].get("original_bytes"), 60, "nothing is transferred")
    return task


@pytest.mark.parametrize(
    ("job", "moment", "how"),
    [
        *((job, "transferring", "horse") for job in JOBS),
        ("pg-stream", "transferring", "cancel"),
        ("my-snapshot", "transferring", "cancel"),
        ("my-snapshot", "freezing", "horse"),
        ("my-snapshot", "transferring", "worker"),
    ],
)
def test_nothing_is_left_and_writes_go_on(
    estate: Estate, databases: Databases, job: str, moment: str, how: str
) -> None:
    task = at(estate, job, moment)
    if how == "cancel":
        estate.product.manage("task", "cancel", task)
    else:
        name, horse = horse_of(estate)
        if how == "worker":
            estate.product.end(name, signal.SIGKILL)
        else:
            os.kill(horse, signal.SIGKILL)
    assert databases.write() < 10
    if how == "worker":
        estate.product.start_worker(name.removeprefix("worker-"), WORKERS[name])
    ended = estate.wait(task, 120)
    assert ended["state"] == ("cancelled" if how == "cancel" else "lost") or how == "worker", ended
    assert ended["state"] not in ("success", "notes"), ended
    try:
        eventually(lambda: not databases.left(), 120)
    except AssertionError:
        raise AssertionError(f"left behind: {databases.left()}") from None
    estate.is_clean(120)
    made = [row["name"] for row in estate.product.manage_json("archives", "--job", job)]
    assert not any(task[:8] in name for name in made), made


@pytest.mark.parametrize("job", JOBS)
def test_afterwards_the_same_job_succeeds(estate: Estate, databases: Databases, job: str) -> None:
    ended = estate.run(job, 240)
    assert ended["state"] in ("success", "notes"), ended
    assert databases.left() == []
