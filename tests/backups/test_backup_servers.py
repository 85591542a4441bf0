"""Servers that are not as one would like them: banners, login scripts, no borg, sudo that asks, another identity."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backups.models import Archive, Repository
from backups.services import repositories
from phpborg.tasks.models import Lease, Task
from servers.models import Server
from tests.backups.conftest import MakeJob, RunJob, archive_of
from tests.support.sshd import Lab, Sshd

pytestmark = pytest.mark.real
NOISE = "*** Welcome to prod-db-01 (last patched 2026-01-01) ***"
NOISY = f'#!/bin/sh\necho "{NOISE}"\nexec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n'


def no_archive(repository: Repository, task: Task) -> None:
    assert not Archive.objects.exists()
    assert repositories.borg_of(repository).list_archives(include_checkpoints=True) == ()
    assert not Lease.objects.held().exists()


@pytest.fixture
def run_on(real_repository: Repository, make_job: MakeJob, run_job: RunJob, tree: Path) -> Callable[[Server], Task]:
    return lambda server: run_job(make_job(real_repository, tree, server=server))


def test_a_banner_is_no_warning(
    sshd: Sshd, ssh_server: Callable[..., Server], run_on: Callable[[Server], Task]
) -> None:
    sshd.banner = "Authorised use only.\nEverything is logged.\n"
    sshd.restart()
    task = run_on(ssh_server())
    assert (task.state, task.findings, task.findings_count) == ("success", [], 0)
    assert archive_of(task).findings_count == 0


def test_a_login_script_that_talks_does_not_hurt_the_tunnel(
    sshd: Sshd, ssh_server: Callable[..., Server], run_on: Callable[[Server], Task]
) -> None:
    sshd.force_command = NOISY
    sshd.restart()
    task = run_on(ssh_server())
    assert task.state == "success", (task.error_code, task.error_detail)
    assert "Welcome to prod-db-01" in task.log_tail


def test_a_login_script_that_talks_on_the_backup_host_is_quoted(
    backup_host: Sshd,
    ssh_server: Callable[..., Server],
    make_direct: Callable[[Server], None],
    run_on: Callable[[Server], Task],
    real_repository: Repository,
) -> None:
    server = ssh_server("root", "direct")
    make_direct(server)
    backup_host.force_command = NOISY
    backup_host.restart()
    task = run_on(server)
    assert (task.state, task.error_code) == ("failed", "BRG-19")
    assert "Welcome" in task.error_detail
    no_archive(real_repository, task)


def test_a_changed_host_key_stops_everything(
    sshd: Sshd, ssh_server: Callable[..., Server], run_on: Callable[[Server], Task], real_repository: Repository
) -> None:
    server = ssh_server()
    sshd.swap_host_key()
    sshd.restart()
    task = run_on(server)
    assert (task.state, task.error_code) == ("failed", "SSH-02")
    assert "Accepted publickey" not in sshd.log.read_text()
    no_archive(real_repository, task)


def test_a_changed_backup_host_stops_direct_backups(
    backup_host: Sshd,
    ssh_server: Callable[..., Server],
    make_direct: Callable[[Server], None],
    run_on: Callable[[Server], Task],
    real_repository: Repository,
) -> None:
    server = ssh_server("root", "direct")
    make_direct(server)
    backup_host.swap_host_key()
    backup_host.restart()
    task = run_on(server)
    assert task.state == "failed"
    assert "verification failed" in task.error_detail.lower(), (task.error_code, task.error_detail)
    no_archive(real_repository, task)


def test_a_dead_host_fails_soon(
    sshd: Sshd, ssh_server: Callable[..., Server], run_on: Callable[[Server], Task], real_repository: Repository
) -> None:
    server = ssh_server()
    sshd.stop()
    began = time.monotonic()
    task = run_on(server)
    assert (task.state, task.error_code) == ("failed", "SSH-01")
    assert time.monotonic() - began < 40
    no_archive(real_repository, task)


@pytest.mark.parametrize(
    "sudoers",
    ["{account} ALL=(root) ALL\n", "# nothing for {account}\n"],
    ids=["asks-for-a-password", "not-allowed"],
)
def test_sudo_that_asks_fails_with_its_own_sentence(
    lab: Lab,
    ssh_server: Callable[..., Server],
    run_on: Callable[[Server], Task],
    real_repository: Repository,
    sudoers: str,
) -> None:
    server = ssh_server(lab.account)
    lab.install_sudoers(sudoers.format(account=lab.account))
    began = time.monotonic()
    try:
        task = run_on(server)
    finally:
        lab.write_sudoers()
    assert (task.state, task.error_code) == ("failed", "HLP-01")
    assert "sudo:" in task.error_detail
    assert time.monotonic() - began < 30
    no_archive(real_repository, task)


def test_borg_that_is_not_there_is_named(
    ssh_server: Callable[..., Server],
    run_on: Callable[[Server], Task],
    real_repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from servers.transport.host import HelperHost

    before = HelperHost.call

    def call(self: HelperHost, verb: str, *args: object, **more: object) -> dict[str, object]:
        answer = before(self, verb, *args, **more)  # type: ignore[arg-type]
        if verb == "hello":
            answer["borg"] = {"path": None, "version": None, "problem": "borg is not in /usr/bin:/bin"}
        return answer

    monkeypatch.setattr(HelperHost, "call", call)
    task = run_on(ssh_server())
    assert (task.state, task.error_code) == ("failed", "HLP-05")
    assert "127.0.0.11" in str(task.error_facts)
    assert "borg is not in" in task.error_detail
    no_archive(real_repository, task)
