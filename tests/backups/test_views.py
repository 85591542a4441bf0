"""Pages of jobs and archives, for each of the four people; lists whose cost does not grow with the rows."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from backups.models import Archive, BackupJob, JobDraft, Repository
from backups.services import drafts, runs
from phpborg.accounts.models import User
from phpborg.tasks.models import Task
from phpborg.tasks.states import State
from tests.backups.conftest import MakeJob

ClientOf = Callable[[User], Client]


@pytest.fixture
def job(make_job: MakeJob, repository: Repository) -> BackupJob:
    return make_job(repository, b"/etc", cron="0 2 * * *", zone="Europe/Paris", name="nightly")


@pytest.fixture
def archive(job: BackupJob) -> Archive:
    return make_archive(job, 1)


def make_archive(job: BackupJob, number: int, **more: Any) -> Archive:
    values = {
        "name": f"nightly-{number}",
        "borg_id": f"{number:064x}",
        "started_at": timezone.now() - timedelta(hours=number),
        "grade": "success",
        "original_bytes": 1000 * number,
        "deduplicated_bytes": 10,
        "files": number,
        "job_name": job.name,
        "server_name": job.server.name,
        "backup_config": {"paths": ["/etc"], "included": ["/etc"]},
    }
    return Archive.objects.create(repository=job.repository, job=job, server=job.server, **{**values, **more})


def pages(job: BackupJob, archive: Archive) -> list[str]:
    return [
        reverse("jobs"),
        reverse("job", args=[job.pk]),
        reverse("archives"),
        reverse("archives") + "?place=trash",
        reverse("archive", args=[archive.pk]),
    ]


def test_everybody_with_an_account_reads_and_nobody_else(
    job: BackupJob, archive: Archive, client_of: ClientOf, alice: User, bob: User, diane: User, charlie: User
) -> None:
    for address in pages(job, archive):
        for person in (alice, bob, diane):
            assert client_of(person).get(address).status_code == 200, (address, person)
        assert client_of(charlie).get(address).status_code == 302
        assert Client().get(address).status_code == 302


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("job-run", "operate"),
        ("job-enable", "administer"),
        ("job-edit", "administer"),
        ("job-delete", "administer"),
        ("archive-pin", "operate"),
        ("archive-details", "operate"),
        ("archive-trash", "administer"),
        ("archive-purge", "administer"),
    ],
)
def test_actions_need_their_right(
    job: BackupJob, archive: Archive, client_of: ClientOf, alice: User, bob: User, diane: User, name: str, right: str
) -> None:
    address = reverse(name, args=[job.pk if name.startswith("job") else archive.pk])
    assert client_of(diane).post(address).status_code == 403
    assert client_of(bob).post(address).status_code == (403 if right == "administer" else 303)
    opened = client_of(alice).get(address)
    assert (opened.status_code, opened.headers["Allow"]) == (405, "POST")
    assert "data-problem" in opened.content.decode()
    assert client_of(alice).post(address).status_code in (200, 303)


def test_the_wizard_is_for_administrators(
    client_of: ClientOf, alice: User, bob: User, diane: User, job: BackupJob
) -> None:
    address = reverse("job-wizard")
    assert client_of(diane).get(address).status_code == 403
    assert client_of(bob).get(address).status_code == 403
    page = client_of(alice).get(address)
    assert page.status_code == 200
    assert "localhost" in page.content.decode()


def test_a_draft_is_its_owners(client_of: ClientOf, alice: User, job: BackupJob) -> None:
    draft = drafts.edit(owner=alice, job=job)
    other = User.objects.create_user("eve", password="x", role=User.Role.ADMIN)
    address = reverse("job-wizard-step", args=[draft.pk, "where"])
    assert client_of(alice).get(address).status_code == 200
    assert client_of(other).get(address).status_code == 404


def test_run_now_queues_once(job: BackupJob, client_of: ClientOf, bob: User) -> None:
    browser = client_of(bob)
    first = browser.post(reverse("job-run", args=[job.pk]))
    task = Task.objects.get(kind="backup")
    assert first.headers["Location"] == task.get_absolute_url()
    assert task.requested_by == bob
    second = browser.post(reverse("job-run", args=[job.pk]))
    assert second.status_code == 303
    assert Task.objects.filter(kind="backup").count() == 1


def test_disable_takes_the_next_run_away_and_enable_gives_it_back(
    job: BackupJob, client_of: ClientOf, alice: User
) -> None:
    browser = client_of(alice)
    browser.post(reverse("job-enable", args=[job.pk]), {"enabled": "0"})
    job.schedule.refresh_from_db()
    assert job.schedule.next_run_at is None
    browser.post(reverse("job-enable", args=[job.pk]), {"enabled": "1"})
    job.schedule.refresh_from_db()
    assert job.schedule.next_run_at is not None
    assert job.schedule.next_run_at > timezone.now()


def test_delete_asks_first_and_keeps_the_archives(
    job: BackupJob, archive: Archive, client_of: ClientOf, alice: User
) -> None:
    browser = client_of(alice)
    asked = browser.post(reverse("job-delete", args=[job.pk]))
    assert asked.status_code == 200
    assert BackupJob.objects.filter(pk=job.pk).exists()
    browser.post(reverse("job-delete", args=[job.pk]), {"confirmed": "1"})
    archive.refresh_from_db()
    assert archive.job is None
    assert archive.job_name == "nightly"


def test_purge_wants_the_name_and_the_trash(archive: Archive, client_of: ClientOf, alice: User) -> None:
    browser = client_of(alice)
    address = reverse("archive-purge", args=[archive.pk])
    assert browser.post(address, {"confirmed": "1", "typed": "wrong"}).status_code == 422
    browser.post(address, {"confirmed": "1", "typed": archive.name})
    assert not Task.objects.filter(kind="archive_delete").exists()
    browser.post(reverse("archive-trash", args=[archive.pk]), {"confirmed": "1"})
    browser.post(address, {"confirmed": "1", "typed": archive.name})
    assert Task.objects.get(kind="archive_delete").params == {"archives": [str(archive.pk)]}


@pytest.mark.parametrize(
    "query", ["q=night", "state=success", "state=running", "state=never", "enabled=no", "server=x"]
)
def test_filters_of_jobs(job: BackupJob, client_of: ClientOf, diane: User, query: str) -> None:
    assert client_of(diane).get(f"{reverse('jobs')}?{query}").status_code == 200


@pytest.mark.parametrize(
    "query",
    ["q=x", "grade=outside", "since=2026-01-01&until=bad", "place=missing", "sort=-files", "sort=evil", "page=9"],
)
def test_filters_of_archives(archive: Archive, client_of: ClientOf, diane: User, query: str) -> None:
    assert client_of(diane).get(f"{reverse('archives')}?{query}").status_code == 200


def test_lists_cost_the_same_for_many_rows(
    make_job: MakeJob, repository: Repository, client_of: ClientOf, alice: User
) -> None:
    def fill(count: int) -> None:
        for _ in range(count):
            job = make_job(repository, b"/etc", cron="0 2 * * *", zone="UTC")
            task = runs.start_backup(job=job)
            Task.objects.filter(pk=task.pk).update(state=State.SUCCESS, finished_at=timezone.now())
            make_archive(job, Archive.objects.count() + 1)

    browser = client_of(alice)
    for address in (reverse("jobs"), reverse("archives")):
        fill(2)
        browser.get(address)
        with CaptureQueriesContext(connection) as few:
            browser.get(address)
        fill(12)
        with CaptureQueriesContext(connection) as many:
            browser.get(address)
        assert len(many) == len(few) < 30


def test_unknown_pages_are_404(client_of: ClientOf, alice: User) -> None:
    browser = client_of(alice)
    assert browser.get(reverse("job", args=[uuid.uuid4()])).status_code == 404
    assert browser.get(reverse("archive", args=[uuid.uuid4()])).status_code == 404
    assert browser.get(reverse("job-wizard-step", args=[uuid.uuid4(), "what"])).status_code == 404


def test_bulk(job: BackupJob, client_of: ClientOf, bob: User, alice: User) -> None:
    address = reverse("jobs-bulk")
    assert client_of(bob).post(address, {"action": "disable", "job": str(job.pk)}).status_code == 403
    client_of(alice).post(address, {"action": "disable", "job": [str(job.pk), "nonsense"]})
    job.refresh_from_db()
    assert not job.enabled
    client_of(bob).post(address, {"action": "run", "job": str(job.pk)})
    assert Task.objects.filter(kind="backup", job_ref=job.pk).count() == 1


def test_a_draft_can_be_discarded(job: BackupJob, client_of: ClientOf, alice: User) -> None:
    draft = drafts.edit(owner=alice, job=job)
    assert "nightly" in client_of(alice).get(reverse("jobs")).content.decode()
    client_of(alice).post(reverse("job-draft-delete", args=[draft.pk]))
    assert not JobDraft.objects.exists()
    assert BackupJob.objects.filter(pk=job.pk).exists()
