"""The wizard's way to a job for a database server or the whole system, by the report that the server gave."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from django.test import Client

from backups.forms.wizard_database import to_value
from backups.models import BackupJob, JobDraft, Repository
from backups.services import drafts
from phpborg.accounts.models import User
from phpborg.tasks.models import Task
from servers.models import Server
from servers.services import capabilities
from tests.backups.wizard_parts import (
    MARIADB,
    POSTGRESQL,
    ClientOf,
    choose,
    dump,
    report,
    see,
    step,
)
from tests.support.reports import cluster

ODD = ("weird-db name", "a$b;c", "-x", "../up", "naïve 😀", "50%25 & <b>")


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


def test_before_anybody_looked_only_files_can_be_chosen(browser: Client, draft: JobDraft) -> None:
    page = browser.get(step(draft, "kind")).content.decode()
    assert "Nobody has looked yet" in page
    assert "Look now" in page
    assert page.count('name="kind"') == 2
    assert choose(browser, draft, POSTGRESQL).status_code == 422


def test_looking_again_is_the_servers_own_task_and_keeps_the_choice(
    browser: Client, draft: JobDraft, local_server: Server
) -> None:
    answer = browser.post(step(draft, "kind"), {"kind": "system", "look": "1"})
    assert answer.headers["Location"] == f"{step(draft, 'kind')}?kind=system"
    task = Task.objects.get(kind=capabilities.KIND)
    assert task.server_ref == local_server.pk
    page = browser.get(answer.headers["Location"]).content.decode()
    assert "Looking now" in page
    assert f"watch=server:{local_server.pk}" in page
    assert page.split('value="system"')[1].split(">")[0].strip() == "checked"


def test_what_was_found_can_be_chosen_and_the_rest_is_explained(
    browser: Client, draft: JobDraft, seen: Callable[..., None]
) -> None:
    stopped = cluster("13/old", running=False)
    inside = cluster("port 5499", contained=True)
    seen(postgresql=[cluster(), stopped, inside])
    page = browser.get(step(draft, "kind")).content.decode()
    for value, can in (
        (POSTGRESQL, True),
        (MARIADB, True),
        ("postgresql:13/old", False),
        ("postgresql:port 5499", False),
    ):
        mark = page.split(f'value="{value}"')[1].split(">")[0]
        assert ("disabled" in mark) is not can, value
    assert "is not running" in page
    assert "in a container" in page
    assert "password authentication failed" in page  # MariaDB's own words: it lets nobody in yet
    assert "give a login in the next step" in page
    assert choose(browser, draft, "postgresql:13/old").status_code == 422
    assert choose(browser, draft, "redis:x").status_code == 422
    assert choose(browser, draft, POSTGRESQL).headers["Location"] == step(draft, "what")


def test_a_server_that_no_method_suits_says_what_is_missing(
    browser: Client, draft: JobDraft, seen: Callable[..., None]
) -> None:
    raw = report()
    raw["probes"]["mysql"]["facts"]["programs"] = {}
    seen(raw)
    page = browser.get(step(draft, "kind")).content.decode()
    assert "disabled" in page.split(f'value="{MARIADB}"')[1].split(">")[0]
    assert "mariadb-dump is not installed" in page
    assert "there are no snapshots" in page


def test_a_probe_that_did_not_answer_is_not_taken_for_none(
    browser: Client, draft: JobDraft, seen: Callable[..., None]
) -> None:
    raw = report(postgresql=[], mysql=[])
    seen(raw)
    assert "No database server was found" in browser.get(step(draft, "kind")).content.decode()
    raw["probes"]["mongodb"] = {"state": "late", "problem": "no answer in time", "seconds": 25, "facts": None}
    seen(raw)
    page = browser.get(step(draft, "kind")).content.decode()
    assert "No database server was found" not in page
    assert "not every probe" in page


# --- the details -----------------------------------------------------------------------------------


def test_methods_come_with_their_reason(browser: Client, draft: JobDraft, seen: Callable[..., None]) -> None:
    seen()
    choose(browser, draft, POSTGRESQL)
    page = browser.get(step(draft, "what")).content.decode()
    for name in ("stream", "snapshot", "logical"):
        assert f'id="method-{name}"' in page
    assert "LVM keeps" in page  # and how much
    choose(browser, draft, MARIADB)
    page = browser.get(step(draft, "what")).content.decode()
    mark = page.split('id="method-snapshot"')[1].split(">")[0]
    assert "disabled" in mark
    assert "there are no snapshots" in page


@pytest.mark.parametrize("name", ODD)
def test_any_name_of_a_database_survives(
    browser: Client, draft: JobDraft, seen: Callable[..., None], repository: Repository, name: str
) -> None:
    row = {"name": name, "size_bytes": 5, "is_template": False, "allows_connections": True}
    seen(postgresql=[cluster(databases=[row, {**row, "name": "other"}])])
    choose(browser, draft, POSTGRESQL)
    page = browser.get(step(draft, "what")).content.decode()
    assert f'value="{to_value(name)}"' in page
    answer = browser.post(step(draft, "what"), dump(name, next="1"))
    assert answer.headers["Location"] == step(draft, "where"), answer.content.decode()
    again = browser.get(step(draft, "what")).content.decode()
    assert "checked" in again.split(f'value="{to_value(name)}"')[1].split(">")[0]
    assert "checked" not in again.split('value="other"')[1].split(">")[0]
    browser.post(step(draft, "where"), {"repository": str(repository.pk), "compression": ""})
    browser.post(step(draft, "review"), {"name": "odd"})
    assert BackupJob.objects.get().source == {
        "instance": "15/main",
        "method": "logical",
        "databases": [name],
        "config_files": True,
        "login": "auto",
    }


def test_five_hundred_databases_can_be_shown_and_chosen(
    browser: Client, draft: JobDraft, seen: Callable[..., None]
) -> None:
    names = [f"tenant {number:03}" for number in range(500)]
    rows = [{"name": name, "size_bytes": 1, "is_template": False, "allows_connections": True} for name in names]
    seen(postgresql=[cluster(databases=rows)])
    choose(browser, draft, POSTGRESQL)
    page = browser.get(step(draft, "what")).content.decode()
    assert page.count('name="database"') == 500
    assert "data-filter-text" in page
    assert browser.post(step(draft, "what"), dump(*names, next="1")).status_code == 303
    draft.refresh_from_db()
    assert draft.answers["what"]["source"]["databases"] == names


def test_a_template_cannot_be_chosen_and_what_is_gone_stays_in_sight(
    browser: Client, draft: JobDraft, seen: Callable[..., None]
) -> None:
    row = {"name": "template1", "size_bytes": 5, "is_template": True, "allows_connections": True}
    seen(postgresql=[cluster(databases=[row, {**row, "name": "shop", "is_template": False}])])
    choose(browser, draft, POSTGRESQL)
    browser.post(step(draft, "what"), dump("gone", "shop", next="1"))
    page = browser.get(step(draft, "what")).content.decode()
    assert "disabled" in page.split('value="template1"')[1].split(">")[0]
    assert "checked" in page.split('value="gone"')[1].split(">")[0]
    assert "was not found" in page


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"scope": "all", "login": "auto"}, "Choose a method"),
        ({"way": "nonsense", "scope": "all", "login": "auto"}, "does not exist for this kind"),
        ({"way": "logical", "scope": "chosen", "login": "auto"}, "at least one database"),
        ({"way": "stream", "scope": "all", "login": "given", "user": " ", "password": "x"}, "has a name"),
        ({"way": "stream", "login": "given", "user": "a\nb", "password": "x"}, "one line"),
        ({"way": "logical", "scope": "chosen", "database": "x" * 64, "login": "auto"}, "1 to 63"),
    ],
)
def test_bad_answers_get_a_sentence(
    browser: Client, draft: JobDraft, seen: Callable[..., None], data: dict[str, str], words: str
) -> None:
    seen()
    choose(browser, draft, POSTGRESQL)
    answer = browser.post(step(draft, "what"), {**data, "next": "1"})
    assert answer.status_code == 422
    assert words in answer.content.decode()


def test_a_server_that_is_gone_from_the_report_says_so(
    browser: Client, draft: JobDraft, seen: Callable[..., None]
) -> None:
    seen()
    choose(browser, draft, POSTGRESQL)
    seen(postgresql=[])
    page = browser.get(step(draft, "what"))
    assert page.status_code == 200
    assert "did not find this database server" in page.content.decode()


def test_the_whole_system(browser: Client, draft: JobDraft, seen: Callable[..., None], repository: Repository) -> None:
    seen()
    choose(browser, draft, "system")
    assert browser.post(step(draft, "what"), {"excludes": "re:(", "next": "1"}).status_code == 422
    browser.post(step(draft, "what"), {"excludes": "*.tmp", "all_filesystems": "on", "next": "1"})
    browser.post(step(draft, "where"), {"repository": str(repository.pk), "compression": ""})
    review = browser.get(step(draft, "review")).content.decode()
    assert "Files of a database server, copied while they change" in review
    browser.post(step(draft, "review"), {"name": "all of it"})
    job = BackupJob.objects.get()
    assert (job.source_kind, job.source) == ("system", {"excludes": ["*.tmp"], "all_filesystems": True})
