"""The servers' pages for the four people, with plain forms and bad input."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from phpborg.accounts.models import User
from phpborg.tasks.models import Task
from phpborg.tasks.states import State
from servers.models import Server
from servers.services import enrol, labels, setup
from tests.servers.conftest import FakeNetwork

pytestmark = pytest.mark.django_db
Browser = Callable[[User], Client]

PAGES = ["", "{pk}/"]
ADMIN_PAGES = ["add/", "{pk}/enrol/", "{pk}/edit/", "{pk}/remove/"]
ADMIN_POSTS = [
    "add-this-machine/",
    "{pk}/host-key/",
    "{pk}/approve/",
    "{pk}/password/",
    "{pk}/setup/",
    "{pk}/mode/",
]
OPERATOR_POSTS = ["bulk/", "{pk}/run-all/"]


def address(path: str, server: Server) -> str:
    return "/servers/" + path.format(pk=server.pk)


@pytest.fixture
def people(alice: User, bob: User, diane: User, charlie: User, client_of: Browser) -> dict[str, Client]:
    return {user.username: client_of(user) for user in (alice, bob, diane, charlie)}


@pytest.mark.parametrize("path", PAGES)
def test_everybody_with_an_account_looks(people: dict[str, Client], web: Server, path: str) -> None:
    for name in ("alice", "bob", "diane"):
        answer = people[name].get(address(path, web))
        assert answer.status_code == 200, name
        assert b"web" in answer.content
    assert people["charlie"].get(address(path, web)).status_code in (302, 403)
    assert Client().get(address(path, web)).status_code == 302


@pytest.mark.parametrize("path", ADMIN_PAGES)
def test_only_the_administrator_opens_these(people: dict[str, Client], web: Server, path: str) -> None:
    assert people["alice"].get(address(path, web)).status_code == 200
    for name in ("bob", "diane"):
        assert people[name].get(address(path, web)).status_code == 403, name
    assert people["charlie"].get(address(path, web)).status_code in (302, 403)


@pytest.mark.parametrize("path", ADMIN_POSTS)
def test_only_the_administrator_changes(people: dict[str, Client], web: Server, path: str) -> None:
    for name in ("bob", "diane"):
        assert people[name].post(address(path, web)).status_code == 403, name
    assert people["charlie"].post(address(path, web)).status_code in (302, 403)
    assert people["alice"].post(address(path, web)).status_code in (303, 422)
    assert people["alice"].get(address(path, web)).status_code == 405


@pytest.mark.parametrize("path", OPERATOR_POSTS)
def test_operators_run_jobs(people: dict[str, Client], web: Server, path: str) -> None:
    assert people["diane"].post(address(path, web)).status_code == 403
    for name in ("alice", "bob"):
        assert people[name].post(address(path, web)).status_code == 303, name


def test_buttons_that_may_not_be_pressed_are_not_there(people: dict[str, Client], web: Server) -> None:
    page = people["diane"].get(f"/servers/{web.pk}/").content.decode()
    for path in ADMIN_POSTS[1:] + OPERATOR_POSTS + ADMIN_PAGES[1:]:
        assert address(path, web) not in page
    assert "/servers/add/" not in people["bob"].get("/servers/").content.decode()


def test_from_the_address_to_set_up_by_plain_forms(people: dict[str, Client], network: FakeNetwork) -> None:
    alice = people["alice"]
    network.server("db.example.org", 2222)
    values = {"name": "db", "address": "DB.example.org", "port": "2222", "user": "root", "labels": "paris, sql"}

    answer = alice.post("/servers/add/", values)
    server = Server.objects.get()
    enrol_page = f"/servers/{server.pk}/enrol/"
    assert (answer.status_code, answer["Location"]) == (303, enrol_page)

    shown = alice.get(enrol_page)
    fingerprint = shown.context["offered"].fingerprint
    assert fingerprint in shown.content.decode()
    # Left here, the server's own page leads back to where it stands.
    assert enrol_page in alice.get(f"/servers/{server.pk}/").content.decode()

    wrong = alice.post(f"/servers/{server.pk}/approve/", {"fingerprint": "SHA256:AAAA"})
    assert wrong.status_code == 422
    assert "does not match" in wrong.content.decode()
    right = alice.post(f"/servers/{server.pk}/approve/", {"fingerprint": fingerprint})
    assert right.status_code == 303

    page = alice.get(enrol_page).content.decode()
    assert server.public_key in page
    assert "PRIVATE KEY" not in page

    answer = alice.post(f"/servers/{server.pk}/setup/", {"install": "on"})
    assert answer["Location"] == f"{enrol_page}?step=setup"
    task = setup.last_setup(server)
    assert task is not None
    assert task.params == {"install": True}
    assert str(task.pk) in alice.get(answer["Location"]).content.decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("address", "-oProxyCommand=touch /tmp/x"),
        ("address", "a b"),
        ("address", "host\nProxyCommand x"),
        ("address", ""),
        ("name", "-oProxyCommand=x"),
        ("name", ""),
        ("user", "-oProxyCommand=x"),
        ("user", "root;id"),
        ("port", "0"),
        ("port", "70000"),
        ("port", "22; id"),
        ("labels", "-oProxyCommand=x"),
        ("address", "gone.example.org"),
    ],
)
def test_bad_input_is_said_on_the_form_and_nothing_is_made(
    people: dict[str, Client], network: FakeNetwork, field: str, value: str
) -> None:
    network.server("web.example.org")
    values = {"name": "web", "address": "web.example.org", "port": "22", "user": "root", "labels": "", field: value}

    answer = people["alice"].post("/servers/add/", values)

    assert answer.status_code == 422
    assert answer.context["form"].errors
    assert not Server.objects.exists()


def test_a_duplicate_names_the_server_that_is_there(people: dict[str, Client], web: Server) -> None:
    values = {"name": "again", "address": "web.example.org", "port": "22", "user": "root"}
    answer = people["alice"].post("/servers/add/", values)
    assert answer.status_code == 422
    assert "already the server “web”" in answer.content.decode()


def test_a_password_is_not_given_back_and_not_kept(
    people: dict[str, Client], web: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from servers.errors import AuthenticationFailed
    from servers.transport.fabric_host import FabricHost

    secret = "canary $ ' \" \\ word "
    used: list[str] = []

    def connect(target: Any, *, password: str) -> Any:
        used.append(password)
        raise AuthenticationFailed("Authentication failed.", address="web", user="root")

    monkeypatch.setattr(FabricHost, "connect", connect)
    answer = people["alice"].post(f"/servers/{web.pk}/password/", {"password": secret})

    assert used == [secret]
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "refused the password" in page
    assert "canary" not in page
    assert not Task.objects.exists()


def test_both_fingerprints_of_a_changed_identity_are_shown(
    people: dict[str, Client], web: Server, network: FakeNetwork
) -> None:
    network.server("web.example.org")
    answer = people["alice"].post(f"/servers/{web.pk}/host-key/")
    assert answer.status_code == 303
    web.refresh_from_db()
    for name, path in (("diane", ""), ("alice", "enrol/")):
        page = people[name].get(f"/servers/{web.pk}/{path}").content.decode()
        assert web.host_key_fingerprint in page
        assert "identity has changed" in page
    assert "accept the new identity" in people["alice"].get(f"/servers/{web.pk}/enrol/").content.decode()


def test_failed_steps_are_shown_with_remedy_and_commands(people: dict[str, Client], web: Server) -> None:
    steps = [
        {"code": "connect", "title": "Connect", "state": "done", "detail": "root@web", "error": {}},
        {
            "code": "sudo",
            "title": "Right to run as root",
            "state": "failed",
            "detail": "sudo: a password is required",
            "error": {"code": "HLP-01", "facts": {"user": "backup", "address": "web"}},
            "commands": "install -d <root>",
        },
    ]
    Task.objects.create(
        kind="setup", queue="quick", state=State.FAILED, error_code="HLP-01", server_ref=web.pk, steps=steps
    )
    Server.objects.update(state=Server.State.FAILED, last_error_code="HLP-01")

    page = people["alice"].get(f"/servers/{web.pk}/enrol/").content.decode()

    for words in ("sudo on web does not let backup", "a password is required", "install -d &lt;root&gt;", "Copy"):
        assert words in page
    assert people["diane"].get(f"/servers/{web.pk}/").status_code == 200


def test_removal_by_typed_name(people: dict[str, Client], web: Server) -> None:
    alice, path = people["alice"], f"/servers/{web.pk}/remove/"
    assert "What hangs on it" in alice.get(path).content.decode()
    for typed in ("", "WEB", "other"):
        assert alice.post(path, {"typed": typed, "archives": "keep"}).status_code == 422
    assert not Task.objects.exists()
    answer = alice.post(path, {"typed": "web", "archives": "keep", "take_off": "on"})
    task = Task.objects.get()
    assert (answer.status_code, answer["Location"]) == (303, task.get_absolute_url())
    assert task.params == {"archives": "keep", "clean": True}


def test_bulk_labels_and_set_up(people: dict[str, Client], web: Server) -> None:
    alice = people["alice"]
    body = {"server": [str(web.pk), "nonsense", str(uuid.uuid4())], "next": "/servers/?label=paris"}
    answer = alice.post("/servers/bulk/", {**body, "action": "label", "label": "paris"})
    assert answer["Location"] == "/servers/?label=paris"
    assert [label.name for label in web.labels.all()] == ["paris"]
    alice.post("/servers/bulk/", {**body, "action": "setup"})
    assert setup.active_setup(web) is not None
    alice.post("/servers/bulk/", {**body, "action": "unlabel", "label": "paris"})
    assert not web.labels.exists()
    for bad in ({"action": "label", "label": ""}, {"action": "label", "label": "a\nb"}, {"action": "drop"}):
        assert alice.post("/servers/bulk/", {**body, **bad}).status_code == 303
    elsewhere = alice.post("/servers/bulk/", {**body, "action": "run", "next": "//evil.example.org/"})
    assert elsewhere["Location"] == "/servers/"
    assert people["bob"].post("/servers/bulk/", {**body, "action": "setup"}).status_code == 403


def test_edit(people: dict[str, Client], web: Server, network: FakeNetwork) -> None:
    labels.set_labels(server=web, names=["paris"])
    path = f"/servers/{web.pk}/edit/"
    assert "paris" in people["alice"].get(path).content.decode()
    values = {"name": "web-1", "address": "web.example.org", "port": "22", "user": "root", "notes": "rack 4"}
    assert people["alice"].post(path, values).status_code == 303
    web.refresh_from_db()
    assert (web.name, web.notes, web.labels.count()) == ("web-1", "rack 4", 0)
    assert people["alice"].post(path, {**values, "address": "gone.example.org"}).status_code == 422
    assert people["alice"].post(path, {**values, "user": "-l"}).status_code == 422


def test_direct_without_a_backup_host_is_explained(people: dict[str, Client], web: Server) -> None:
    answer = people["alice"].post(f"/servers/{web.pk}/mode/", {"mode": "direct"}, follow=True)
    assert "PHPBORG_BACKUP_HOST" in answer.content.decode()
    web.refresh_from_db()
    assert web.mode == Server.Mode.TUNNEL


def test_direct_queues_the_set_up(people: dict[str, Client], web: Server, settings: Any) -> None:
    settings.BACKUP_HOST = "backup.example.org"
    people["alice"].post(f"/servers/{web.pk}/mode/", {"mode": "direct"})
    web.refresh_from_db()
    assert web.mode == Server.Mode.DIRECT
    assert setup.active_setup(web) is not None


def test_this_machine_by_one_click(people: dict[str, Client]) -> None:
    answer = people["alice"].post("/servers/add-this-machine/")
    server = Server.objects.get()
    assert server.is_local
    assert people["alice"].get(answer["Location"]).status_code == 200
    assert setup.active_setup(server) is not None
    assert people["alice"].post("/servers/add-this-machine/").status_code == 303
    for path in ("", "edit/", "remove/"):
        assert people["alice"].get(f"/servers/{server.pk}/{path}").status_code == 200
    assert people["alice"].post(f"/servers/{server.pk}/mode/", {"mode": "direct"}).status_code == 303


def test_a_server_that_does_not_exist_is_not_found(people: dict[str, Client]) -> None:
    for path in PAGES[1:] + ADMIN_PAGES[1:]:
        assert people["alice"].get("/servers/" + path.format(pk=uuid.uuid4())).status_code == 404


def test_the_admin_shows_no_secret(people: dict[str, Client], web: Server) -> None:
    alice = people["alice"]
    page = alice.get(f"/admin/servers/server/{web.pk}/change/").content.decode()
    assert web.public_key in page
    assert "private" not in page.lower()
    assert alice.get("/admin/servers/server/").status_code == 200
    assert alice.get("/admin/servers/server/add/").status_code == 302
    assert alice.get(f"/admin/servers/server/{web.pk}/delete/").status_code == 403
    for action in ("set_up", "run_jobs"):
        alice.post("/admin/servers/server/", {"action": action, "_selected_action": [str(web.pk)]})
    assert setup.active_setup(web) is not None
    assert people["bob"].get("/admin/servers/server/").status_code in (302, 403)


@pytest.mark.parametrize("language", ["fr", "en"])
def test_every_page_in_both_languages(
    alice: User, client_of: Browser, web: Server, language: str, settings: Any
) -> None:
    alice.language = language
    alice.save()
    browser = client_of(alice)
    enrol.add_localhost()
    for path in PAGES + ADMIN_PAGES + ["{pk}/enrol/?step=key", "{pk}/enrol/?step=setup"]:
        answer = browser.get(address(path, web))
        assert answer.status_code == 200
        assert f'lang="{language}"' in answer.content.decode()


def test_a_changed_identity_comes_before_everything_else(people: dict[str, Client], web: Server) -> None:
    """Also for a server that was ready: the wizard opens at the identity."""
    Server.objects.update(state=Server.State.READY, offered_host_key=web.host_key)
    assert people["alice"].get(f"/servers/{web.pk}/enrol/").context["station"] == "identity"
    assert people["alice"].get(f"/servers/{web.pk}/enrol/?step=setup").context["station"] == "identity"
