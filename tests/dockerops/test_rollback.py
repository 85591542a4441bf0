"""A rollback that somebody asks for: what it owes, and what is left when it does not succeed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dockerops.models import DockerRestore
from dockerops.run_errors import NothingKept, RollbackFailed, StillUndoing
from dockerops.services import protection, rollback, undoing
from phpborg.accounts.models import User
from phpborg.tasks import leases
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import State
from tests.dockerops import rows

ClientOf = Callable[[User], Client]
pytestmark = pytest.mark.django_db
CLEAN: dict[str, Any] = {"undone": ["exchange"], "problems": [], "notes": []}
HALF: dict[str, Any] = {"undone": [], "problems": ["step 3: gone"], "notes": []}


class FakeEngine:
    """The helper's answers; an exception is raised."""

    said: Any = CLEAN
    reached: Any = {"exists": True}

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def state(self) -> Any:
        if isinstance(self.reached, Exception):
            raise self.reached
        return self.reached

    def rollback(self) -> Any:
        return {**self.said, "undone": [{"op": op} for op in self.said["undone"]]}


class FakeContext:
    """A task that runs."""

    def __init__(self, restore: DockerRestore) -> None:
        self.task = Task.objects.create(kind="docker_rollback", queue="restore", state=State.RUNNING)
        self.params = {"docker_restore": str(restore.pk)}
        self.rows: list[dict[str, Any]] = []

    def phase(self, name: str) -> None:
        pass

    def hold(self, kind: str, **data: Any) -> Lease:
        return leases.hold(self.task, kind, data)

    def cross_out(self, lease: Lease) -> None:
        leases.cross_out(lease)

    @contextmanager
    def step(self, code: str, title: str, **facts: Any) -> Any:
        self.rows.append({})
        yield self.rows[-1]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> type[FakeEngine]:
    made = type("Engine", (FakeEngine,), {})
    monkeypatch.setattr(rollback, "EngineAt", made)
    return made


def restored(**more: Any) -> DockerRestore:
    """One whose former state is kept."""
    row = rows.record(None, **more)
    task = Task.objects.get(pk=row.task_ref)
    data = {"server": str(row.server_id), "restore": str(row.pk), "token": row.token, "socket": "/run/docker.sock"}
    leases.hold(task, protection.KEPT, data)
    return row


def carry_out(row: DockerRestore) -> None:
    rollback.carry_out(FakeContext(row))  # type: ignore[arg-type]


def owed() -> int:
    return Lease.objects.held().filter(kind=undoing.RESTORE).count()


def test_fake_a_server_that_cannot_be_reached_is_not_rolled_back_hours_later(engine: Any) -> None:
    row = restored()
    engine.reached = OSError("no route to host")
    with pytest.raises(OSError, match="no route"):
        carry_out(row)
    assert owed() == 0
    engine.reached, engine.said = {"exists": True}, HALF
    with pytest.raises(RollbackFailed):
        carry_out(row)
    assert owed() == 1


def test_fake_what_resists_can_be_tried_again_at_once_until_it_succeeds(engine: Any) -> None:
    row = restored(protected_until=timezone.now() + timedelta(hours=1))
    engine.said = HALF
    with pytest.raises(RollbackFailed):
        carry_out(row)
    row.refresh_from_db()
    assert (row.state, row.report["rollback"]["problems"]) == ("failed", ["step 3: gone"])
    assert row.is_half_undone
    task = rollback.start(restore=row)
    with pytest.raises(StillUndoing):
        rollback.start(restore=row)
    Task.objects.filter(pk=task.pk).update(state=State.FAILED)
    engine.said = CLEAN
    carry_out(row)
    row.refresh_from_db()
    assert (row.state, row.report["undone_later"], row.is_half_undone) == ("rolled_back", True, False)
    assert not Lease.objects.held().exists()
    with pytest.raises(NothingKept):
        rollback.start(restore=row)


def test_a_restore_that_failed_and_was_undone_in_part_is_tried_again_too() -> None:
    row = rows.record(None, "started")
    Task.objects.filter(pk=row.task_ref).update(state=State.FAILED)
    undoing.record(str(row.pk), HALF)
    assert rollback.start(restore=row).kind == rollback.KIND


def test_the_page_of_one_that_is_half_undone_offers_it(client_of: ClientOf, bob: User) -> None:
    row = rows.record(bob, "failed", report={"rollback": {"complete": False, "problems": ["step 3 (exchange): gone"]}})
    page = client_of(bob).get(row.get_absolute_url()).content.decode()
    assert "Try again now" in page
    assert "Step 3, “Exchange”: gone" in page
    asked = client_of(bob).post(reverse("docker-rollback", args=[row.pk]))
    assert "Roll back this restore?" in asked.content.decode()
