"""Real borg on this machine, through the very task that a worker runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from backups.models import Repository
from backups.services import repositories
from phpborg.tasks.models import Lease
from tests.backups.conftest import MakeJob, RunJob, archive_of

pytestmark = pytest.mark.real


def test_a_backup_is_proven_and_recorded(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, tree: Path
) -> None:
    job = make_job(real_repository, tree)
    task = run_job(job)
    assert (task.state, task.error_detail) == ("success", "")
    archive = archive_of(task)
    found = repositories.borg_of(real_repository).find(archive.name)
    assert found is not None
    assert found.id == archive.borg_id
    assert archive.name.startswith("job-1-")
    assert archive.grade == "success"
    assert archive.files == 2  # borg counts regular files
    assert archive.original_bytes is not None
    assert archive.original_bytes > 50_000
    assert archive.backup_config["paths"] == [str(tree)]
    assert archive.job == job
    assert task.progress["share"] == 1.0
    assert [step["code"] for step in task.steps] == ["connect", "look", "create", "prove", "sync"]
    assert not Lease.objects.held().exists()
