"""The whole product with a database on ZFS: whoever carries the backup out is killed, and no snapshot stays."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.chaos.test_chaos import horse_of
from tests.lab.guest import Guest
from tests.lab.test_database_jobs import nothing_is_left
from tests.lab.zfs_guest import snapshots
from tests.support.estate import Estate, running_estate
from tests.support.product import eventually

pytestmark = pytest.mark.lab
_JOB = """
from backups.models import Repository
from backups.services import jobs
from backups.services.jobs import JobDefinition
from servers.models import Server
from servers.services.capabilities import latest_report
server = Server.objects.get(name="virtual")
(cluster,) = latest_report(server).postgresql.clusters
source = {"instance": cluster.id, "method": "snapshot", "databases": [], "config_files": False, "login": "auto"}
jobs.create_job(definition=JobDefinition(
    name="frozen", server=server, repository=Repository.objects.get(name="main"), source=source,
    source_kind="postgresql", compression="none", upload_rate_kib=500))
"""


@pytest.fixture
def estate(zfs_guest: Guest) -> Iterator[Estate]:
    """With the machine as the server “virtual”, as an administrator adds it, and a slow job of its PostgreSQL."""
    zfs_guest.execute(("sh", "-c", "pg_ctlcluster 15 main status || pg_ctlcluster 15 main start"))
    with running_estate(PHPBORG_TASK_LOST="20") as made:
        manage = made.product.manage_json
        words = (zfs_guest.address, "--port", str(zfs_guest.port), "--user", "root")
        added = manage("server", "add", "virtual", *words)
        append = ("sh", "-c", "cat >>/run/keys/root/authorized_keys")
        zfs_guest.execute(append, stdin=f"\n{added['public_key'].strip()}\n".encode())
        manage("server", "approve", "virtual", added["fingerprint"])
        manage("server", "setup", "virtual", "--wait", "--timeout", "240")
        made.product.manage("server", "capabilities", "virtual", "--reload", "--wait", timeout=240)
        made.product.python(_JOB)
        yield made


def test_the_work_horse_is_killed_while_borg_reads(estate: Estate, zfs_guest: Guest) -> None:
    task = estate.start("frozen")
    eventually(lambda: estate.task(task)["progress"].get("original_bytes"), 120, "nothing is transferred")
    (frozen,) = snapshots(zfs_guest)
    assert frozen.startswith("tank/data@phpborg-")
    os.kill(horse_of(estate)[1], signal.SIGKILL)
    assert estate.wait(task, 180)["state"] == "lost"
    eventually(lambda: not snapshots(zfs_guest), 180, "the snapshot stays")
    estate.is_clean(180)
    nothing_is_left(zfs_guest)
    assert estate.product.manage_json("archives", "--job", "frozen") == []
