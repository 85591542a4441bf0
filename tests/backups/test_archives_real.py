"""Archives in real repositories: names, removal by exact name, checkpoints, many files."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from backups.models import Archive, Repository
from backups.services import archives, repositories, sync
from phpborg.accounts.models import User
from phpborg.tasks.context import log_path
from phpborg.tasks.models import Task
from recovery.models import BrowseSession
from tests.backups.conftest import PASSPHRASE, MakeJob, RunJob, archive_of
from tests.backups.test_services import AWKWARD

pytestmark = pytest.mark.real
RunPending = Callable[..., list[Task]]


def names_in(repository: Repository) -> list[str]:
    return [fact.name for fact in repositories.borg_of(repository).list_archives(include_checkpoints=True)]


def test_awkward_jobs_back_up_list_and_delete(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, run_pending: RunPending, tree: Path
) -> None:
    made = [archive_of(run_job(make_job(real_repository, tree, name=name))) for name in AWKWARD[:5]]
    assert len({archive.name for archive in made}) == 5
    assert sorted(names_in(real_repository)) == sorted(archive.name for archive in made)
    archives.move_to_trash(archives=made[:2])
    for archive in made:
        archive.refresh_from_db()
    (queued,) = archives.purge(archives=made[:2])
    run_pending(kind="archive_delete")
    queued.refresh_from_db()
    assert (queued.state, queued.error_detail) == ("success", "")
    assert sorted(names_in(real_repository)) == sorted(archive.name for archive in made[2:])
    assert Archive.objects.count() == 3
    real_repository.refresh_from_db()
    assert real_repository.unfreed


def test_removal_spares_what_was_taken_back_pinned_or_opened_meanwhile(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, run_pending: RunPending, tree: Path
) -> None:
    job = make_job(real_repository, tree)
    back, pinned, opened = (archive_of(run_job(job)) for _ in range(3))
    archives.move_to_trash(archives=[back, pinned, opened])
    for archive in (back, pinned, opened):
        archive.refresh_from_db()
    tasks = [archives.purge(archives=[archive])[0] for archive in (back, pinned, opened)]
    archives.take_from_trash(archives=[back])
    archives.set_pinned(archive=pinned, pinned=True)
    BrowseSession.objects.create(archive=opened, state="open")
    run_pending(kind="archive_delete")
    for task in tasks:
        task.refresh_from_db()
    assert [task.state for task in tasks] == ["success", "success", "failed"]
    assert tasks[2].error_code == "JOB-07"
    assert len(names_in(real_repository)) == 3


def test_removing_what_is_already_gone_ends_well(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, run_pending: RunPending, tree: Path
) -> None:
    archive = archive_of(run_job(make_job(real_repository, tree)))
    archives.move_to_trash(archives=[archive])
    archive.refresh_from_db()
    repositories.borg_of(real_repository).delete([archive.name])
    (task,) = archives.purge(archives=[archive])
    run_pending(kind="archive_delete")
    task.refresh_from_db()
    assert task.state == "success"
    assert task.result["missing"] == [archive.name]
    assert not Archive.objects.exists()


def test_two_runs_within_a_second_have_two_names(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, tree: Path
) -> None:
    job = make_job(real_repository, tree, name="nightly")
    assert archive_of(run_job(job)).name != archive_of(run_job(job)).name


def test_a_checkpoint_is_no_restore_point(
    real_repository: Repository,
    make_job: MakeJob,
    run_job: RunJob,
    tree: Path,
    client_of: Callable[[User], Client],
    alice: User,
) -> None:
    from contextlib import ExitStack

    from phpborg import process

    job = make_job(real_repository, tree)
    access = repositories.borg_of(real_repository)._access
    with ExitStack() as stack:
        values, descriptors = access.environment(stack)
        argv = ("borg", "create", f"{real_repository.path}::j-5.checkpoint", str(tree))
        assert process.stream(argv, env=values, pass_fds=descriptors).ok
    assert sync.synchronise(repository=real_repository).recorded == ()
    task = run_job(job)
    assert task.state == "success"
    assert Archive.objects.count() == 1
    assert "checkpoint" not in client_of(alice).get(reverse("archives")).content.decode()


def test_no_page_shows_the_passphrase(
    real_repository: Repository,
    make_job: MakeJob,
    run_job: RunJob,
    tree: Path,
    client_of: Callable[[User], Client],
    alice: User,
) -> None:
    job = make_job(real_repository, tree)
    task = run_job(job)
    archive = archive_of(task)
    browser = client_of(alice)
    for address in (
        reverse("jobs"),
        job.get_absolute_url(),
        archive.get_absolute_url(),
        reverse("archives"),
        task.get_absolute_url(),
        reverse("admin:backups_backupjob_changelist"),
        reverse("admin:backups_backupjob_change", args=[job.pk]),
        reverse("admin:backups_archive_changelist"),
        reverse("admin:backups_archive_change", args=[archive.pk]),
    ):
        page = browser.get(address)
        assert page.status_code == 200, address
        assert "canary" not in page.content.decode()
    assert PASSPHRASE not in str(Task.objects.filter(pk=task.pk).values())


def test_two_hundred_thousand_files_keep_memory_row_and_page_small(
    real_repository: Repository,
    make_job: MakeJob,
    run_job: RunJob,
    tmp_path: Path,
    client_of: Callable[[User], Client],
    alice: User,
) -> None:
    source = tmp_path / "many"
    for folder in range(200):
        (source / str(folder)).mkdir(parents=True)
        for number in range(1000):
            os.close(os.open(source / str(folder) / str(number), os.O_CREAT | os.O_WRONLY))
    job = make_job(real_repository, source)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    task = run_job(job)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (task.state, task.error_detail) == ("success", "")
    assert archive_of(task).files == 200_000
    assert grown < 100_000  # KiB
    assert len(task.log_tail) <= 16_000
    assert log_path(task).stat().st_size < 1_000_000
    assert client_of(alice).get(archive_of(task).get_absolute_url()).status_code == 200


def test_unknown_sizes_are_asked_for(
    real_repository: Repository,
    make_job: MakeJob,
    run_job: RunJob,
    run_pending: RunPending,
    tree: Path,
    client_of: Callable[[User], Client],
    bob: User,
) -> None:
    archive = archive_of(run_job(make_job(real_repository, tree)))
    Archive.objects.filter(pk=archive.pk).update(original_bytes=None, files=None, deduplicated_bytes=None)
    assert "Ask Borg" in client_of(bob).get(archive.get_absolute_url()).content.decode()
    client_of(bob).post(reverse("archive-details", args=[archive.pk]))
    (task,) = run_pending(kind="archive_details")
    assert (task.state, task.error_detail) == ("success", "")
    archive.refresh_from_db()
    assert archive.files == 2
    assert archive.original_bytes is not None
    assert 50_000 < archive.original_bytes < 52_000
