"""Pages at full size: 500 servers, 2000 jobs, 100 000 archives.

Every list page stays under 30 queries, and neither the number of queries nor the rows that are
fetched grow from a small fleet (where one page is already full) to the large one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection, transaction
from django.db.backends.sqlite3.base import SQLiteCursorWrapper
from django.test import Client
from django.urls import reverse

from backups.models import Archive, BackupJob, Repository, StoragePool
from phpborg.accounts.models import User
from phpborg.tasks.models import Task
from servers.models import Server

pytestmark = pytest.mark.real
QUERIES = 30
ROWS = 320  # a page of 50 or 100, labels, and the names that its filters offer
# One mark for each server, every job's last outcome, and so many results of each hour of a month.
ALL_ON_ONE_SCREEN = {"dashboard": 500 + 2000 + 31 * 24 * 3}
SMALL = {"servers": 120, "jobs": 480, "archives": 2000, "tasks": 1000}
LARGE = {"servers": 500, "jobs": 2000, "archives": 100_000, "tasks": 20_000}


@dataclass
class Cost:
    """What one page took."""

    queries: int
    rows: int
    milliseconds: float


def pages() -> dict[str, str]:
    """The lists, plain and filtered, and the pages that hold lists of their own."""
    server, job, archive = Server.objects.earliest("name"), BackupJob.objects.earliest("name"), Archive.objects.first()
    repository, pool = Repository.objects.earliest("name"), StoragePool.objects.earliest("name")
    assert archive is not None
    task = Task.objects.earliest("created_at")
    found = {
        "dashboard": reverse("dashboard"),
        "servers": reverse("servers"),
        "servers, second page": reverse("servers") + "?page=2",
        "servers, searched": reverse("servers") + "?q=web",
        "servers, failing": reverse("servers") + "?health=failing",
        "server": server.get_absolute_url(),
        "jobs": reverse("jobs"),
        "jobs, searched": reverse("jobs") + "?q=etc",
        "job": job.get_absolute_url(),
        "archives": reverse("archives"),
        "archives, last page": reverse("archives") + "?page=last",
        "archives, of a server": reverse("archives") + f"?server={server.pk}",
        "archives, of a job": reverse("archives") + f"?job={job.pk}",
        "archives, searched": reverse("archives") + "?q=paris",
        "archives, largest": reverse("archives") + "?sort=-original_bytes",
        "archive": archive.get_absolute_url(),
        "repositories": reverse("repositories"),
        "repository": repository.get_absolute_url(),
        "pool": pool.get_absolute_url(),
        "trash": reverse("storage-trash"),
        "tasks": reverse("tasks"),
        "tasks, failed": reverse("tasks") + "?state=failed",
        "tasks, searched": reverse("tasks") + "?q=web",
        "tasks, of a server": reverse("tasks") + f"?server={server.pk}",
        "task": task.get_absolute_url(),
        "workers": reverse("workers"),
        "restores": reverse("restores"),
        "job wizard": reverse("job-wizard"),
    }
    for model in (Server, BackupJob, Archive, Repository, Task):
        found[f"admin {model._meta.model_name}"] = reverse(
            f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
        )
    return found


@contextmanager
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Counts statements and the rows that come back."""
    seen = {"queries": 0, "rows": 0}

    def run(execute: Callable[..., Any], *args: Any) -> Any:
        seen["queries"] += 1
        return execute(*args)

    def counted(name: str) -> Callable[..., Any]:
        fetch = getattr(SQLiteCursorWrapper, name)

        def wrapper(self: Any, *args: Any) -> Any:
            rows = fetch(self, *args)
            seen["rows"] += len(rows) if isinstance(rows, list) else rows is not None
            return rows

        return wrapper

    with monkeypatch.context() as patch, connection.execute_wrapper(run):
        for name in ("fetchone", "fetchmany", "fetchall"):
            patch.setattr(SQLiteCursorWrapper, name, counted(name), raising=False)
        yield seen


def measure(size: dict[str, int], client: Client, patch: pytest.MonkeyPatch) -> dict[str, Cost]:
    """The cost of every page in a fleet of this size, which is gone afterwards."""
    costs = {}
    with transaction.atomic():
        call_command("seed", **size, verbosity=0)
        cursor = connection.cursor()
        cursor.execute("ANALYZE")
        for name, address in pages().items():
            cache.clear()
            client.get(address)  # templates are compiled once
            began = time.perf_counter()
            with counting(patch) as seen:
                response = client.get(address)
                assert response.status_code == 200, f"{address}: {response.status_code}"
            costs[name] = Cost(seen["queries"], seen["rows"], 1000 * (time.perf_counter() - began))
        transaction.set_rollback(True)
    return costs


def test_the_cost_of_a_page_does_not_grow_with_the_fleet(
    alice: User,
    client_of: Callable[[User], Client],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = client_of(alice)
    small, large = measure(SMALL, client, monkeypatch), measure(LARGE, client, monkeypatch)
    lines = [
        f"{name:24} {small[name].queries:3} → {cost.queries:3} queries  {small[name].rows:5} → {cost.rows:5} rows  "
        f"{small[name].milliseconds:6.0f} → {cost.milliseconds:6.0f} ms"
        for name, cost in large.items()
    ]
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
    bad = [line for name, line in zip(large, lines, strict=True) if _is_bad(name, small[name], large[name])]
    assert bad == []


def _is_bad(name: str, before: Cost, after: Cost) -> bool:
    """More queries than allowed or than in the small fleet, or more rows than a page can show."""
    rows = ROWS + ALL_ON_ONE_SCREEN.get(name, 0)
    return after.queries >= QUERIES or after.queries > before.queries or after.rows > rows
