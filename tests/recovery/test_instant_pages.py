"""The pages of Instant Recovery: what is found, chosen and planned; a session in each of its states; who may what."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from backups.models import Archive
from phpborg.accounts.models import User
from phpborg.crypto import EncryptedField
from phpborg.tasks import live
from phpborg.tasks.models import Task
from phpborg.tasks.states import State as TaskState
from recovery.engines.base import Consistency
from recovery.models import Session
from recovery.services import found_json, serving, sessions
from recovery.services.connecting import connection_of
from servers.models import Server
from tests.engines.test_found_json import POSTGRESQL, POSTGRESQL_WHOLE
from tests.recovery.test_database_plan import archive_of
from tests.servers.fleet_of_answers import make_servers
from tests.tasks.test_pages import text_of

pytestmark = pytest.mark.django_db
PASSWORD = "not-to-be-seen-7"
ClientOf = Callable[[User], Client]


@pytest.fixture
def archive() -> Archive:
    make_servers("web", "db")
    Server.objects.update(state=Server.State.READY)
    return archive_of(Server.objects.get(name="db"), method="snapshot")


def looked(archive: Archive, *found: Any, state: TaskState = TaskState.SUCCESS, **more: Any) -> Task:
    """A look that has ended, or not."""
    rows = [found_json.dump(one) for one in found]
    return Task.objects.create(
        kind="instant_look", queue="quick", archive_ref=archive.pk, state=state, result={"found": rows}, **more
    )


def session_of(archive: Archive, state: str, **more: Any) -> Session:
    """A session in some state, with its task."""
    task_state = {"stopped": TaskState.SUCCESS, "failed": TaskState.FAILED}.get(state, TaskState.RUNNING)
    error = {"error_code": "HLP-16", "error_facts": {"address": "db"}} if state == "failed" else {}
    task = Task.objects.create(
        kind="instant_recovery",
        queue="sessions",
        state=task_state,
        subject="a session",
        started_at=timezone.now(),
        **error,
    )
    asked, _login = serving.request(POSTGRESQL_WHOLE, "postgres:15", read_only=True)
    return Session.objects.create(
        archive=archive,
        archive_name=archive.name,
        server=Server.objects.get(name="db"),
        server_name="db",
        product="postgresql",
        version="15",
        directory="var/lib/postgresql/15/main",
        image="postgres:15",
        asked={**asked.args, "engine": "/run/docker.sock", "pull": True},
        login="phpborg",
        password=EncryptedField.seal(PASSWORD),
        state=state,
        task_ref=task.pk,
        expires_at=timezone.now(),
        **{**error, **more},
    )


def test_before_anything_is_known_the_archive_is_looked_into_once(
    client_of: ClientOf, bob: User, archive: Archive
) -> None:
    browser = client_of(bob)
    page = reverse("instant", args=[archive.pk])
    assert "Look for databases" in text_of(browser.get(page))
    for _ in range(2):
        assert browser.post(reverse("instant-look", args=[archive.pk])).status_code == 302
    assert Task.objects.filter(kind="instant_look").count() == 1
    assert "is looked into" in text_of(browser.get(page))


def test_a_look_that_found_nothing_says_why(client_of: ClientOf, bob: User, archive: Archive) -> None:
    """Case 109."""
    looked(archive, state=TaskState.FAILED, error_code="REC-22", error_facts={})
    text = text_of(client_of(bob).get(reverse("instant", args=[archive.pk])))
    assert "dumps" in text
    assert "REC-22" in text


def test_the_plan_stands_there_before_the_button(client_of: ClientOf, bob: User, archive: Archive) -> None:
    looked(archive, POSTGRESQL_WHOLE)
    text = text_of(client_of(bob).get(reverse("instant", args=[archive.pk])))
    for words in ("PostgreSQL 15", "Start the database", "--network none", "Fetch the image postgres:15", "15432"):
        assert words in text, words
    assert not Session.objects.exists()


def answers(archive: Archive, **changes: Any) -> dict[str, Any]:
    server = str(Server.objects.get(name="web").pk)
    return {"database": "0", "server": server, "mode": "read-only", "hours": "2", "fetch": "on", **changes}


def start(browser: Client, archive: Archive, **changes: Any) -> Any:
    """Press the button of the plan that is shown for these answers."""
    address = reverse("instant-start", args=[archive.pk])
    shown = browser.post(address, answers(archive, **changes)).context["shown"]
    return browser.post(address, answers(archive, start="1", shown=shown, **changes))


def test_what_was_not_shown_is_not_started(client_of: ClientOf, bob: User, archive: Archive) -> None:
    looked(archive, POSTGRESQL_WHOLE)
    browser, address = client_of(bob), reverse("instant-start", args=[archive.pk])
    shown = browser.post(address, answers(archive)).context["shown"]
    other = browser.post(address, answers(archive, mode="writable", start="1", shown=shown))
    assert other.status_code == 422
    assert "Nothing is started yet" in other.content.decode()
    assert not Session.objects.exists()
    again = answers(archive, mode="writable", start="1", shown=other.context["shown"])
    assert browser.post(address, again)["Location"] == Session.objects.get().get_absolute_url()


def test_what_was_shown_is_started(client_of: ClientOf, bob: User, archive: Archive) -> None:
    looked(archive, POSTGRESQL_WHOLE)
    browser, address = client_of(bob), reverse("instant-start", args=[archive.pk])
    shown = browser.post(address, answers(archive, mode="writable"))
    assert shown.status_code == 200
    assert "A sandbox" in text_of(shown)
    assert not Session.objects.exists()
    started = start(browser, archive, mode="writable")
    session = Session.objects.get()
    assert started["Location"] == session.get_absolute_url()
    assert (session.state, session.is_read_only, session.server_name) == ("starting", False, "web")
    assert session.requested_by == bob
    assert Task.objects.get(pk=session.task_ref).kind == "instant_recovery"
    assert browser.get(address)["Location"] == reverse("instant", args=[archive.pk])


def test_of_several_databases_one_is_chosen(client_of: ClientOf, bob: User, archive: Archive) -> None:
    """Case 109."""
    looked(archive, POSTGRESQL_WHOLE, replace(POSTGRESQL_WHOLE, path=b"srv/second", version="14"))
    browser = client_of(bob)
    assert "srv/second" in text_of(browser.get(reverse("instant", args=[archive.pk])))
    start(browser, archive, database="1")
    assert Session.objects.get().directory == "srv/second"


def test_an_image_that_does_not_fit_is_refused_until_it_is_chosen_openly(
    client_of: ClientOf, bob: User, archive: Archive
) -> None:
    """Case 98."""
    looked(archive, POSTGRESQL_WHOLE)
    browser, address = client_of(bob), reverse("instant-start", args=[archive.pk])
    refused = browser.post(address, answers(archive, image="postgres:13", start="1"))
    assert refused.status_code == 422
    assert "REC-19" in refused.content.decode()
    assert not Session.objects.exists()
    start(browser, archive, image="postgres:13", openly="on")
    assert Session.objects.get().image == "postgres:13"


def test_what_cannot_be_started_says_why_before_it_is_chosen(client_of: ClientOf, bob: User, archive: Archive) -> None:
    """And the first that can is what is offered."""
    nobodys = replace(POSTGRESQL_WHOLE, path=b"srv/nobodys", owner=None)
    unknown = replace(POSTGRESQL_WHOLE, path=b"srv/unknown", version=None)
    doubtful = replace(POSTGRESQL_WHOLE, path=b"srv/live", consistency=Consistency.DOUBTFUL)
    looked(archive, nobodys, unknown, POSTGRESQL, doubtful)
    page = client_of(bob).get(reverse("instant", args=[archive.pk]))
    text = text_of(page)
    assert text.count("Cannot be started") == 3
    for words in (
        "The account that owns its files",
        "The version of its files",
        "tablespace",
        "Choose another archive",
    ):
        assert words in text, words
    assert "A try does the archive no harm" in text
    assert page.context["form"].initial["database"] == "3"
    assert page.context["session"].directory == "srv/live"
    refused = client_of(bob).post(reverse("instant-start", args=[archive.pk]), answers(archive))
    assert (refused.status_code, refused.context["reason"]) == (422, "The account that owns its files is not known.")


@pytest.mark.parametrize(
    "changes",
    [
        {"hours": "0"},
        {"hours": "x"},
        {"server": "7"},
        {"mode": "both"},
        {"database": "4"},
        {"docker": "docker.sock"},
        {"image": "a b", "openly": "on"},
        {"image": "--privileged", "openly": "on"},
        {"docker": "/run/../x"},
    ],
)
def test_a_wrong_answer_is_told(client_of: ClientOf, bob: User, archive: Archive, changes: dict[str, str]) -> None:
    looked(archive, POSTGRESQL_WHOLE)
    answer = client_of(bob).post(reverse("instant-start", args=[archive.pk]), answers(archive, start="1", **changes))
    assert answer.status_code == 422
    assert not Session.objects.exists()


def test_without_a_ready_server_that_is_said(client_of: ClientOf, bob: User, archive: Archive) -> None:
    Server.objects.update(state=Server.State.NEW)
    looked(archive, POSTGRESQL_WHOLE)
    text = text_of(client_of(bob).get(reverse("instant", args=[archive.pk])))
    assert "No server is ready" in text
    assert "Start the database" not in text


@pytest.mark.parametrize("state", ["starting", "ready", "stopping", "stopped", "failed"])
def test_a_session_in_each_state(client_of: ClientOf, bob: User, archive: Archive, state: str) -> None:
    session = session_of(archive, state, port=15432 if state == "ready" else None)
    browser = client_of(bob)
    page = browser.get(session.get_absolute_url())
    text = text_of(page)
    assert page.status_code == 200
    assert PASSWORD not in page.content.decode()
    assert ("psql -h 127.0.0.1 -p 15432 -U phpborg postgres" in text) == (state == "ready")
    assert ("HLP-16" in text) == (state == "failed")
    assert ("Show the password" in text) == (state == "ready")
    assert ("Let it live longer" in text) == (state in Session.ACTIVE)
    assert ("The archive is as it was" in text) == (state == "stopped")
    assert ("Stop this session?" in page.content.decode()) == (state in Session.ACTIVE)
    assert archive.name in text_of(browser.get(reverse("sessions")))
    of_task = browser.get(reverse("session-of-task", args=[session.task_ref]))
    assert of_task["Location"] == session.get_absolute_url()


def test_a_failure_is_told_when_the_history_has_forgotten_the_task(
    client_of: ClientOf, bob: User, archive: Archive
) -> None:
    session = session_of(archive, "failed")
    Task.objects.all().delete()
    assert "HLP-16" in text_of(client_of(bob).get(session.get_absolute_url()))
    assert (
        client_of(bob).get(reverse("session-of-task", args=[session.task_ref]))["Location"]
        == session.get_absolute_url()
    )


def test_the_password_comes_when_it_is_asked_for_and_is_not_kept(
    client_of: ClientOf, bob: User, archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    session = session_of(archive, "ready", port=15432)
    browser, address = client_of(bob), reverse("session-password", args=[session.pk])
    assert browser.get(address)["Location"] == session.get_absolute_url()
    answer = browser.post(address)
    assert PASSWORD in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert f"{session.pk} was shown to bob" in caplog.text
    assert PASSWORD not in caplog.text
    Session.objects.update(state="stopped")
    assert PASSWORD not in browser.post(address).content.decode()


def test_it_is_extended(client_of: ClientOf, bob: User, archive: Archive) -> None:
    session = session_of(archive, "ready", port=15432)
    browser, address = client_of(bob), reverse("session-extend", args=[session.pk])
    assert browser.post(address, {"hours": "nine"}).status_code == 422
    assert browser.post(address, {"hours": "9"}).status_code == 302
    session.refresh_from_db()
    assert session.expires_at is not None
    assert 8.9 < (session.expires_at - timezone.now()).total_seconds() / 3600 < 9.1


def test_it_is_stopped_after_a_question_and_twice_is_fine(client_of: ClientOf, bob: User, archive: Archive) -> None:
    """Case 105."""
    session = session_of(archive, "ready", port=15432)
    browser, address = client_of(bob), reverse("session-stop", args=[session.pk])
    asked = browser.post(address)
    assert asked.status_code == 200
    assert "Stop this session?" in text_of(asked)
    for _ in range(2):
        assert browser.post(address, {"confirmed": "1"}).status_code == 302
    assert Task.objects.get(pk=session.task_ref).cancel_requested_at is not None
    Task.objects.update(state=TaskState.CANCELLED)
    sessions.notice_ends()
    assert browser.post(address)["Location"] == session.get_absolute_url()


def test_who_only_looks_sees_the_session_but_no_secret_and_no_button(
    client_of: ClientOf, diane: User, archive: Archive
) -> None:
    session = session_of(archive, "ready", port=15432)
    browser = client_of(diane)
    page = browser.get(session.get_absolute_url()).content.decode()
    for words in ("Show the password", "Stop this session?", "session-extend"):
        assert words not in page
    for name in ("session-stop", "session-extend", "session-password"):
        assert browser.post(reverse(name, args=[session.pk]), {"hours": "1", "confirmed": "1"}).status_code == 403
    for name in ("instant", "instant-look", "instant-start"):
        address = reverse(name, args=[archive.pk])
        assert (browser.get if name == "instant" else browser.post)(address).status_code == 403


def test_a_stranger_sees_nothing(client_of: ClientOf, charlie: User, archive: Archive) -> None:
    session = session_of(archive, "ready", port=15432)
    for address in (session.get_absolute_url(), reverse("sessions"), reverse("instant", args=[archive.pk])):
        assert client_of(charlie).get(address).status_code in (302, 403)


def test_the_task_bar_of_every_page_has_the_session_and_its_end(
    client_of: ClientOf, bob: User, archive: Archive
) -> None:
    session = session_of(archive, "ready", port=15432)
    Task.objects.update(phase="serving", progress={"expires_at": timezone.now().isoformat()})
    page = client_of(bob).get(reverse("tasks")).content.decode()
    assert f'id="taskbar-stop-{session.task_ref}"' in page
    assert reverse("session-of-task", args=[session.task_ref]) in page
    Task.objects.update(state=TaskState.SUCCESS)
    assert f'id="taskbar-stop-{session.task_ref}"' not in client_of(bob).get(reverse("tasks")).content.decode()


def test_the_archives_page_offers_it_where_a_server_may_be(client_of: ClientOf, bob: User, archive: Archive) -> None:
    """Case 109: not for plain files, and not for dumps."""
    address = reverse("instant", args=[archive.pk])
    assert address in client_of(bob).get(archive.get_absolute_url()).content.decode()
    for config in ({"source_kind": "files"}, {"source_kind": "postgresql", "database": {"method": "logical"}}):
        Archive.objects.update(backup_config=config)
        assert address not in client_of(bob).get(archive.get_absolute_url()).content.decode()


@pytest.mark.parametrize(
    ("product", "command"),
    [
        ("postgresql", "psql -h 127.0.0.1 -p 15432 -U phpborg postgres"),
        ("mariadb", "mysql -h 127.0.0.1 -P 15432 -u phpborg -p"),
        ("mongodb", "mongosh --host 127.0.0.1 --port 15432 --username phpborg --authenticationDatabase admin"),
        ("opensearch", "curl --user phpborg http://127.0.0.1:15432/"),
    ],
)
def test_lines_to_copy_without_the_password(archive: Archive, product: str, command: str) -> None:
    session = session_of(archive, "ready", port=15432)
    session.product = product
    connection = connection_of(session)
    assert connection is not None
    assert connection.command == command
    assert PASSWORD not in json.dumps([connection.command, connection.address, connection.tunnel])
    assert connection.tunnel.startswith("ssh -N -L 15432:127.0.0.1:15432 -p 22 root@")


def test_the_servers_page_has_what_runs_there(client_of: ClientOf, diane: User, archive: Archive) -> None:
    session, over = session_of(archive, "ready", port=15432), session_of(archive, "stopped")
    page = client_of(diane).get(reverse("server", args=[session.server_id])).content.decode()
    main = page.split('id="taskbar"')[0]
    assert session.get_absolute_url() in main
    assert over.get_absolute_url() not in main


def test_open_databases_and_running_tasks_do_not_hide_each_other(bob: User, archive: Archive) -> None:
    """Both ways, in the page and in what its websocket sends."""
    for _ in range(7):
        session_of(archive, "ready")
        Task.objects.create(kind="backup", queue="backup", state=TaskState.RUNNING, subject="a job")
    for shown in (live.taskbar_context(bob), live.bar(live.current(Task.objects.order_by("created_at")))):
        assert [row["kind"] for row in shown["tasks"]] == ["instant_recovery"] * 5 + ["backup"] * 5
        assert shown["total"] == 14


@pytest.mark.parametrize(
    ("query", "seen"),
    [
        ("", {"stopped", "failed"}),
        ("?end=failed", {"failed"}),
        ("?product=mariadb", {"failed"}),
        ("?q=DB", {"stopped", "failed"}),
        ("?q=nothing-like-it", set()),
        ("?server=x&end=x&product=x&page=9&q=%00", {"stopped", "failed"}),
        ("?server=00000000-0000-4000-8000-000000000000", set()),
    ],
)
def test_ended_sessions_are_filtered_and_open_ones_always_there(
    client_of: ClientOf, diane: User, archive: Archive, query: str, seen: set[str]
) -> None:
    ended = {"stopped": session_of(archive, "stopped"), "failed": session_of(archive, "failed")}
    Session.objects.filter(state="failed").update(product="mariadb")
    ready = session_of(archive, "ready", port=15432)
    main = client_of(diane).get(reverse("sessions") + query).content.decode().split('id="taskbar"')[0]
    assert {name for name, one in ended.items() if one.get_absolute_url() in main} == seen
    assert ready.get_absolute_url() in main
