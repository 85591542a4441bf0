"""Enrolment and set-up against real sshd, sudo and borg."""

from __future__ import annotations

import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phpborg.tasks.models import Task
from phpborg.tasks.states import State
from servers.errors import HostKeyChanged, HostUnreachable
from servers.models import Server
from servers.remote.build import helper_version
from servers.services import enrol, identity, installing, reach, removal
from servers.services.errors import DuplicateServer
from servers.transport.fabric_host import FabricHost
from tests.servers.conftest import approve
from tests.support.sshd import Lab, Sshd

pytestmark = [pytest.mark.real, pytest.mark.django_db(transaction=True)]
SetUp = Callable[..., Task]
Enrolled = Callable[..., Server]


def steps(task: Task) -> dict[str, str]:
    return {step["code"]: step["state"] for step in task.steps}


def last(task: Task) -> dict[str, Any]:
    return dict(task.steps[-1])


def test_root_from_approval_to_ready(enrolled: Enrolled, set_up: SetUp, places: Path) -> None:
    server = enrolled()

    task = set_up(server)

    assert task.state == State.SUCCESS, (task.error_code, task.error_detail, task.steps)
    assert steps(task) == {
        "connect": "done",
        "host-key": "done",
        "login": "done",
        "python": "done",
        "sudo": "skipped",
        "helper": "done",
        "sudoers": "skipped",
        "borg": "done",
        "data": "done",
        "facts": "done",
    }
    assert server.state == Server.State.READY
    assert server.last_error_code == ""
    assert server.facts["version"] == helper_version()
    assert server.facts["borg"]["version"].startswith("1.")
    assert server.last_seen_at is not None
    assert places.stat().st_uid == 0
    assert stat.S_IMODE(places.stat().st_mode) == 0o755
    key = reach.key_path(server)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert not task.leases.held().exists()


def test_setting_up_twice_changes_nothing(enrolled: Enrolled, set_up: SetUp, places: Path) -> None:
    server = enrolled()
    set_up(server)
    before = places.stat().st_ino

    assert set_up(server).state == State.SUCCESS
    assert places.stat().st_ino == before


def test_an_account_that_may_do_anything_gets_the_narrow_rule(
    enrolled: Enrolled, set_up: SetUp, lab: Lab, places: Path
) -> None:
    lab.install_sudoers(f"{lab.account} ALL = (ALL) NOPASSWD: ALL\n")
    server = enrolled(lab.account)

    task = set_up(server)

    assert task.state == State.SUCCESS, (task.error_code, task.error_detail, task.steps)
    assert steps(task)["sudoers"] == "done"
    rule = Path(installing.SUDOERS_PATH)
    assert stat.S_IMODE(rule.stat().st_mode) == 0o440
    assert f'{places} ""' in rule.read_text()

    # The wide right is taken away: the narrow one is enough from now on.
    lab.sudoers.unlink()
    again = set_up(server)
    assert again.state == State.SUCCESS, (again.error_code, again.error_detail, again.steps)


def test_sudo_that_asks_ends_with_commands_that_mend_it(
    enrolled: Enrolled, set_up: SetUp, lab: Lab, places: Path
) -> None:
    server = enrolled(lab.account)
    began = time.monotonic()

    task = set_up(server)

    assert time.monotonic() - began < 10
    assert (task.state, task.error_code) == (State.FAILED, "HLP-01")
    assert "sudo:" in task.error_detail
    assert last(task)["code"] == "sudo"
    assert steps(task)["login"] == "done"
    assert server.state == Server.State.FAILED

    # An administrator pastes the commands as root; then set-up is through.
    done = subprocess.run(["bash", "-e"], input=last(task)["commands"], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert places.read_bytes().startswith(b"#!")
    again = set_up(server)
    assert again.state == State.SUCCESS, (again.error_code, again.error_detail, again.steps)
    assert server.state == Server.State.READY


def test_commands_refuse_a_program_that_was_swapped_meanwhile(
    enrolled: Enrolled, set_up: SetUp, lab: Lab, places: Path
) -> None:
    task = set_up(enrolled(lab.account))
    sent = Path(f"/home/{lab.account}") / installing.SENT_NAME
    sent.write_bytes(b"#!/bin/sh\nid > /root/owned\n")

    subprocess.run(["bash"], input=last(task)["commands"], text=True, capture_output=True)

    assert not places.exists()


def test_requiretty_is_sudos_own_sentence(enrolled: Enrolled, set_up: SetUp, lab: Lab) -> None:
    lab.install_sudoers(f"Defaults:{lab.account} requiretty\n{lab.account} ALL = (ALL) NOPASSWD: ALL\n")

    task = set_up(enrolled(lab.account))

    assert task.error_code == "HLP-01"
    assert "tty" in task.error_detail


def test_looking_only_installs_nothing(enrolled: Enrolled, set_up: SetUp, places: Path) -> None:
    task = set_up(enrolled(), install=False)

    assert (task.state, task.error_code) == (State.FAILED, "SRV-07")
    assert "sha256sum" in last(task)["commands"]
    assert not places.exists()


def test_a_changed_host_key_is_refused_and_both_fingerprints_are_shown(
    enrolled: Enrolled, set_up: SetUp, sshd: Sshd
) -> None:
    server = enrolled()
    set_up(server)
    old = server.host_key_fingerprint
    sshd.swap_host_key()
    sshd.restart()
    sent = sshd.log.stat().st_size

    task = set_up(server)

    assert (task.state, task.error_code) == (State.FAILED, "SSH-02")
    assert last(task)["code"] == "host-key"
    assert server.last_error_code == "SSH-02"
    offered = identity.offered(server)
    assert offered is not None
    assert offered.fingerprint != old
    assert server.host_key_fingerprint == old
    assert "Accepted" not in sshd.log.read_text()[sent:]
    with pytest.raises(HostKeyChanged):
        reach.host_for(server).call("hello")

    approve(server)
    assert server.state == Server.State.NEW
    assert set_up(server).state == State.SUCCESS


def test_no_key_on_the_server_is_a_failed_sign_in(enrolled: Enrolled, set_up: SetUp, sshd: Sshd) -> None:
    server = enrolled()
    sshd.authorize("root")

    task = set_up(server)

    assert (task.error_code, last(task)["code"]) == ("SSH-04", "login")


def test_a_dead_server_fails_soon_and_keeps_what_was_known(enrolled: Enrolled, set_up: SetUp, sshd: Sshd) -> None:
    server = enrolled()
    set_up(server)
    sshd.stop()

    task = set_up(server)

    assert (task.error_code, last(task)["code"]) == ("SSH-01", "connect")
    # A network that is down for a moment does not undo a good set-up.
    assert server.state == Server.State.READY
    assert server.last_error_code == "SSH-01"
    assert server.facts["borg"]["version"]


def test_a_noisy_login_is_tolerated_and_quoted(enrolled: Enrolled, set_up: SetUp, sshd: Sshd) -> None:
    sshd.force_command = '#!/bin/sh\necho "*** Welcome to prod-db-01 ***"\nexec bash -c "$SSH_ORIGINAL_COMMAND"\n'
    sshd.banner = "Authorised use only.\nAll is logged.\n"
    sshd.restart()

    task = set_up(enrolled())

    assert task.state == State.SUCCESS, (task.error_code, task.error_detail, task.steps)
    assert "prod-db-01" in task.steps[2]["detail"]


def test_a_shell_that_runs_nothing_is_named(enrolled: Enrolled, set_up: SetUp, sshd: Sshd) -> None:
    sshd.force_command = '#!/bin/sh\necho "This account is not available."\n'
    sshd.restart()

    task = set_up(enrolled())

    assert task.error_code == "SSH-06"
    assert "not available" in task.error_detail


def test_forwarding_that_sshd_forbids_names_the_option(enrolled: Enrolled, set_up: SetUp, sshd: Sshd) -> None:
    sshd.options.append("AllowStreamLocalForwarding no")
    sshd.restart()

    task = set_up(enrolled())

    assert (task.error_code, last(task)["code"]) == ("SSH-08", "data")
    assert steps(task)["borg"] == "done"


def test_no_borg_and_no_right_to_install_names_the_package(
    enrolled: Enrolled, set_up: SetUp, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = enrolled()
    set_up(server)
    _hide_borg(monkeypatch)

    task = set_up(server, install=False)

    assert (task.error_code, last(task)["code"]) == ("SRV-08", "borg")
    assert "borgbackup" in last(task)["commands"]


def test_no_borg_is_installed_by_the_package_manager(
    enrolled: Enrolled, set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = enrolled()
    set_up(server)
    _hide_borg(monkeypatch)
    monkeypatch.setattr(installing, "install_commands", lambda family, package: (("echo", family, package),))

    task = set_up(server)

    # The command was run, and Borg is still not there: that is said, not assumed.
    assert "debian borgbackup" in task.log_tail
    assert task.error_code == "SRV-08"


def _hide_borg(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program on the server finds no borg."""
    from servers.services import setup_steps

    real = setup_steps.SetUp.hello

    def hello(self: setup_steps.SetUp) -> dict[str, Any]:
        return {**real(self), "borg": {"path": None, "version": None, "problem": "borg is not in …"}}

    monkeypatch.setattr(setup_steps.SetUp, "hello", hello)


def test_direct_way_with_a_key_made_on_the_server(
    enrolled: Enrolled, set_up: SetUp, sshd: Sshd, settings, tmp_path: Path
) -> None:
    """The same sshd stands for the backup host: its authorized_keys is the file that we converge."""
    settings.BACKUP_HOST, settings.BACKUP_HOST_PORT, settings.BACKUP_HOST_USER = sshd.address, sshd.port, "root"
    settings.AUTHORIZED_KEYS_FILE = sshd.authorized_keys("root")
    server = enrolled()
    server.mode = Server.Mode.DIRECT
    server.save()

    task = set_up(server)

    assert task.state == State.SUCCESS, (task.error_code, task.error_detail, task.steps)
    assert server.direct_public_key.startswith("ssh-ed25519 ")
    lines = settings.AUTHORIZED_KEYS_FILE.read_text()
    assert server.direct_public_key in lines
    assert "--append-only --restrict-to-repository" in lines

    settings.AUTHORIZED_KEYS_FILE.write_text(server.public_key + "\n")
    settings.AUTHORIZED_KEYS_FILE = tmp_path / "elsewhere"
    assert set_up(server).error_code == "SRV-11"


def test_this_machine_needs_nothing_else(db: None, set_up: SetUp) -> None:
    server = enrol.add_localhost()

    task = set_up(server)

    assert task.state == State.SUCCESS, (task.error_code, task.error_detail, task.steps)
    assert server.is_ready
    assert enrol.add_localhost() == server


def test_the_same_machine_under_another_address_is_recognised(enrolled: Enrolled, sshd: Sshd) -> None:
    enrolled()
    with pytest.raises(DuplicateServer) as caught:
        enrol.add_server(name="other", address="127.0.0.11", port=sshd.port)
    assert caught.value.facts["server"] == "lab"

    sshd.options.append(f"ListenAddress 127.0.0.12:{sshd.port}")
    sshd.restart()
    with pytest.raises(DuplicateServer) as caught:
        enrol.add_server(name="other", address="127.0.0.12", port=sshd.port)
    assert caught.value.facts["server"] == "lab"
    assert Server.objects.count() == 1


def test_a_dead_address_is_said_at_once_and_leaves_nothing(db: None) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.13", 0))
        port = taken.getsockname()[1]
    with pytest.raises(HostUnreachable):
        enrol.add_server(name="gone", address="127.0.0.13", port=port)
    assert not Server.objects.exists()


def test_removal_takes_everything_of_ours_off_the_server(
    enrolled: Enrolled, set_up: SetUp, sshd: Sshd, places: Path, run_pending: Callable[..., list[Task]], tmp_path: Path
) -> None:
    server = enrolled()
    set_up(server)
    key_file = reach.key_path(server)

    removal.request_removal(server=server, typed="lab")
    task = run_pending("server-remove")[-1]

    assert task.state in (State.SUCCESS, State.NOTES), (task.error_code, task.error_detail, task.steps)
    assert not places.exists()
    assert not key_file.exists()
    assert not Server.objects.exists()


def test_removing_a_server_that_is_gone_is_possible(
    enrolled: Enrolled, set_up: SetUp, sshd: Sshd, run_pending: Callable[..., list[Task]]
) -> None:
    server = enrolled()
    sshd.stop()

    removal.request_removal(server=server, typed="lab")
    task = run_pending("server-remove")[-1]

    assert task.state == State.NOTES
    assert task.findings_count == 1
    assert not Server.objects.exists()


@pytest.mark.parametrize("size", [0, 10, 200])
def test_a_command_that_does_not_read_its_input_still_has_a_status(sshd: Sshd, size: int) -> None:
    with FabricHost.connect(sshd.target()) as host:
        for words, code in ((("true",), 0), (("false",), 1)):
            assert host.execute(words, stdin=b"x" * size).code == code
