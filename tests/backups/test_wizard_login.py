"""The login that is given for a database server: kept encrypted, tried when asked, never shown."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from backups.forms.wizard_database import to_value
from backups.models import BackupJob, JobDraft, Repository
from backups.services import credentials, database_login, database_offers, drafts, jobs
from backups.services.credentials import Login
from backups.services.jobs import JobDefinition
from phpborg.accounts.models import User
from phpborg.errors import InvalidInput
from servers.capabilities.report import parse
from servers.errors import HostUnreachable
from servers.models import Server
from servers.services import reach
from tests.backups.wizard_parts import (
    CANARY,
    MARIADB,
    POSTGRESQL,
    ClientOf,
    FakeHost,
    choose,
    dump,
    given,
    report,
    see,
    step,
)
from tests.support import mariadb as mariadb_servers
from tests.support.reports import cluster, login, mariadb


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


@pytest.fixture
def short_place() -> Iterator[Path]:
    """A directory that the server's own account reaches, with a name short enough for a socket."""
    place = Path(tempfile.mkdtemp(prefix="phpborg-login-", dir="/var/tmp"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], FakeHost]:
    """`answers(report)`: what the server says when a login is tried."""

    def say(answer: Any) -> FakeHost:
        fake = FakeHost(answer)
        monkeypatch.setattr(database_login, "host_for", lambda server: fake)
        return fake

    return say


def test_a_password_is_kept_encrypted_and_never_shown(
    browser: Client,
    draft: JobDraft,
    seen: Callable[..., None],
    repository: Repository,
    client_of: ClientOf,
    diane: User,
) -> None:
    seen()
    choose(browser, draft, POSTGRESQL)
    browser.post(step(draft, "what"), given(next="1"))
    draft.refresh_from_db()
    assert CANARY not in json.dumps(draft.answers) + str(draft.credentials)
    assert drafts.login_of(draft) == Login("backup", CANARY)
    browser.post(step(draft, "where"), {"repository": str(repository.pk), "compression": ""})
    pages = [browser.get(step(draft, name)).content.decode() for name in drafts.STEPS]
    assert "A password is kept" in pages[drafts.STEPS.index("what")]
    browser.post(step(draft, "review"), {"name": "secret"})
    job = BackupJob.objects.get()
    assert credentials.given(job) == Login("backup", CANARY)
    pages += [client.get(job.get_absolute_url()).content.decode() for client in (browser, client_of(diane))]
    assert not any("canary-91d2" in page for page in pages)


def test_an_empty_password_keeps_what_is_there(
    browser: Client, draft: JobDraft, seen: Callable[..., None], repository: Repository
) -> None:
    seen()
    choose(browser, draft, POSTGRESQL)
    browser.post(step(draft, "what"), given(next="1"))
    browser.post(step(draft, "where"), {"repository": str(repository.pk), "compression": ""})
    browser.post(step(draft, "review"), {"name": "first"})
    job = BackupJob.objects.get()
    browser.post(reverse("job-edit", args=[job.pk]))
    edit = JobDraft.objects.get(job=job)
    page = browser.get(step(edit, "what")).content.decode()
    assert 'value="backup"' in page
    browser.post(step(edit, "what"), given("", next="1"))
    browser.post(step(edit, "review"), {"name": "second"})
    job.refresh_from_db()
    assert (job.name, credentials.given(job)) == ("second", Login("backup", CANARY))
    browser.post(reverse("job-edit", args=[job.pk]))
    browser.post(step(JobDraft.objects.get(job=job), "what"), {**dump(), "next": "1"})
    browser.post(step(JobDraft.objects.get(job=job), "review"), {"name": "third"})
    job.refresh_from_db()
    assert (job.source["login"], job.credentials) == ("auto", "")


def test_another_user_never_gets_the_password_of_the_one_before(
    browser: Client, draft: JobDraft, seen: Callable[..., None]
) -> None:
    seen()
    choose(browser, draft, POSTGRESQL)
    browser.post(step(draft, "what"), given(next="1"))
    browser.post(step(draft, "what"), given("", user="other", next="1"))
    draft.refresh_from_db()
    assert drafts.login_of(draft) == Login("other", "")


def test_the_review_does_not_blame_a_given_login_for_what_was_said_to_another(
    browser: Client, draft: JobDraft, seen: Callable[..., None], repository: Repository
) -> None:
    seen(mysql=[mariadb(login=login(False, problem="Access denied for user 'root'@'localhost'"))])
    choose(browser, draft, MARIADB)
    browser.post(step(draft, "what"), given(next="1"))
    browser.post(step(draft, "where"), {"repository": str(repository.pk), "compression": ""})
    page = browser.get(step(draft, "review")).content.decode()
    assert "A run signs in with it" in page
    assert "Access denied" not in page
    assert "MySQL / MariaDB port 3306" in page


@pytest.mark.parametrize("elsewhere", ["instance", "server"])
def test_a_password_never_goes_to_another_server(
    browser: Client, draft: JobDraft, seen: Callable[..., None], elsewhere: str
) -> None:
    seen()
    choose(browser, draft, POSTGRESQL)
    browser.post(step(draft, "what"), given(next="1"))
    if elsewhere == "instance":
        choose(browser, draft, MARIADB)
    else:
        other = Server.objects.create(name="web1", address="10.0.0.9", state=Server.State.READY)
        browser.post(step(draft, "server"), {"server": str(other.pk)})
    draft.refresh_from_db()
    assert (draft.credentials, drafts.login_of(draft)) == ("", None)
    assert drafts.source_of_draft(draft).get("instance", "") != "15/main"


def test_a_job_with_a_given_login_needs_one(repository: Repository, local_server: Server) -> None:
    source = {"instance": "15/main", "login": "given"}
    wanted = JobDefinition("x", local_server, repository, source, "postgresql")
    with pytest.raises(InvalidInput, match="give a user"):
        jobs.create_job(definition=wanted)
    assert CANARY not in repr(
        JobDefinition("x", local_server, repository, source, "postgresql", Login("a", CANARY).sealed())
    )


def tried(browser: Client, draft: JobDraft, **more: str) -> str:
    """The page after “Try this login”."""
    answer = browser.post(step(draft, "what"), given(**{"try": "1", **more}))
    assert answer.status_code == 200
    page = answer.content.decode()
    assert "canary-91d2" not in page
    return page.split('id="tried"')[1].split("</fieldset>")[0]


def test_a_login_that_works_shows_what_it_sees(
    browser: Client, draft: JobDraft, seen: Callable[..., None], answers: Callable[[Any], FakeHost]
) -> None:
    seen()
    choose(browser, draft, MARIADB)
    rows = [{"name": "shop", "size_bytes": 7}, {"name": "a$b;c", "size_bytes": None}]
    works = login(method="given", user="backup")
    fake = answers(report(mysql=[mariadb(login=works, databases=rows)]))
    page = tried(browser, draft, way="logical")
    assert "The login works" in page
    assert "2 databases" in page
    (asked,) = fake.asked
    assert (asked["verb"], asked["only"], asked["size_seconds"]) == ("capabilities", ["mysql"], 0)
    assert json.loads(asked["secrets"]["mysql"]) == {
        "user": "backup",
        "password": CANARY,
        "alone": True,
        "socket": "/run/mysqld/mysqld.sock",
    }
    # They can be chosen from now on, though the report, which nobody signed in for, has none.
    assert f'value="{to_value("a$b;c")}"' in browser.get(step(draft, "what")).content.decode()


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("ERROR 1698 (28000): Access denied for user 'root'@'localhost'", "through its socket and only for"),
        ("ERROR 1045 (28000): Access denied for user 'x'@'localhost' (using password: YES)", "password is wrong"),
        ("ERROR 1130 (HY000): Host '127.0.0.1' is not allowed to connect", "may not sign in from"),
    ],
)
def test_why_a_login_is_refused_is_in_the_servers_own_words(
    browser: Client,
    draft: JobDraft,
    seen: Callable[..., None],
    answers: Callable[[Any], FakeHost],
    words: str,
    advice: str,
) -> None:
    seen()
    choose(browser, draft, MARIADB)
    answers(report(mysql=[mariadb(login=login(False, problem=words))]))
    page = tried(browser, draft)
    assert words.split(" (")[0] in page
    assert advice in page
    assert "does not let" in page


@pytest.mark.real
def test_root_over_tcp_is_refused_and_the_button_says_why(
    browser: Client, draft: JobDraft, seen: Callable[..., None], answers: Callable[[Any], FakeHost], short_place: Path
) -> None:
    seen()
    choose(browser, draft, MARIADB)
    with mariadb_servers.running(short_place / "data", short_place / "place") as server:
        assert server.sql("select 1") == "1"  # by the socket, as root
        where = ["--protocol=tcp", "--host=127.0.0.1", f"--port={server.port}"]
        words = subprocess.run(
            ["mariadb", "--no-defaults", *where, "--user=root", "--execute=select 1"], capture_output=True, text=True
        ).stderr
    answers(report(mysql=[mariadb(login=login(False, problem=words.strip()))]))
    page = tried(browser, draft, user="root", password="")
    assert "Access denied for user" in page
    assert "over the network it is always refused" in page


@pytest.mark.real
def test_only_the_login_that_is_asked_about_is_tried(local_server: Server, short_place: Path) -> None:
    """Through the real helper: root's own way in works here, and still a wrong password does not."""
    with mariadb_servers.running(short_place / "data", short_place / "place") as server:
        server.sql("create user backup@localhost identified by 'right one'; grant all on *.* to backup@localhost")
        server.sql("create database `a$b;c`")
        found = parse(reach.host_for(local_server).call("capabilities", {"only": ["mysql"], "size_seconds": 0}))
        assert found.mysql
        (instance,) = [one for one in found.mysql.instances if one.port == server.port]
        offer = database_offers.offer_of(found, "mysql", str(instance.id))
        assert offer
        assert instance.login.method == "socket"
        right, wrong, root = (
            database_login.try_login(server=local_server, offer=offer, instance=instance, login=Login(user, password))
            for user, password in (("backup", "right one"), ("backup", "wrong"), ("root", ""))
        )
    assert (right.works, wrong.works, root.works) == (True, False, True)
    assert "a$b;c" in [one.name for one in right.databases]
    assert "1045" in wrong.detail
    assert "password is wrong" in wrong.advice


def test_what_was_not_tried_is_not_said_to_work(
    browser: Client, draft: JobDraft, seen: Callable[..., None], answers: Callable[[Any], FakeHost]
) -> None:
    seen()
    choose(browser, draft, POSTGRESQL)
    answers(report())
    assert "was not tried" in tried(browser, draft)
    answers(report(postgresql=[cluster(login=login(False, problem="it wants a login: give one for it"))]))
    assert "could not be tried" in tried(browser, draft)
    answers(report(postgresql=[]))
    assert "did not say whether it works" in tried(browser, draft)
    answers(HostUnreachable("no route", address="db1"))
    assert "tone-warn" in tried(browser, draft)


@pytest.mark.parametrize("person", ["bob", "diane"])
def test_only_administrators_make_jobs(
    request: pytest.FixtureRequest, client_of: ClientOf, draft: JobDraft, person: str
) -> None:
    client = client_of(request.getfixturevalue(person))
    for name in ("kind", "what"):
        assert client.get(step(draft, name)).status_code == 403
        assert client.post(step(draft, name), {"try": "1"}).status_code == 403
