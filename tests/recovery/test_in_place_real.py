"""Files of a database server and their own place: what runs now counts, not what the newest report says."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django.utils import timezone

from phpborg.process import Never
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import State
from recovery import paths
from recovery.services import restores
from servers.capabilities.report import Report
from servers.services import capabilities, capabilities_run
from servers.services.reach import host_for
from tests.support import postgresql
from tests.support.archives import Storage, storage

__all__ = ["storage"]
pytestmark = [pytest.mark.real, pytest.mark.django_db]


@pytest.fixture
def cluster() -> Iterator[postgresql.Cluster]:
    """One that runs, with a file of ours in its directory."""
    place = Path(tempfile.mkdtemp(prefix="pb-in-place-"))
    place.chmod(0o755)
    try:
        with postgresql.running(place / "pg", place / "run") as running:
            (running.data / "ours").write_text("then")
            yield running
    finally:
        shutil.rmtree(place)


def stopped(report: Report) -> Report:
    """The same look, as if it had been taken while nothing ran."""
    assert report.postgresql
    clusters = tuple(replace(one, running=False, pid=None) for one in report.postgresql.clusters)
    return replace(report, postgresql=replace(report.postgresql, clusters=clusters))


def test_a_server_that_was_started_since_the_last_look_keeps_its_files(
    storage: Storage, cluster: postgresql.Cluster, run_pending: Callable[..., list[Task]]
) -> None:
    archive = storage.archive(cluster.data)
    inside = os.fsencode(cluster.data).lstrip(b"/")
    archive.backup_config = {
        "database": {
            "engine": "postgresql",
            "server_version": "15.4",
            "method": "snapshot",
            "consistency": "crash-consistent",
            "data_directory": str(cluster.data),
            "included": [{"kind": "data", "name": str(cluster.data), "path": os.fsdecode(inside)}],
            "facts": {},
        }
    }
    archive.save()
    report = capabilities_run.ask(host_for(storage.server), stop=Never(), only=("postgresql",), size_seconds=0)
    capabilities.record(server=storage.server, report=stopped(report), taken_at=timezone.now())
    (cluster.data / "ours").write_text("since")
    _row, task = restores.create_and_start(
        archive=archive,
        server=storage.server,
        selection=[paths.token(inside)],
        destination="in_place",
        target_path="",
        conflict="replace",
    )
    run_pending()
    task.refresh_from_db()
    assert (task.state, task.error_code) == (State.FAILED, "REC-17"), task.log_tail
    assert (cluster.data / "ours").read_text() == "since"
    assert cluster.sql("SELECT 1") == "1"
    assert not Lease.objects.held().exists()
