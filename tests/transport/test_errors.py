"""What can stand between us and a server: each is its own error, soon, with the other side's own words."""

from __future__ import annotations

import socket
import subprocess
import time
from dataclasses import replace

import pytest

from servers import errors
from servers.transport import host_for
from servers.transport.fabric_host import FabricHost, fetch_host_key
from servers.transport.keys import fingerprint, make_key_pair
from servers.transport.tunnel import link
from tests.support.sshd import free_port, running
from tests.transport.conftest import PASSPHRASE

pytestmark = pytest.mark.real

NOISE = "*** Welcome to prod-db-01 (last patched 2026-01-01) ***"


def test_login_scripts_that_print_do_no_harm(lab):
    with running(
        lab, "127.0.0.12", force_command=f'#!/bin/bash\necho "{NOISE}"; exec bash -c "$SSH_ORIGINAL_COMMAND"\n'
    ) as server:
        for target in (server.target(), server.sudo_target()):
            assert host_for(target).call("hello")["user"] == "root"
            lines: list[bytes] = []
            with link(host_for(target), "/no/repository", mode="tunnel", token="noisy-login-1") as way:
                args = {"argv": ["list", way.repository]}
                result = host_for(target).run("borg", args, link=way, on_stdout=lines.append)
            assert NOISE in result.noise
            assert not lines


def test_an_account_that_only_prints_is_quoted(lab):
    with (
        running(lab, "127.0.0.12", force_command=f'#!/bin/bash\necho "{NOISE}"\n') as server,
        pytest.raises(errors.NoisyLogin, match="prod-db-01"),
    ):
        host_for(server.target()).call("hello")


def test_a_banner_is_not_the_tools_output(lab, repository, token):
    with running(lab, "127.0.0.12", banner="Authorised use only\nsecond line\n") as server:
        host = host_for(server.target())
        lines: list[bytes] = []
        with link(host, str(repository), mode="tunnel", token=token) as way:
            argv = ["create", "--log-json", way.location("one"), "/etc/hostname"]
            result = host.run(
                "borg", {"argv": argv}, secrets={"passphrase": PASSPHRASE}, on_stderr=lines.append, link=way
            )
        assert result.exit.code == 0
        assert "Authorised use only" in result.noise
        assert not [line for line in lines if b"Authorised" in line]


def test_a_changed_host_key_stops_every_way_and_nothing_is_sent(lab):
    with running(lab, "127.0.0.12") as server:
        target = server.target()
        host_for(target).call("hello")
        old = server.host_key
        server.swap_host_key()
        server.restart()
        assert server.host_key != old
        before = server.log.stat().st_size
        with pytest.raises(errors.HostKeyChanged):
            host_for(target).call("hello")
        with pytest.raises(errors.HostKeyChanged), FabricHost.connect(target) as host:
            host.execute(("true",))
        with pytest.raises(errors.HostKeyChanged), link(host_for(target), "/r", mode="tunnel", token="changed-key-1"):
            pass
        time.sleep(0.5)
        log = server.log.read_bytes()[before:]
        assert b"Accepted" not in log
        assert b"Failed" not in log
        assert b"userauth" not in log


def test_a_pin_of_another_kind_than_the_server_has_is_a_changed_key(lab, sshd, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-N", "", "-f", str(tmp_path / "k")], check=True)
    line = " ".join((tmp_path / "k.pub").read_text().split()[:2])
    with pytest.raises(errors.HostKeyChanged):
        host_for(replace(sshd.target(name="rsa-pin"), host_key=line)).call("hello")
    with pytest.raises(errors.HostKeyChanged), FabricHost.connect(replace(sshd.target(), host_key=line)):
        pass


@pytest.mark.parametrize("pin", ["", "rubbish", "ssh-ed25519 short", "* ssh-ed25519 " + "A" * 68])
def test_without_an_approved_key_nothing_is_started(sshd, pin):
    target = replace(sshd.target(), host_key=pin)
    with pytest.raises(errors.HostKeyUnknown):
        host_for(target).call("hello")
    with pytest.raises(errors.HostKeyUnknown), FabricHost.connect(target):
        pass


def test_the_fingerprint_is_fetched_without_signing_in(lab):
    with running(lab, "127.0.0.12") as server:
        key = fetch_host_key(server.address, server.port)
        assert key.line == server.host_key
        assert key.fingerprint == fingerprint(server.host_key)
        assert b"Accepted" not in server.log.read_bytes()


def test_a_key_that_is_not_let_in(lab, sshd, tmp_path):
    other = tmp_path / "other"
    other.write_text(make_key_pair().private)
    other.chmod(0o600)
    target = replace(sshd.target(), private_key_path=other)
    with pytest.raises(errors.AuthenticationFailed, match="Permission denied"):
        host_for(target).call("hello")
    with pytest.raises(errors.AuthenticationFailed), FabricHost.connect(target):
        pass


def test_nobody_listens(lab, sshd):
    target = replace(sshd.target(), port=free_port("127.0.0.11"))
    with pytest.raises(errors.HostUnreachable, match="refused"):
        host_for(target).call("hello")
    with pytest.raises(errors.HostUnreachable):
        fetch_host_key(target.address, target.port)
    with pytest.raises(errors.HostUnreachable):
        host_for(replace(target, address="no-such-host.invalid")).call("hello")


def test_something_that_accepts_and_says_nothing(lab, sshd):
    with socket.create_server(("127.0.0.11", 0)) as listener:
        target = replace(sshd.target(), port=listener.getsockname()[1])
        began = time.monotonic()
        with pytest.raises(errors.TimedOut):
            host_for(target).call("hello")
        with pytest.raises((errors.TimedOut, errors.HostUnreachable)):
            fetch_host_key(target.address, target.port)
        assert time.monotonic() - began < 40


@pytest.mark.parametrize("address", ["-oProxyCommand=id", "a b", "x\nProxyCommand id", "", "a;id", "$(id)"])
def test_an_address_is_never_an_option(sshd, address):
    with pytest.raises(errors.HostUnreachable):
        host_for(replace(sshd.target(), address=address)).call("hello")


def test_a_user_is_never_an_option(sshd):
    with pytest.raises(errors.HostUnreachable):
        host_for(replace(sshd.target(), user="-oProxyCommand=id")).call("hello")


@pytest.mark.parametrize("written", ["::1", "[::1]"])
def test_ipv6_and_odd_ports(lab, written):
    with running(lab, "::1") as server:
        target = replace(server.target(), address=written)
        assert host_for(target).call("hello")["user"] == "root"
        assert fetch_host_key(written, server.port).line == server.host_key
        with FabricHost.connect(target) as host:
            assert host.execute(("id", "-u")).stdout.strip() == "0"


def test_the_helper_is_not_there(sshd):
    for target in (sshd.target(), replace(sshd.sudo_target(), sudo=False)):
        with pytest.raises(errors.HelperMissing):
            host_for(replace(target, helper_path="/usr/local/lib/phpborg-none/phpborg-remote")).call("hello")


def test_python_is_not_there(lab, sshd):
    helper = lab.helper.with_name("phpborg-old")
    helper.write_bytes(lab.helper.read_bytes().replace(b"#!/usr/bin/python3 -I\n", b"#!/usr/bin/pythonX -I\n", 1))
    helper.chmod(0o755)
    with pytest.raises(errors.PythonMissing):
        host_for(replace(sshd.target(), helper_path=str(helper))).call("hello")


def test_sudo_that_asks_says_so_soon(lab, sshd):
    began = time.monotonic()
    try:
        lab.install_sudoers(f'{lab.account} ALL = (root) PASSWD: {lab.helper} ""\n')
        with pytest.raises(errors.SudoRefused, match="a password is required"):
            host_for(sshd.sudo_target()).call("hello")
        lab.install_sudoers(f'Defaults requiretty\n{lab.account} ALL = (root) NOPASSWD: {lab.helper} ""\n')
        with pytest.raises(errors.SudoRefused, match="must have a tty"):
            host_for(sshd.sudo_target()).call("hello")
        lab.install_sudoers("# nobody\n")
        with pytest.raises(errors.SudoRefused):
            host_for(sshd.sudo_target()).call("hello")
        # Our own file holds even where the rest of the machine wants a terminal.
        lab.write_sudoers("Defaults requiretty\n")
        assert host_for(sshd.sudo_target()).call("hello")["user"] == "root"
    finally:
        lab.write_sudoers()
    assert time.monotonic() - began < 20


def test_sshd_that_forbids_the_tunnel(lab, token):
    with running(lab, "127.0.0.12", options=["AllowStreamLocalForwarding no"]) as server:
        host = host_for(server.target())
        with link(host, "/r", mode="tunnel", token=token) as way, pytest.raises(errors.ForwardingRefused):
            host.run("borg", {"argv": ["list", way.repository]}, link=way)


def test_a_login_script_that_swallows_the_request_is_timed_out(lab, monkeypatch):
    from servers.transport import conversation

    monkeypatch.setattr(conversation.HandshakeStop, "seconds", 2.0)
    with running(lab, "127.0.0.12", force_command="#!/bin/bash\nread line; sleep 60\n") as server:
        began = time.monotonic()
        host = host_for(server.target())
        with pytest.raises(errors.TimedOut):
            host.call("hello", timeout=3)
        assert time.monotonic() - began < 15
