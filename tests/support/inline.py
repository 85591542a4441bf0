"""Waiting tasks, run at once in the test's own process and transaction."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from phpborg.tasks import runner
from phpborg.tasks.models import Task


@pytest.fixture
def run_pending(db: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Task]]:
    """`run_pending(kind=…)` runs what waits, oldest first, also what that queues; answers the tasks run."""
    # The heartbeat has a connection of its own and would not see the rows of the test's transaction.
    monkeypatch.setattr(runner, "CANCEL_POLL_SECONDS", 3600.0)

    def run(kind: str | None = None, limit: int = 50) -> list[Task]:
        done: list[Task] = []
        for _ in range(limit):
            waiting = Task.objects.pending().exclude(pk__in=[task.pk for task in done])
            if kind:
                waiting = waiting.filter(kind=kind)
            task = waiting.order_by("created_at").first()
            if task is None:
                break
            runner.run(str(task.pk))
            task.refresh_from_db()
            done.append(task)
        return done

    return run
