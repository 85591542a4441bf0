"""Database jobs beside the wizard: from the shell, on their page, in the admin."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from backups.models import BackupJob, JobDraft, Repository
from backups.services import credentials, drafts
from backups.services.credentials import Login
from phpborg.accounts.models import User
from servers.models import Server
from tests.backups.wizard_parts import (
    CANARY,
    ClientOf,
    see,
)
from tests.support.reports import cluster


@pytest.fixture
def browser(client_of: ClientOf, alice: User) -> Client:
    return client_of(alice)


@pytest.fixture
def draft(db: None, alice: User, local_server: Server) -> JobDraft:
    return drafts.begin(owner=alice, server=local_server)


@pytest.fixture
def seen(local_server: Server) -> Callable[..., None]:
    """`seen(postgresql=[…])`: the newest report says so."""
    return partial(see, local_server)


def create(*words: str, stdin: str = "", monkeypatch: pytest.MonkeyPatch) -> BackupJob:
    """`manage.py job create …`"""
    monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    out = io.StringIO()
    call_command("job", "create", *words, "--server", "localhost", "--repository", "repo", "--json", stdout=out)
    assert "canary-91d2" not in out.getvalue()
    return BackupJob.objects.get(pk=json.loads(out.getvalue())["id"])


@pytest.fixture
def places(local_server: Server, repository: Repository) -> None:
    """What a job needs."""


def test_the_shell_makes_a_database_job(places: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = ["pg", "--kind", "postgresql", "--instance", "15/main", "--method", "logical", "--no-config-files"]
    job = create(*words, "--database", "a$b;c", "--database=-x", monkeypatch=monkeypatch)
    assert job.source_kind == "postgresql"
    assert job.source == {
        "instance": "15/main",
        "method": "logical",
        "databases": ["a$b;c", "-x"],
        "config_files": False,
        "login": "auto",
    }
    file = tmp_path / "password"
    file.write_text(CANARY + "\n")
    for number, place in enumerate(("-", str(file))):
        words = [f"my {number}", "--kind", "mysql", "--instance", "port 3306", "--login-user", "backup"]
        job = create(*words, "--password-file", place, stdin=f"{CANARY}\n", monkeypatch=monkeypatch)
        assert credentials.given(job) == Login("backup", CANARY)
    job = create("all", "--kind", "system", "--exclude", "*.tmp", monkeypatch=monkeypatch)
    assert job.source == {"excludes": ["*.tmp"], "all_filesystems": True}


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--kind", "postgresql", "--instance", "a", "--path", "/etc"], "--path means nothing"),
        (["--path", "/etc", "--instance", "a"], "--instance means nothing"),
        (["--kind", "mysql", "--instance", "a", "--login-user", "x"], "belong together"),
        (["--kind", "mysql", "--instance", "a", "--login-user", "x", "--password-file", "/no/such"], "No such file"),
    ],
)
def test_the_shell_refuses_what_makes_no_sense(
    places: None, monkeypatch: pytest.MonkeyPatch, words: list[str], problem: str
) -> None:
    with pytest.raises(CommandError, match=problem):
        create("x", *words, monkeypatch=monkeypatch)
    assert not BackupJob.objects.exists()


def test_the_job_page_says_what_it_does(
    browser: Client, places: None, seen: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["pg", "--kind", "postgresql", "--instance", "15/main", "--method", "logical"]
    job = create(*words, "--database", "weird-db name", monkeypatch=monkeypatch)
    pages = []
    for report_of in (None, {"postgresql": [cluster()]}, {"postgresql": [cluster(running=False)]}):
        if report_of is not None:
            seen(**report_of)
        pages.append(browser.get(job.get_absolute_url()).content.decode())
    assert all("weird-db name" in page and "15/main" in page for page in pages)
    assert "The plan of a run" in pages[1]
    assert "is not running" in pages[2]
    assert browser.get(reverse("jobs")).status_code == 200


@pytest.mark.parametrize("model", ["backupjob", "jobdraft"])
def test_the_admin_shows_no_login(
    browser: Client, draft: JobDraft, places: None, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    words = ["x", "--kind", "mysql", "--instance", "port 3306", "--login-user", "backup", "--password-file", "-"]
    job = create(*words, stdin=CANARY, monkeypatch=monkeypatch)
    drafts.keep_login(draft=draft, user="backup", password=CANARY)
    pk = job.pk if model == "backupjob" else draft.pk
    page = browser.get(reverse(f"admin:backups_{model}_change", args=[pk]))
    assert page.status_code == 200
    for secret in ("canary-91d2", "redentials", str(job.credentials), str(draft.credentials)):
        assert secret not in page.content.decode()
