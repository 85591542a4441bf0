"""The wizard from the first step to the job, asking this machine through the real helper."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from backups.models import BackupJob, JobDraft, Repository
from backups.sources import paths as spelling
from phpborg.accounts.models import User
from phpborg.tasks.models import Task
from servers.models import Server

ClientOf = Callable[[User], Client]


@pytest.fixture
def browser(client_of: ClientOf, alice: User) -> Client:
    return client_of(alice)


def step(draft: JobDraft, name: str) -> str:
    return reverse("job-wizard-step", args=[draft.pk, name])


@pytest.fixture
def draft(browser: Client, local_server: Server) -> JobDraft:
    answer = browser.post(reverse("job-wizard"), {"server": str(local_server.pk)})
    draft = JobDraft.objects.get()
    assert answer.headers["Location"] == step(draft, "kind")
    answer = browser.post(step(draft, "kind"), {"kind": "files"})
    assert answer.headers["Location"] == step(draft, "what")
    draft.refresh_from_db()
    return draft


def test_only_ready_servers_can_be_chosen(browser: Client, local_server: Server) -> None:
    other = Server.objects.create(name="web1", address="10.0.0.9", state=Server.State.NEW)
    page = browser.get(reverse("job-wizard")).content.decode()
    assert f'value="{other.pk}"' not in page
    assert "it is not set up yet" in page
    assert browser.post(reverse("job-wizard"), {"server": str(other.pk)}).status_code == 422


@pytest.mark.real
def test_the_whole_wizard(browser: Client, draft: JobDraft, real_repository: Repository, tree: Path) -> None:
    (tree / "drop.tmp").write_text("x")
    what = {"more_paths": str(tree), "excludes": "*.tmp\nsh:**/nothing-like-this", "one_file_system": "on"}
    checked = browser.post(step(draft, "what"), {**what, "check": "1"}, follow=True).content.decode()
    assert "drop.tmp" in checked
    assert "matches nothing" in checked
    assert "nothing-like-this" in checked
    value = spelling.to_form(os.fsencode(tree))
    answer = browser.post(step(draft, "what"), {"path": value, **what, "more_paths": "", "next": "1"})
    assert answer.headers["Location"] == step(draft, "where")
    browser.post(step(draft, "where"), {"repository": str(real_repository.pk), "compression": "lz4"})
    browser.post(
        step(draft, "options"),
        {"nice": "5", "time_limit_minutes": "90", "hook_seconds": "60", "notify": "a@example.org b@example.org"},
    )
    schedule = {"mode": "cron", "cron": "30 2 * * 1-5", "zone": "Europe/Paris"}
    shown = browser.post(step(draft, "schedule"), {**schedule, "preview": "1"}, follow=True).content.decode()
    assert "Times of Europe/Paris" in shown
    assert shown.count("<li>\n          <time") == 10
    browser.post(step(draft, "schedule"), schedule)
    review = browser.get(step(draft, "review")).content.decode()
    assert "borg" in review
    assert "create" in review
    assert "canary" not in review
    answer = browser.post(step(draft, "review"), {"name": "tree job", "run_now": "on"})
    job = BackupJob.objects.get()
    assert (job.name, job.nice, job.time_limit_seconds) == ("tree job", 5, 5400)
    assert job.notify == "a@example.org, b@example.org"
    assert job.source["excludes"] == ["*.tmp", "sh:**/nothing-like-this"]
    assert job.schedule.cron == "30 2 * * 1-5"
    assert answer.headers["Location"] == Task.objects.get(kind="backup").get_absolute_url()
    assert not JobDraft.objects.exists()


@pytest.mark.real
def test_folders_are_picked_whatever_their_names(browser: Client, draft: JobDraft, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + "/odé d\n&name".encode()
    os.mkdir(odd)
    os.mkdir(os.fsencode(tmp_path) + b"/not\xff")
    opened = browser.post(step(draft, "what"), {"open": spelling.to_form(os.fsencode(tmp_path))}, follow=True)
    page = opened.content.decode()
    assert f'value="{spelling.to_form(odd)}"' in page
    assert "not\\xff" in page
    assert "Not UTF-8" in page
    browser.post(step(draft, "what"), {"add": spelling.to_form(odd), "here": str(tmp_path)})
    draft.refresh_from_db()
    (kept,) = draft.answers["what"]["source"]["paths"]
    assert spelling.from_json(kept) == odd
    browser.post(step(draft, "what"), {"path": spelling.to_form(odd), "next": "1"})
    draft.refresh_from_db()
    assert draft.step == "where"
    browser.post(step(draft, "what"), {"path": spelling.to_form(odd), "drop": spelling.to_form(odd)})
    draft.refresh_from_db()
    assert draft.answers["what"]["source"]["paths"] == []


@pytest.mark.real
def test_a_folder_that_is_not_there_is_a_sentence(browser: Client, draft: JobDraft) -> None:
    page = browser.post(step(draft, "what"), {"open": "/no/such/folder"}, follow=True)
    assert page.status_code == 200
    assert "No such file" in page.content.decode()


def test_presets_bring_their_exclusions(browser: Client, draft: JobDraft) -> None:
    browser.post(step(draft, "what"), {"preset": "system"})
    draft.refresh_from_db()
    source = draft.answers["what"]["source"]
    assert source["paths"] == ["/"]
    assert {"/proc/*", "/sys/*", "/dev/*", "/run/*", "/tmp/*"} <= set(source["excludes"])


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("more_paths", "relative/path", "must start with /"),
        ("more_paths", "/a/../b", "must not hold"),
        ("more_paths", "", "at least one"),
        ("more_paths", "--exclude=/x", "must start with /"),
        ("excludes", "--repo-only", "a pattern starts with"),
        ("excludes", "re:(", "not valid"),
    ],
)
def test_bad_sources_get_a_sentence_on_the_field(
    browser: Client, draft: JobDraft, field: str, value: str, words: str
) -> None:
    data = {"more_paths": "/etc", "next": "1", field: value}
    answer = browser.post(step(draft, "what"), data)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    draft.refresh_from_db()
    assert draft.step == "what"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"mode": "cron", "cron": "* * *", "zone": "UTC"}, "five fields"),
        ({"mode": "cron", "cron": "0 0 31 2 *", "zone": "UTC"}, "never comes"),
        ({"mode": "weekly", "at": "02:00", "zone": "UTC"}, "at least one day"),
        ({"mode": "daily", "at": "", "zone": "UTC"}, "Give a time"),
        ({"mode": "daily", "at": "02:00", "zone": "Mars/Base"}, "Select a valid choice"),
    ],
)
def test_bad_schedules_get_a_sentence(browser: Client, draft: JobDraft, data: dict[str, str], words: str) -> None:
    answer = browser.post(step(draft, "schedule"), data)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    fragment = browser.get(reverse("job-wizard-runs", args=[draft.pk]), data)
    assert fragment.status_code == 200
    assert words in fragment.content.decode()


def test_the_preview_says_that_the_clock_changes(browser: Client, draft: JobDraft) -> None:
    data = {"mode": "cron", "cron": "30 2 25-31 3,10 0", "zone": "Europe/Paris"}
    page = browser.get(reverse("job-wizard-runs", args=[draft.pk]), data).content.decode()
    assert "clock" in page


def test_leaving_keeps_the_draft(browser: Client, draft: JobDraft) -> None:
    answer = browser.post(step(draft, "what"), {"more_paths": "/etc", "leave": "1"})
    assert answer.headers["Location"] == reverse("jobs")
    assert step(draft, "where") in browser.get(reverse("jobs")).content.decode()


def test_an_incomplete_draft_makes_no_job(browser: Client, draft: JobDraft) -> None:
    page = browser.get(step(draft, "review"))
    assert page.status_code == 200
    assert "choose a repository" in page.content.decode()
    browser.post(step(draft, "review"), {"name": "half"})
    assert not BackupJob.objects.exists()
    assert JobDraft.objects.exists()


def test_a_name_that_is_taken_is_refused(
    browser: Client, draft: JobDraft, repository: Repository, make_job: Callable[..., BackupJob]
) -> None:
    make_job(repository, b"/etc", name="taken")
    answer = browser.post(step(draft, "review"), {"name": "taken"})
    assert answer.status_code == 422
    assert "another job has this name" in answer.content.decode()


def test_editing_opens_the_wizard_with_the_values(
    browser: Client, repository: Repository, make_job: Callable[..., BackupJob]
) -> None:
    job = make_job(repository, b"/etc", name="before", cron="15 3 * * 1,4", zone="UTC", nice=3)
    browser.post(reverse("job-edit", args=[job.pk]))
    draft = JobDraft.objects.get(job=job)
    assert 'value="03:15"' in browser.get(step(draft, "schedule")).content.decode()
    browser.post(step(draft, "review"), {"name": "after"})
    job.refresh_from_db()
    assert (job.name, job.nice, job.schedule.cron) == ("after", 3, "15 3 * * 1,4")
    assert BackupJob.objects.count() == 1
