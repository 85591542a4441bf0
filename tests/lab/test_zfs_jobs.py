"""Jobs of databases whose data lies on ZFS: under writes, started again from the archive, killed in the middle."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from backups.models import Archive, Repository
from phpborg.tasks.models import Lease
from tests.backups.conftest import RunJob
from tests.lab.guest import Guest
from tests.lab.test_database_jobs import (
    job_of,
    mariadb_comes_back,
    nothing_is_left,
    place,
    pool,
    postgresql_comes_back,
    pytestmark,
    real_repository,
    row_of,
    run_job,
)

__all__ = ["place", "pool", "pytestmark", "real_repository", "row_of", "run_job"]


def test_postgresql_on_a_dataset(
    zfs_guest: Guest, row_of: Any, real_repository: Repository, run_job: RunJob, place: Path
) -> None:
    postgresql_comes_back(zfs_guest, row_of(zfs_guest), real_repository, run_job, place, "snapshot")


def test_mariadb_on_a_dataset_that_is_mounted_by_hand(
    zfs_guest: Guest, row_of: Any, real_repository: Repository, run_job: RunJob, place: Path
) -> None:
    mariadb_comes_back(zfs_guest, row_of(zfs_guest), real_repository, run_job, place)


def test_borg_is_killed_while_it_reads_the_snapshot(
    zfs_guest: Guest, row_of: Any, real_repository: Repository, run_job: RunJob
) -> None:
    zfs_guest.execute(("sh", "-c", "pg_ctlcluster 15 main status || pg_ctlcluster 15 main start"))
    job = job_of(row_of(zfs_guest), real_repository, "postgresql", "snapshot")
    killed = []

    def kill() -> None:
        """Once the snapshot is seen: borg and the helper around it."""
        waits = "until grep -q @phpborg- /proc/mounts && pgrep -x borg >/dev/null; do sleep 0.1; done; sleep 1"
        killed.append(zfs_guest.execute(("sh", "-c", f"{waits}; pkill -9 -x borg"), check=False).returncode)

    killer = threading.Thread(target=kill)
    killer.start()
    task = run_job(job)
    killer.join()
    assert killed == [0]
    assert task.state == "failed", task.error_code
    assert not Archive.objects.exists()
    assert not Lease.objects.held().exists()
    nothing_is_left(zfs_guest)
