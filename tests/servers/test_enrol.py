"""Adding servers: what is refused, what is recognised, how an identity is approved."""

from __future__ import annotations

import subprocess

import pytest
from django.core.management import call_command

from phpborg.errors import InvalidInput
from servers.errors import HostKeyUnknown, HostUnreachable
from servers.models import Label, Server
from servers.services import enrol, identity, labels, reach, setup
from servers.services.errors import (
    DuplicateServer,
    FingerprintDiffers,
    LocalOnly,
    NotApproved,
    NothingToApprove,
)
from servers.transport.openssh import ALIAS, write_config
from tests.servers.conftest import FakeNetwork, approve

pytestmark = pytest.mark.django_db

BAD_NAMES = ["", "-oProxyCommand=id", "a\nb", "web\n", "a/b", "x" * 81, "<b>", ".hidden", "a;b", "$(id)"]
BAD_ADDRESSES = [
    "",
    "-oProxyCommand=id",
    "host\nProxyCommand id",
    "host name",
    "host\n",
    "user@host",
    "host:22",
    "$(id)",
    "`id`",
    "a;id",
    "%h",
    "host%h",
    "http://host",
    "-1.2.3.4",
    "x" * 256,
]
BAD_USERS = ["", "-l", "-oProxyCommand=id", "root\n", "ro ot", "Root$", "a" * 33, "root;id", "../x", "%u"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_is_refused(network: FakeNetwork, name: str) -> None:
    network.server("web.example.org")
    if name == "web\n":
        # Spaces and line ends around a name are not part of it.
        assert enrol.add_server(name=name, address="web.example.org").name == "web"
        return
    with pytest.raises(InvalidInput) as caught:
        enrol.add_server(name=name, address="web.example.org")
    assert caught.value.facts["name"] == "name"
    assert not Server.objects.exists()


@pytest.mark.parametrize("address", [address for address in BAD_ADDRESSES if address != "host\n"])
def test_a_bad_address_is_refused_before_anything_is_contacted(network: FakeNetwork, address: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        enrol.add_server(name="web", address=address)
    assert caught.value.facts["name"] == "address"
    assert not Server.objects.exists()


@pytest.mark.parametrize("user", [user for user in BAD_USERS if user != "root\n"])
def test_a_bad_account_is_refused(network: FakeNetwork, user: str) -> None:
    network.server("web.example.org")
    with pytest.raises(InvalidInput) as caught:
        enrol.add_server(name="web", address="web.example.org", user=user)
    assert caught.value.facts["name"] == "user"


@pytest.mark.parametrize("port", [0, -1, 65536, 99999])
def test_a_bad_port_is_refused(network: FakeNetwork, port: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        enrol.add_server(name="web", address="web.example.org", port=port)
    assert caught.value.facts["name"] == "port"


@pytest.mark.parametrize("value", ["web\n", "web\nx"])
def test_the_model_itself_refuses_line_breaks(value: str) -> None:
    from django.core.exceptions import ValidationError

    for field in ("name", "address", "user"):
        server = Server(**{"name": "web", "address": "web", "user": "root", field: value})
        with pytest.raises(ValidationError) as caught:
            server.full_clean()
        assert field in caught.value.message_dict


def test_a_new_server_has_a_key_of_its_own_and_no_approved_identity(network: FakeNetwork) -> None:
    line = network.server("web.example.org")

    server = enrol.add_server(name="web", address="web.example.org", labels=["paris", "web"])

    assert server.public_key.startswith("ssh-ed25519 ")
    assert "PRIVATE KEY" in server.private_key.reveal()
    assert "PRIVATE KEY" not in str(Server.objects.filter(pk=server.pk).values_list("private_key", flat=True)[0])
    assert server.offered_host_key == line
    assert (server.host_key, server.state) == ("", Server.State.NEW)
    assert sorted(label.name for label in server.labels.all()) == ["paris", "web"]


def test_a_server_that_does_not_answer_is_not_saved(network: FakeNetwork) -> None:
    with pytest.raises(HostUnreachable):
        enrol.add_server(name="web", address="gone.example.org")
    assert not Server.objects.exists()


def test_nothing_is_sent_before_the_identity_is_approved(network: FakeNetwork) -> None:
    network.server("web.example.org")
    server = enrol.add_server(name="web", address="web.example.org")

    with pytest.raises(HostKeyUnknown):
        reach.host_for(server)
    with pytest.raises(NotApproved):
        setup.enqueue_setup(server=server)
    with pytest.raises(NotApproved):
        enrol.install_key_with_password(server=server, password="secret")


@pytest.mark.parametrize("spelling", ["{0}", " {0} ", "{0}\n"], ids=["as shown", "with spaces", "with a line end"])
def test_the_fingerprint_that_was_compared_is_approved(network: FakeNetwork, spelling: str) -> None:
    network.server("web.example.org")
    server = enrol.add_server(name="web", address="web.example.org")
    known = identity.offered(server)
    assert known

    identity.approve_host_key(server=server, fingerprint=spelling.format(known.fingerprint))

    assert server.host_key == known.line
    assert server.host_key_fingerprint == known.fingerprint
    assert server.host_key_approved_at is not None
    assert server.offered_host_key == ""


@pytest.mark.parametrize("given", ["", "SHA256:", "SHA256:AAAA", "yes", "é" * 43])
def test_another_fingerprint_is_not_approved(network: FakeNetwork, given: str) -> None:
    network.server("web.example.org")
    server = enrol.add_server(name="web", address="web.example.org")

    with pytest.raises(FingerprintDiffers):
        identity.approve_host_key(server=server, fingerprint=given)
    server.refresh_from_db()
    assert server.host_key == ""


def test_there_is_nothing_to_approve_twice(web: Server) -> None:
    with pytest.raises(NothingToApprove):
        identity.approve_host_key(server=web, fingerprint=web.host_key_fingerprint)


def test_the_same_address_is_recognised_in_every_spelling(web: Server, network: FakeNetwork) -> None:
    for address in ("web.example.org", "WEB.Example.org", "web.example.org.", " web.example.org"):
        with pytest.raises(DuplicateServer) as caught:
            enrol.add_server(name="again", address=address)
        assert caught.value.facts["server"] == "web"


def test_an_ipv6_address_has_one_spelling(network: FakeNetwork) -> None:
    network.server("fd00::1")
    server = enrol.add_server(name="six", address="[FD00::1]")
    assert server.address == "fd00::1"
    assert server.endpoint == "root@[fd00::1]:22"
    with pytest.raises(DuplicateServer):
        enrol.add_server(name="again", address="fd00::1")


def test_another_port_is_another_server(web: Server, network: FakeNetwork) -> None:
    network.server("web.example.org", 2222)
    assert enrol.add_server(name="container", address="web.example.org", port=2222).pk != web.pk


def test_the_same_identity_under_another_address_is_recognised(web: Server, network: FakeNetwork) -> None:
    network.server("alias.example.org", line=web.host_key)
    with pytest.raises(DuplicateServer) as caught:
        enrol.add_server(name="alias", address="alias.example.org")
    assert "web" in str(caught.value)


def test_a_changed_identity_waits_for_a_person(web: Server, network: FakeNetwork) -> None:
    web.state = Server.State.READY
    web.save()
    new = network.server("web.example.org")

    assert identity.fetch_host_key(server=web) is True
    web.refresh_from_db()
    assert web.last_error_code == "SSH-02"
    assert web.host_key != new == web.offered_host_key

    approve(web)
    assert (web.host_key, web.last_error_code, web.state) == (new, "", Server.State.NEW)


def test_the_old_identity_again_ends_the_alarm(web: Server, network: FakeNetwork) -> None:
    old = web.host_key
    network.server("web.example.org")
    identity.fetch_host_key(server=web)
    network.server("web.example.org", line=old)

    assert identity.fetch_host_key(server=web) is False
    web.refresh_from_db()
    assert (web.offered_host_key, web.last_error_code) == ("", "")


def test_moving_a_server_needs_its_identity_there(web: Server, network: FakeNetwork) -> None:
    web.state = Server.State.READY
    web.save()
    with pytest.raises(HostUnreachable):
        enrol.update_server(server=web, name="web", address="new.example.org")
    web.refresh_from_db()
    assert web.address == "web.example.org"

    network.server("new.example.org", line=web.host_key)
    enrol.update_server(server=web, name="web", address="new.example.org")
    web.refresh_from_db()
    assert (web.address, web.state, web.offered_host_key) == ("new.example.org", Server.State.READY, "")

    other = network.server("third.example.org")
    enrol.update_server(server=web, name="web", address="third.example.org")
    web.refresh_from_db()
    assert (web.state, web.offered_host_key, web.last_error_code) == (Server.State.NEW, other, "SSH-02")


def test_a_name_that_is_taken_is_refused(web: Server, network: FakeNetwork) -> None:
    network.server("db.example.org")
    with pytest.raises(InvalidInput):
        enrol.add_server(name="web", address="db.example.org")


def test_this_machine_is_added_once_and_needs_no_ssh(network: FakeNetwork) -> None:
    server = enrol.add_localhost()
    assert enrol.add_localhost().pk == server.pk
    assert server.is_local
    for call in (
        lambda: identity.fetch_host_key(server=server),
        lambda: enrol.install_key_with_password(server=server, password="x"),
    ):
        with pytest.raises(LocalOnly):
            call()


def test_this_machine_gets_another_name_when_localhost_is_taken(network: FakeNetwork) -> None:
    network.server("127.0.0.1", 2222)
    enrol.add_server(name="localhost", address="127.0.0.1", port=2222)
    assert enrol.add_localhost().name == "localhost-2"


def test_labels_are_words(web: Server) -> None:
    assert labels.parse(" web , paris,web,, ") == ["web", "paris"]
    for text in ("-oProxy", "a\nb", "x" * 41, "<i>"):
        with pytest.raises(InvalidInput):
            labels.parse(text)
    labels.set_labels(server=web, names=["paris", "web"])
    assert labels.add_label(servers=[web], name="paris") == 0
    assert labels.remove_label(servers=[web], name="paris") == 1
    assert list(Label.objects.values_list("name", flat=True)) == ["web"]


def test_the_private_key_is_a_file_only_in_the_runtime_directory(web: Server, settings) -> None:
    file = reach.target_of(web).private_key_path
    assert file
    assert file == settings.RUN_DIR / "keys" / str(web.pk)
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.stat().st_ino
    reach.target_of(web)
    assert file.stat().st_ino == before
    enrol.renew_key(server=web)
    assert not file.exists()


def test_a_zone_in_an_address_is_no_token_of_ssh(web: Server) -> None:
    web.address = "fe80::1%eth0"
    config = write_config(reach.target_of(web))
    asked = subprocess.run(["ssh", "-F", str(config), "-G", ALIAS], capture_output=True, text=True)
    assert "hostname fe80::1%eth0\n" in asked.stdout, asked.stderr


def test_commands_answer_in_json(network: FakeNetwork, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    network.server("web.example.org")
    call_command("server", "add", "web", "web.example.org", "--label", "paris", "--json")
    added = json.loads(capsys.readouterr().out)
    assert added["fingerprint"].startswith("SHA256:")
    assert added["public_key"].startswith("ssh-ed25519 ")
    call_command("server", "approve", "web", added["fingerprint"], "--json")
    capsys.readouterr()
    call_command("server", "list", "--json")
    [row] = json.loads(capsys.readouterr().out)
    assert (row["name"], row["health"], row["labels"]) == ("web", "new", ["paris"])
    old = Server.objects.get(name="web").public_key
    call_command("server", "renew-key", "web", "--json")
    renewed = json.loads(capsys.readouterr().out)["public_key"]
    assert renewed == Server.objects.get(name="web").public_key != old
    call_command("server", "show", "web", "--json")
    shown = json.loads(capsys.readouterr().out)
    assert shown["host_key_fingerprint"] == added["fingerprint"]
    assert "PRIVATE" not in json.dumps(shown)
    call_command("server", "setup", "web", "--json")
    assert json.loads(capsys.readouterr().out)["task"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("approve", "web", "SHA256:AAAA"), 1),
        (("add", "bad\nname", "web.example.org"), 2),
        (("add", "gone", "gone.example.org"), 1),
        (("remove", "web", "--yes", "wrong"), 2),
    ],
)
def test_commands_leave_with_documented_codes(web: Server, words: tuple[str, ...], code: int) -> None:
    with pytest.raises(SystemExit) as caught:
        call_command("server", *words)
    assert caught.value.code == code
