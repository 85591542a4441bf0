"""A rollback that somebody asks for: what it owes, and what is left when it does not succeed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest

from dockerops.models import DockerRestore
from dockerops.run_errors import RollbackFailed
from dockerops.services import protection, rollback, undoing
from phpborg.tasks import leases
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import State
from tests.dockerops import rows

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
