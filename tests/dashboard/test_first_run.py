"""The first-run wizard: every step can be done, left out and taken up again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from backups.models import BackupJob, Repository, StoragePool
from phpborg.accounts.models import User
from phpborg.tasks.models import Task
from phpborg.tasks.states import State
from phpborg.ui.models import Installation
from servers.models import Server

pytestmark = pytest.mark.django_db
ClientOf = Callable[[User], Client]
Run = Callable[..., list[Task]]
STEPS = ("welcome", "mail", "pool", "server", "backup")


def step(name: str) -> str:
    """The address of a step."""
    return reverse("first-run-step", args=[name])


@pytest.mark.parametrize("name", STEPS)
def test_every_step_can_be_opened_and_left_out(alice: User, client_of: ClientOf, name: str) -> None:
    page = client_of(alice).get(step(name))
    assert page.status_code == 200


def test_only_an_administrator_sets_up(bob: User, client_of: ClientOf) -> None:
    for name in STEPS:
        assert client_of(bob).get(step(name)).status_code == 403


def test_language_zone_and_name_are_kept(alice: User, client_of: ClientOf) -> None:
    form = {"language": "en", "time_zone": "America/Montreal", "application_name": "Backups of ACME"}
    answer = client_of(alice).post(step("welcome"), form)
    assert answer.headers["Location"] == step("mail")
    installation, person = Installation.load(), User.objects.get(pk=alice.pk)
    assert (installation.time_zone, installation.application_name) == ("America/Montreal", "Backups of ACME")
    assert person.language == "en"


def test_a_path_that_cannot_be_a_pool_gets_a_sentence(alice: User, client_of: ClientOf) -> None:
    for path in ("/proc/x", "relative", "/etc/../etc", "/"):
        answer = client_of(alice).post(step("pool"), {"name": "Main", "path": path})
        assert answer.status_code == 422
        assert not StoragePool.objects.exists()


@pytest.mark.real
def test_from_nothing_to_a_proven_backup(alice: User, client_of: ClientOf, run_pending: Run, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("a")
    client = client_of(alice)
    assert client.post(step("pool"), {"name": "Main", "path": str(tmp_path / "pool")}).status_code == 302
    assert client.post(step("server")).status_code == 302
    run_pending("setup")
    server = Server.objects.get()
    assert server.is_ready
    client.post(step("backup"), {"server": str(server.pk), "path": str(source)})
    run_pending("backup")
    task = Task.objects.get(kind="backup")
    assert task.state == State.SUCCESS, (task.error_code, task.error_detail)
    assert BackupJob.objects.get().schedule.next_run_at is not None
    assert Repository.objects.get().encryption == "repokey-blake2"
    client.post(reverse("first-run-finish"))
    assert Installation.load().first_run_finished_at is not None
