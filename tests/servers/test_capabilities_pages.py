"""A look at a server as a task, its page, and who may ask for it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from phpborg.accounts.models import User
from phpborg.commands import ExitCode
from phpborg.tasks.models import Task
from phpborg.tasks.states import State, Trigger
from servers.capabilities.report import from_json, parse
from servers.errors import HostUnreachable
from servers.models import CapabilityReport, Server
from servers.services import capabilities, capabilities_run, removal, setup, setup_steps
from servers.transport.base import Target
from tests.support.reports import cluster, debian, directory, lv, lvm, mount, probe, report

pytestmark = pytest.mark.django_db
Browser = Callable[[User], Client]
Run = Callable[..., list[Task]]
QUERIES = 12


class FakeHost:
    """A server that answers `capabilities` with what the test says."""

    target = Target(kind="ssh", name="web", address="web.example.org")

    def __init__(self) -> None:
        self.answer: Any = debian()
        self.asked: list[Mapping[str, Any]] = []

    def call(self, verb: str, args: Mapping[str, Any], **options: Any) -> Any:
        assert verb == "capabilities"
        self.asked.append({**args, **options})
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """The host that is reached."""
    fake = FakeHost()
    monkeypatch.setattr(capabilities_run, "host_for", lambda server: fake)
    return fake


@pytest.fixture
def looked(web: Server, host: FakeHost, run_pending: Run) -> Callable[..., Task]:
    """`looked(answer)`: one look with this answer, ended."""

    def look(answer: Any = None) -> Task:
        host.answer = debian() if answer is None else answer
        capabilities.reload(server=web)
        return run_pending(capabilities.KIND)[-1]

    return look


def page_of(server: Server) -> str:
    return f"/servers/{server.pk}/capabilities/"


# --- the task --------------------------------------------------------------------------------------


def test_a_look_is_recorded(web: Server, looked: Callable[..., Task], host: FakeHost) -> None:
    task = looked()
    assert (task.state, task.error_code, task.findings) == (State.SUCCESS, "", [])
    assert [(step["code"], step["state"], step["detail"]) for step in task.steps] == [
        ("ask", "done", "11/11"),
        ("record", "done", ""),
    ]
    assert "postgresql ok 0.2 s" in task.log_tail
    assert host.asked[0]["timeout"] == 60
    assert host.asked[0]["seconds"] < 60
    row = capabilities.latest(web)
    assert row
    assert (row.schema, row.seconds, row.task_ref) == (1, 1.25, task.pk)
    assert from_json(row.data) == parse(debian()) == capabilities.latest_report(web)


def test_a_probe_that_fails_or_is_late_is_a_note(web: Server, looked: Callable[..., Task]) -> None:
    answer = debian()
    answer["probes"]["mysql"] = probe(None, "failed", "ValueError: x")
    answer["probes"]["docker"] = probe(None, "late", "no answer in time")
    task = looked(answer)
    assert task.state == State.NOTES
    assert {(one["kind"], one["path"]) for one in task.findings} == {("failed", "mysql"), ("late", "docker")}
    assert task.steps[0]["state"] == "warning"
    assert "mysql failed 0.2 s: ValueError: x" in task.log_tail
    assert (found := capabilities.latest_report(web))
    assert found.postgresql
    assert found.mysql is None


@pytest.mark.parametrize(
    "answer", [{}, {"schema": 1, "probes": {}}, {**debian(), "schema": 2}, {**debian(), "schema": "1"}]
)
def test_what_is_no_report_is_a_failure_and_keeps_the_last_one(
    web: Server, looked: Callable[..., Task], answer: Any
) -> None:
    looked()
    task = looked(answer)
    assert (task.state, task.error_code) == (State.FAILED, "HLP-09")
    assert CapabilityReport.objects.count() == 1


def test_only_the_last_ten_are_kept_of_each_server(web: Server, looked: Callable[..., Task]) -> None:
    other = Server.objects.create(name="other", address="other.example.org")
    capabilities.record(server=other, report=parse(debian()), taken_at=timezone.now())
    tasks = [looked() for _ in range(12)]
    kept = set(CapabilityReport.objects.filter(server=web).values_list("task_ref", flat=True))
    assert kept == {task.pk for task in tasks[-10:]}
    assert CapabilityReport.objects.filter(server=other).count() == 1


def test_two_clicks_are_one_look(web: Server, alice: User) -> None:
    first = capabilities.reload(server=web, by=alice)
    assert capabilities.reload(server=web) == first
    assert first.requested_by == alice
    Task.objects.update(state=State.SUCCESS)
    assert capabilities.reload(server=web) != first


def test_after_a_set_up_somebody_looks_once(
    web: Server, host: FakeHost, run_pending: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup_steps, "run", lambda context, server: None)
    setup.enqueue_setup(server=web)
    kinds = [(task.kind, task.state, task.trigger) for task in run_pending()]
    assert kinds == [
        ("setup", State.SUCCESS, Trigger.MANUAL),
        ("capabilities", State.SUCCESS, Trigger.SYSTEM),
    ]
    web.refresh_from_db()
    assert web.last_seen_at


def test_after_a_set_up_that_failed_nobody_looks(
    web: Server, run_pending: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(context: Any, server: Server) -> None:
        raise HostUnreachable(address="web", port=22)

    monkeypatch.setattr(setup_steps, "run", refuse)
    setup.enqueue_setup(server=web)
    assert [task.kind for task in run_pending()] == ["setup"]


def test_a_server_can_be_removed_while_somebody_looks(
    web: Server, host: FakeHost, run_pending: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def removed_meanwhile(*_args: Any, **_options: Any) -> Any:
        removal.delete_server(server=Server.objects.get(), archives="keep")
        return debian()

    monkeypatch.setattr(host, "call", removed_meanwhile)
    capabilities.reload(server=web)
    assert removal.removal_plan(web).blockers == ()
    (task,) = run_pending()
    assert (task.state, task.error_code) == (State.FAILED, "SRV-15")
    assert not CapabilityReport.objects.exists()


# --- the page --------------------------------------------------------------------------------------


@pytest.fixture
def people(alice: User, bob: User, diane: User, charlie: User, client_of: Browser) -> dict[str, Client]:
    return {user.username: client_of(user) for user in (alice, bob, diane, charlie)}


def test_who_sees_and_who_may_look_again(people: dict[str, Client], web: Server) -> None:
    here = page_of(web)
    for name in ("alice", "bob", "diane"):
        assert people[name].get(here).status_code == 200, name
    assert people["charlie"].get(here).status_code in (302, 403)
    assert Client().get(here).status_code == 302
    assert people["diane"].post(here + "reload/").status_code == 403
    assert people["charlie"].post(here + "reload/").status_code in (302, 403)
    assert here + "reload/" not in people["diane"].get(here).content.decode()
    assert here + "reload/" in people["bob"].get(here).content.decode()
    assert not Task.objects.exists()
    assert people["bob"].get(here + "reload/").status_code == 405
    assert people["alice"].get("/servers/00000000-0000-0000-0000-000000000000/capabilities/").status_code == 404


def test_a_plain_form_is_led_to_the_task_and_htmx_back_to_the_page(people: dict[str, Client], web: Server) -> None:
    bob, here = people["bob"], page_of(web)
    answer = bob.post(here + "reload/")
    task = Task.objects.get()
    assert (answer.status_code, answer["Location"]) == (303, task.get_absolute_url())
    answer = bob.post(here + "reload/", headers={"HX-Request": "true"})
    assert (answer.status_code, answer["Location"]) == (303, here)
    assert Task.objects.count() == 1
    shown = bob.get(here).content.decode()
    assert f'id="task-row-{task.pk}"' in shown
    assert 'hx-trigger="task-ended from:body' in shown
    assert f"watch=server:{web.pk}" in shown


def test_before_the_identity_is_approved_the_page_says_what_to_do(alice: User, client_of: Browser) -> None:
    server = Server.objects.create(name="new", address="new.example.org")
    answer = client_of(alice).post(page_of(server) + "reload/", follow=True)
    assert "approved" in answer.content.decode()
    assert not Task.objects.exists()


def test_the_page_shows_what_was_found(
    people: dict[str, Client], web: Server, looked: Callable[..., Task], settings: Any
) -> None:
    assert "Nobody has looked yet" in people["diane"].get(page_of(web)).content.decode()
    looked()
    text = words(people["diane"].get(page_of(web)))
    for expected in (
        "Debian GNU/Linux 12",
        "PostgreSQL 15/main",
        "15.18",
        "/var/lib/postgresql/15/main",
        "vg-a/lv-data",
        "Certain",
        "2 GB",  # a fifth of 10 GB
        "MariaDB port 3306",
        "password authentication failed",
        "/root/.my.cnf",
        "where there are no snapshots",
        "100 GB free of 500 GB",
        "docker-compose 1.29.2",
        "2 of 2 containers running",
        "shop_data",
        "weird-db name",
    ):
        assert expected in text, expected
    assert page_of(web) in people["diane"].get(f"/servers/{web.pk}/").content.decode()


def words(answer: Any) -> str:
    """What a reader sees of a page."""
    text = re.sub(r"<[^>]+>", " ", answer.content.decode())
    return re.sub(r"\s+", " ", text.replace("\u00a0", " ").replace("&nbsp;", " "))


def test_what_did_not_answer_says_so(people: dict[str, Client], web: Server, looked: Callable[..., Task]) -> None:
    answer = debian()
    answer["probes"]["mysql"] = probe(None, "late")
    answer["probes"]["mounts"] = probe(None, "failed", "<script>alert(1)</script>")
    looked(answer)
    page = people["diane"].get(page_of(web))
    text = words(page)
    assert "MySQL / MariaDB: no answer in time" in text
    assert "Filesystems: could not be looked at" in text
    assert "<script>alert" not in page.content.decode()
    assert "It is not known on which filesystem /var/lib/postgresql/15/main lies" in text
    answer["probes"]["mounts"] = probe(None, "failed", "zfs list failed: exit status 1")
    looked(answer)
    User.objects.update(language="fr")
    assert "zfs list a échoué : code de sortie 1" in words(people["diane"].get(page_of(web)))


def test_none_found_is_not_said_when_not_everybody_answered(
    people: dict[str, Client], web: Server, looked: Callable[..., Task]
) -> None:
    answer = debian()
    answer["probes"]["postgresql"]["facts"]["clusters"] = answer["probes"]["mysql"]["facts"]["instances"] = []
    looked(answer)
    assert "No database server was found" in words(people["diane"].get(page_of(web)))
    answer["probes"]["mongodb"] = probe(None, "late")
    looked(answer)
    assert "No database server was found" not in words(people["diane"].get(page_of(web)))


def test_a_look_that_failed_says_why_beside_what_was_seen_before(
    people: dict[str, Client], web: Server, looked: Callable[..., Task]
) -> None:
    looked()
    looked(HostUnreachable("No route to host", address="web.example.org", port=22))
    text = words(people["diane"].get(page_of(web)))
    assert "cannot be reached" in text
    assert "What is shown is from before" in text
    assert "PostgreSQL 15/main" in text


def enormous() -> dict[str, Any]:
    """Hundreds of everything, with names that would like to be markup."""
    bad = '"><img src=x onerror=alert(1)>\u202e' + "n" * 500
    many = range(300)
    databases = [{"name": f"{bad}{number}", "size_bytes": 1} for number in many]
    one = cluster(databases=databases, config_files=[f"/etc/{number}" for number in many], id=bad)
    docker = {**debian()["probes"]["docker"]["facts"]}
    for name in ("projects", "containers", "volumes"):
        docker[name] = [{**docker[name][0], "name": f"{bad}{number}"} for number in many]
    return report(
        mounts={"mounts": [mount(f"/{number}/{bad}", bad) for number in many]},
        lvm=lvm(*(lv(bad, f"lv{number}", number) for number in many)),
        postgresql={"clusters": [one] * 300},
        elasticsearch={"nodes": [{"id": "x", "data": [directory(f"/{number}") for number in many]}]},
        docker=docker,
    )


def test_a_hostile_report_makes_a_bounded_page(
    people: dict[str, Client], web: Server, looked: Callable[..., Task]
) -> None:
    looked(enormous())
    page = people["alice"].get(page_of(web))
    assert page.status_code == 200
    body = page.content.decode()
    assert "<img src=x" not in body
    assert len(body) < 2_000_000
    assert "and 260 more" in words(page)  # 300 filesystems, 40 of them shown
    assert people["alice"].get("/admin/servers/capabilityreport/").status_code == 200


@pytest.mark.parametrize("language", ["fr", "en"])
def test_a_fixed_number_of_queries_in_both_languages(
    alice: User, client_of: Browser, web: Server, looked: Callable[..., Task], language: str
) -> None:
    User.objects.update(language=language)
    browser = client_of(alice)
    looked()
    counts = []
    for answer in (debian(), enormous()):
        looked(answer)
        browser.get(page_of(web))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert browser.get(page_of(web)).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1] <= QUERIES


def test_the_administration_shows_reports_and_changes_none(
    people: dict[str, Client], web: Server, looked: Callable[..., Task]
) -> None:
    looked()
    row = capabilities.latest(web)
    assert row
    list_page, detail = "/admin/servers/capabilityreport/", f"/admin/servers/capabilityreport/{row.pk}/change/"
    assert "web" in people["alice"].get(list_page).content.decode()
    shown = people["alice"].get(detail)
    assert shown.status_code == 200
    assert "_save" not in shown.content.decode()
    assert people["alice"].post(detail, {}).status_code == 403
    assert people["bob"].get(list_page).status_code in (302, 403)


# --- the command -----------------------------------------------------------------------------------


def test_the_command_shows_what_was_last_seen(
    web: Server, looked: Callable[..., Task], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exception, match="--reload --wait") as refused:
        call_command("server", "capabilities", "web")
    assert refused.value.returncode == ExitCode.USAGE  # type: ignore[attr-defined]
    looked()
    call_command("server", "capabilities", "web", "--json")
    data = json.loads(capsys.readouterr().out)
    assert data["server"] == "web"
    assert parse(data) == parse(debian())
    call_command("server", "capabilities", "web")
    told = capsys.readouterr().out
    for expected in ("Debian GNU/Linux 12", "PostgreSQL 15/main 15.18: /var/lib/postgresql/15/main", "Docker 20.10.24"):
        assert expected in told


def test_the_command_looks_again(
    web: Server, host: FakeHost, run_pending: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call_command("server", "capabilities", "web", "--reload", "--json")
    assert json.loads(capsys.readouterr().out) == {"task": str(Task.objects.get().pk)}

    def work(_seconds: float) -> None:
        run_pending(capabilities.KIND)

    monkeypatch.setattr(time, "sleep", work)
    call_command("server", "capabilities", "web", "--reload", "--wait", "--json")
    assert json.loads(capsys.readouterr().out)["schema"] == 1
    host.answer = HostUnreachable(address="web", port=22)
    with pytest.raises(SystemExit) as ended:
        call_command("server", "capabilities", "web", "--reload", "--wait", "--json")
    assert ended.value.code == ExitCode.FAILED
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "SSH-01"
