"""Direct backups with the server's own key, and what set-up does over fabric."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from servers import errors
from servers.remote.build import build_helper, helper_version
from servers.transport import host_for
from servers.transport.authorized_keys import Grant, converge
from servers.transport.fabric_host import FabricHost
from servers.transport.keys import installation_id, make_key_pair
from servers.transport.tunnel import link
from tests.support.sshd import Sshd, running
from tests.transport.conftest import PASSPHRASE

pytestmark = pytest.mark.real


@pytest.fixture
def backup_host(lab, settings):
    """The backup host's own sshd, whose authorized_keys we manage."""
    with running(lab, "127.0.0.10") as server:
        settings.AUTHORIZED_KEYS_FILE = server.authorized_keys("root")
        yield server


@pytest.fixture(params=["root", "sudo"])
def direct(request, sshd: Sshd, backup_host: Sshd):
    """A server with its own key for that backup host."""
    host = host_for(sshd.target() if request.param == "root" else sshd.sudo_target())
    args = {
        "action": "make",
        "installation": installation_id(),
        "address": backup_host.address,
        "port": backup_host.port,
        "user": "root",
        "host_keys": [backup_host.host_key],
    }
    yield host, host.call("direct_key", args)["public_key"]
    host.call("direct_key", {"action": "remove", "installation": installation_id()})
    assert not Path("/etc/phpborg/direct", installation_id()).exists()


def run(host, repository: Path, *words: str, token: str, **more):
    with link(host, str(repository), mode="direct", token=token) as way:
        argv = [word.replace("REPO", way.repository) for word in words]
        return host.run("borg", {"argv": argv, **more}, secrets={"passphrase": PASSPHRASE}, link=way)


def test_a_direct_backup_goes_to_its_repository_and_to_no_other(direct, repository, place, token):
    server, public_key = direct
    converge([Grant(public_key, (str(repository),), "server")])
    result = run(server, repository, "create", "--log-json", "REPO::one", "/etc/hostname", token=token)
    assert result.exit.code == 0, result.exit.stderr_tail
    other = place / "jaga FS"
    env = {"PATH": "/usr/bin:/bin", "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(place / "b")}
    subprocess.run(["borg", "init", "-e", "repokey", str(other)], env=env, check=True, capture_output=True)
    refusal = run(server, other, "create", "--log-json", "REPO::one", "/etc/hostname", token=token)
    assert refusal.exit.code == 2
    assert "Repository path not allowed" in refusal.exit.stderr_tail
    converge([Grant(public_key, (str(repository), str(other)), "server")])
    assert run(server, other, "create", "REPO::one", "/etc/hostname", token=token).exit.code == 0


def test_the_servers_key_opens_nothing_but_borg(direct, backup_host, repository):
    _, public_key = direct
    converge([Grant(public_key, (str(repository),), "server")])
    directory = Path("/etc/phpborg/direct") / installation_id()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "key").stat().st_mode) == 0o600
    ssh = ["ssh", "-F", str(directory / "ssh_config")]
    shell = subprocess.run([*ssh, "phpborg", "id"], capture_output=True, timeout=20, input=b"")
    assert b"uid=" not in shell.stdout
    forward = [*ssh, "-o", "ExitOnForwardFailure=yes", "-N", "-R", "0:127.0.0.1:1", "phpborg"]
    assert subprocess.run(forward, capture_output=True, timeout=20, input=b"").returncode != 0


def test_a_changed_backup_host_is_refused_by_the_server(direct, backup_host, repository, token):
    server, public_key = direct
    converge([Grant(public_key, (str(repository),), "server")])
    backup_host.swap_host_key()
    backup_host.restart()
    result = run(server, repository, "create", "--log-json", "REPO::one", "/etc/hostname", token=token)
    assert result.exit.code == 2
    assert re.search("IDENTIFICATION HAS CHANGED|Host key verification failed", result.exit.stderr_tail)
    assert b"Accepted" not in backup_host.log.read_bytes().split(b"Server listening")[-1]


def test_making_the_key_again_keeps_it_and_brings_the_address_up_to_date(direct, backup_host):
    server, public_key = direct
    args = {"action": "make", "installation": installation_id(), "address": "backup.example", "port": 2222, "user": "b"}
    again = server.call("direct_key", {**args, "host_keys": [backup_host.host_key]})
    assert again["public_key"] == public_key
    config = (Path("/etc/phpborg/direct") / installation_id() / "ssh_config").read_text()
    assert "HostName backup.example" in config
    assert re.search(r"StrictHostKeyChecking yes", config)
    assert server.call("direct_key", {"action": "show", "installation": installation_id()})["public_key"]


def test_direct_without_its_key_says_so(sshd, repository, token):
    with pytest.raises(errors.RemotePathMissing, match="not set up"):
        run(host_for(sshd.target()), repository, "list", "REPO", token=token)


def test_the_helper_is_installed_and_replaced_by_root(lab, sshd, place):
    target = replace(sshd.target(), helper_path=f"/usr/local/lib/{lab.helper.parent.name}/x/phpborg-remote")
    for _ in range(2):
        with FabricHost.connect(target) as host:
            host.install_helper()
    path = Path(target.helper_path)
    assert path.read_bytes() == build_helper()
    assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (0, 0o755)
    assert os.listdir(path.parent) == ["phpborg-remote"]
    assert host_for(target).call("hello")["version"] == helper_version()


def test_the_helper_is_not_installed_by_an_account_that_may_not(lab, sshd):
    target = replace(sshd.sudo_target(), helper_path=f"/usr/local/lib/{lab.helper.parent.name}/y/phpborg-remote")
    for password in (None, "wrong"):
        with FabricHost.connect(target) as host, pytest.raises(errors.SudoRefused):
            host.install_helper(sudo_password=password)
    assert not Path(target.helper_path).parent.exists()
    assert not [path for path in Path("/tmp").glob("phpborg-*") if path.is_file() and path.owner() == lab.account]


def test_sudoers_that_visudo_refuses_are_not_installed(lab, sshd):
    path = f"{lab.sudoers}-new"
    with FabricHost.connect(sshd.target()) as host:
        with pytest.raises(errors.RemoteFailed):
            host.install_sudoers("this is no sudoers file\n", path)
        assert not Path(path).exists()
        host.install_sudoers("# fine\n", path)
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o440
    Path(path).unlink()


def test_a_noisy_login_does_not_disturb_set_up(lab):
    noisy = '#!/bin/bash\necho "Welcome"; exec bash -c "$SSH_ORIGINAL_COMMAND"\n'
    with running(lab, "127.0.0.12", force_command=noisy) as server:
        target = replace(server.target(), helper_path=f"/usr/local/lib/{lab.helper.parent.name}/z/phpborg-remote")
        with FabricHost.connect(target) as host:
            host.install_helper()
        assert host_for(target).call("hello")["version"] == helper_version()


def test_our_key_is_installed_once_and_other_lines_stay(lab, sshd):
    home = Path(f"/home/{lab.account}/.ssh/authorized_keys")
    pair = make_key_pair()
    target = replace(sshd.sudo_target(), sudo=False)
    with FabricHost.connect(target) as host:
        host.install_public_key(pair.public)
        assert stat.S_IMODE(home.stat().st_mode) == 0o600
        assert stat.S_IMODE(home.parent.stat().st_mode) == 0o700
        home.write_text("ssh-ed25519 AAAA admin")
        host.install_public_key(pair.public)
        host.install_public_key(pair.public)
    lines = home.read_text().splitlines()
    assert lines == ["ssh-ed25519 AAAA admin", " ".join(pair.public.split()[:2]) + " phpborg"]


@pytest.fixture
def password(lab):
    """The account's password for this test."""
    word = "p'a$s \"w\\ord"
    subprocess.run(["chpasswd"], input=f"{lab.account}:{word}\n", text=True, check=True)
    yield word
    subprocess.run(["usermod", "-p", "*", lab.account], check=True)


def test_a_password_is_used_once_and_seen_nowhere(lab, password, caplog):
    caplog.set_level(0)
    with running(lab, "127.0.0.12", options=["PasswordAuthentication yes"]) as server:
        target = replace(server.target(lab.account), private_key_path=None)
        with FabricHost.connect(target, password=password) as host:
            assert host.execute(("id", "-un")).stdout.strip() == lab.account
            host.install_public_key(make_key_pair().public)
            environment = host.execute(("cat", "/proc/self/environ", "/proc/self/cmdline")).stdout
        assert password not in environment
        with pytest.raises(errors.AuthenticationFailed), FabricHost.connect(target, password="wrong"):
            pass
    assert password not in caplog.text
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if _holds(path, password)]


def _holds(path: Path, text: str) -> bool:
    try:
        return text.encode() in path.read_bytes()
    except OSError:
        return False


def test_a_password_for_sudo_installs_the_helper(lab, password, sshd):
    try:
        lab.install_sudoers(f"{lab.account} ALL = (root) PASSWD: ALL\n")
        target = replace(sshd.sudo_target(), helper_path=f"/usr/local/lib/{lab.helper.parent.name}/s/phpborg-remote")
        with FabricHost.connect(target) as host:
            with pytest.raises(errors.SudoRefused):
                host.install_helper(sudo_password="wrong")
            host.install_helper(sudo_password=password)
        assert Path(target.helper_path).read_bytes() == build_helper()
        assert Path(target.helper_path).stat().st_uid == 0
    finally:
        lab.write_sudoers()
