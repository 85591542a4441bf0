"""A load into a running PostgreSQL is killed in the middle: what was there is untouched, nothing of it is left, and
the same load succeeds afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.test_chaos import WORKERS, horse_of
from tests.support import postgresql
from tests.support.estate import Estate
from tests.support.product import eventually

pytestmark = pytest.mark.chaos
ROWS = 300_000
# Each of these rows takes a tenth of a second to load: there is time to kill something, on a busy machine too.
_SLOW = "CREATE TABLE z (n int CHECK (pg_sleep(0.1)::text = '')); INSERT INTO z SELECT generate_series(1, 300)"
_IN_THE_MIDDLE = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'phpborg-%' AND wait_event = 'PgSleep'"
_JOB = """
from backups.models import Repository
from backups.services import jobs
from backups.services.jobs import JobDefinition
from servers.models import Server
from servers.services.capabilities import latest_report
server = Server.objects.get(name="one")
(instance,) = [row.id for row in latest_report(server).postgresql.clusters if row.socket_directory == {socket!r}]
source = {{"instance": instance, "method": "logical", "databases": [], "config_files": False, "login": "auto"}}
jobs.create_job(definition=JobDefinition(
    name="to load", server=server, repository=Repository.objects.get(name="main"), source=source,
    source_kind="postgresql"))
print(instance)
"""
_LISTED = "SELECT datname FROM pg_database ORDER BY 1"


@dataclass
class Loads:
    """A cluster whose database `shop` is in an archive and has changed since; the id of the cluster in the report."""

    cluster: postgresql.Cluster
    instance: str

    def start(self, estate: Estate) -> str:
        """Put the archive's `shop` in the place of the one that is there; the task's id."""
        words = ("--database", "shop", "--into", "one", "--instance", self.instance, "--replace")
        return str(estate.product.manage_json("restore", "latest:to load", *words)["task"])

    def sessions(self) -> str:
        """Who of ours is signed in."""
        return self.cluster.sql(
            "SELECT application_name, datname FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND pid <> pg_backend_pid()"
        )


@pytest.fixture(scope="module")
def loads(estate: Estate) -> Iterator[Loads]:
    """A load takes some thirty seconds."""
    place = Path(tempfile.mkdtemp(prefix="pb-load-kill-"))
    place.chmod(0o755)
    try:
        with postgresql.running(place / "pg", place / "pg-run") as cluster:
            cluster.sql("CREATE DATABASE shop")
            cluster.sql(f"CREATE TABLE t AS SELECT n, md5(n::text) h FROM generate_series(1, {ROWS}) n", "shop")
            cluster.sql(_SLOW, "shop")
            estate.product.manage("server", "capabilities", "one", "--reload", "--wait", timeout=200)
            instance = estate.product.python(_JOB.format(socket=str(cluster.sockets))).strip()
            ended = estate.run("to load", 240)
            assert ended["state"] == "success", ended
            cluster.sql("CREATE TABLE since (a int); INSERT INTO since VALUES (7)", "shop")
            yield Loads(cluster, instance)
    finally:
        shutil.rmtree(place)


@pytest.mark.parametrize("how", ["cancel", "horse", "worker"])
def test_what_was_there_is_untouched_and_nothing_is_left(estate: Estate, loads: Loads, how: str) -> None:
    before = loads.cluster.sql(_LISTED)
    task = loads.start(estate)
    eventually(lambda: loads.cluster.sql(_IN_THE_MIDDLE) == "1", 90, "nothing is loaded")
    if how == "cancel":
        estate.product.manage("task", "cancel", task)
    else:
        name, horse = horse_of(estate)
        if how == "worker":
            estate.product.end(name, signal.SIGKILL)
            estate.product.start_worker(name.removeprefix("worker-"), WORKERS[name])
        else:
            os.kill(horse, signal.SIGKILL)
    assert loads.cluster.sql("SELECT a FROM since", "shop") == "7"
    ended = estate.wait(task, 120)
    assert ended["state"] not in ("success", "notes"), ended
    eventually(lambda: loads.cluster.sql(_LISTED) == before, 120, "a database is left behind")
    eventually(lambda: not loads.sessions(), 60, "somebody is signed in still")
    estate.is_clean(120)
    assert loads.cluster.sql("SELECT a FROM since", "shop") == "7"


def test_afterwards_the_same_load_succeeds(estate: Estate, loads: Loads) -> None:
    before = loads.cluster.sql(_LISTED)
    ended = estate.wait(loads.start(estate), 240)
    assert ended["state"] in ("success", "notes"), ended
    assert loads.cluster.sql(_LISTED) == before
    assert loads.cluster.sql("SELECT count(*), sum(hashtext(h)) FROM t", "shop").split("|")[0] == str(ROWS)
    assert loads.cluster.sql("SELECT to_regclass('since') IS NULL", "shop") == "t"
