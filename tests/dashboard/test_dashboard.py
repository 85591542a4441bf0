"""The first page: what needs a person, how it went, and a cost that does not grow."""

from __future__ import annotations

import re
import zoneinfo
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone, translation

from backups.models import Archive, BackupJob, Repository, Schedule, StoragePool
from notifications.models import MailSettings
from phpborg.tasks.models import Task
from phpborg.tasks.states import State
from phpborg.ui import results
from phpborg.ui.models import Installation
from servers.models import Server


@pytest.fixture
def job(db) -> BackupJob:
    """A job on a ready server with an encrypted repository."""
    pool = StoragePool.objects.create(
        name="main", path="/srv/pool", capacity_bytes=100, used_bytes=95, available_bytes=5
    )
    repository = Repository.objects.create(
        pool=pool, name="main", path="/srv/pool/main", encryption="repokey-blake2", key_exported_at=timezone.now()
    )
    server = Server.objects.create(name="web1", address="192.0.2.1", state=Server.State.READY)
    return BackupJob.objects.create(name="web1 files", slug="web1-files", server=server, repository=repository)


def ran(job: BackupJob, state: str, ago: timedelta = timedelta(minutes=5), **more) -> Task:
    then = timezone.now() - ago
    return Task.objects.create(
        kind="backup", queue="backup", state=state, job_ref=job.pk, created_at=then, finished_at=then, **more
    )


def alive(**more) -> None:
    """The clock ticked a moment ago."""
    Installation.load()
    Installation.objects.update(clock_at=timezone.now(), **more)


def page_of(client) -> str:
    response = client.get(reverse("dashboard"))
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


def test_an_empty_installation_leads_its_administrator_to_the_first_steps(client_of, alice, bob):
    assert client_of(alice).get("/").headers["Location"] == reverse("first-run")
    assert "An administrator adds the first server." in page_of(client_of(bob))
    Installation.objects.update(first_run_finished_at=timezone.now())
    assert "Nothing is backed up yet" in page_of(client_of(alice))


def test_everybody_with_an_account_may_look_and_nobody_else(client_of, alice, bob, diane, charlie, client, job):
    for person in (alice, bob, diane):
        assert "web1" in page_of(client_of(person))
    assert client.get("/").status_code == 302
    assert client_of(charlie).get("/").status_code == 302


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("failed", "Jobs whose last backup failed."),
        ("lost", "Jobs whose last backup failed."),
        ("incomplete", "Jobs whose last backup is incomplete"),
    ],
)
def test_a_bad_last_backup_needs_somebody(client_of, diane, job, state, words):
    ran(job, "success", timedelta(days=1))
    ran(job, state)
    text = page_of(client_of(diane))
    assert words in text
    assert f'href="{job.get_absolute_url()}"' in text


def test_a_later_success_a_cancellation_or_a_skip_says_the_right_thing(client_of, diane, job):
    ran(job, "failed", timedelta(hours=2))
    ran(job, "cancelled", timedelta(hours=1))
    ran(job, "notes", timedelta(minutes=30), result={"skipped": "overlap"})
    assert "Jobs whose last backup failed." in page_of(client_of(diane))
    ran(job, "success")
    assert "Jobs whose last backup failed." not in page_of(client_of(diane))


def test_no_backup_at_all_is_also_news(client_of, diane, job):
    Schedule.objects.create(job=job, cron="0 2 * * *", zone="UTC", next_run_at=timezone.now() - timedelta(hours=3))
    assert "Jobs that are overdue." in page_of(client_of(diane))
    BackupJob.objects.update(enabled=False)
    assert "Jobs that are overdue." not in page_of(client_of(diane))
    BackupJob.objects.update(enabled=True)
    Schedule.objects.update(enabled=False)
    assert "Jobs that are overdue." not in page_of(client_of(diane))


def test_a_dead_clock_and_missing_workers_are_said(client_of, diane, job, redis_server):
    text = page_of(client_of(diane))
    assert "The clock has stopped: no scheduled backup begins." in text
    assert "No worker is running: tasks wait." in text
    alive()
    assert "The clock has stopped" not in page_of(client_of(diane))


def test_a_redis_that_is_away_is_said_and_the_page_opens(client_of, diane, job):
    assert "Redis does not answer: tasks wait." in page_of(client_of(diane))


def test_mail_that_is_off_is_said(client_of, diane, job):
    assert "nobody is told when a backup fails" in page_of(client_of(diane))
    MailSettings.load()
    MailSettings.objects.update(enabled=True)
    assert "nobody is told when a backup fails" not in page_of(client_of(diane))


def test_storage_that_needs_somebody_is_named(client_of, diane, job):
    text = page_of(client_of(diane))
    assert "Storage pools that are nearly full." in text
    assert "never exported" not in text
    Repository.objects.update(key_exported_at=None, check_good=False)
    StoragePool.objects.update(problem="not mounted", available_bytes=90, used_bytes=10)
    text = page_of(client_of(diane))
    for words in ("never exported", "last check found damage", "Storage pools with a problem.", "not mounted"):
        assert words in text
    Repository.objects.update(encryption="none")
    assert "never exported" not in page_of(client_of(diane))


def test_running_tasks_and_the_last_archives_are_there(client_of, diane, job):
    Task.objects.create(
        kind="backup", queue="backup", state=State.RUNNING, subject="web1 files", started_at=timezone.now()
    )
    Archive.objects.create(
        repository=job.repository, job=job, job_name=job.name, name="one", borg_id="1" * 64, started_at=timezone.now()
    )
    text = page_of(client_of(diane))
    assert "Running now" in text
    assert 'id="task-row-' in text
    assert "1 archive to go back to" in text


@pytest.mark.django_db
def test_a_backup_near_midnight_counts_for_the_day_of_the_reader():
    now = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
    then = datetime(2026, 11, 25, 2, 30, tzinfo=UTC)  # still the 24th in Los Angeles
    Task.objects.create(kind="backup", queue="backup", state="failed", created_at=then, finished_at=then)
    Task.objects.create(kind="browse_open", queue="quick", state="failed", created_at=then, finished_at=then)
    Task.objects.create(
        kind="backup", queue="backup", state="notes", created_at=then, finished_at=then, result={"skipped": "overlap"}
    )
    for zone, index in (("America/Los_Angeles", -2), ("Europe/Paris", -1)):
        with timezone.override(zoneinfo.ZoneInfo(zone)), translation.override("en"):
            seen = results.results(now)
        assert seen.month[index].counts == {"failed": 1}
        assert seen.day_total == seen.month_total == {"failed": 1}
    assert seen.month[-1].label == "25 Nov 2026"
    with translation.override("fr"):
        assert results.results(now).month[-1].label == "25 nov. 2026"
        assert len(seen.day) == 24
        assert len(seen.month) == 30


def test_bars_say_their_numbers_to_everybody():
    with translation.override("en"):
        columns = [results.Column("Mon", Counter({"success": 8, "failed": 2})), results.Column("Tue", Counter())]
        drawn = results.bars(columns, "Backups")
    assert 'aria-label="Backups. Success: 8, Failed: 2"' in drawn
    assert "<title>Mon: Success 8, Failed 2</title>" in drawn
    assert "<title>Tue: nothing ran</title>" in drawn
    assert "style=" not in drawn


@pytest.mark.django_db
def test_the_cost_does_not_grow(client_of, diane, django_assert_max_num_queries, redis_server):
    """The same number of queries for five servers and for a hundred."""
    client = client_of(diane)
    call_command("seed", servers=5, jobs=10, archives=50, tasks=50, verbosity=0)
    page_of(client)
    with django_assert_max_num_queries(29) as few:
        page_of(client)
    for model in (Task, Archive, Schedule, BackupJob, Repository, StoragePool, Server):
        model.objects.all().delete()
    call_command("seed", servers=100, jobs=300, archives=2000, tasks=1500, verbosity=0)
    with django_assert_max_num_queries(29) as many:
        text = page_of(client)
    assert len(many) == len(few)
    assert text.count('class="tile ') == 100
