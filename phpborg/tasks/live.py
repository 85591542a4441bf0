"""Live: one group in the channel layer, one hub per server process, many viewers.

A task publishes a plain snapshot at most twice a second. The hub of each Daphne process receives it
once and hands it to the viewers that watch that task; a viewer renders in its reader's language at
most four times a second, and identical fragments are rendered once (see consumers.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db.models import QuerySet

from phpborg.tasks import progress, registry
from phpborg.tasks.models import Task
from phpborg.tasks.states import ACTIVE

log = logging.getLogger(__name__)
GROUP = "phpborg.live"
TASKBAR_ROWS = 5
STEPS_SENT, DETAIL_SENT = 60, 2000  # a message stays small; the page has the rest
SEND_SECONDS, QUIET_SECONDS = 2.0, 5.0
_quiet_until = 0.0


def snapshot(task: Task, now: dict[str, Any] | None = None) -> dict[str, Any]:
    """All that a fragment needs, as plain data (no secret, no query): see templates/tasks/_live.html."""
    return {
        "id": str(task.pk),
        "at": time.time(),
        "kind": task.kind,
        "subject": task.subject,
        "state": str(task.state),
        "phase": task.phase,
        "is_system": task.is_system,
        "server": str(task.server_ref or ""),
        "job": str(task.job_ref or ""),
        "repository": str(task.repository_ref or ""),
        "created_at": task.created_at.isoformat(),
        "started_at": task.started_at.isoformat() if task.started_at else None,
        "finished_at": task.finished_at.isoformat() if task.finished_at else None,
        "cancelling": bool(task.cancel_requested_at and task.state in ACTIVE),
        "progress": now if now is not None else task.progress,
        "steps": task.steps[-STEPS_SENT:],
        "findings_count": task.findings_count,
        "error_code": task.error_code,
        "error_facts": task.error_facts,
        "error_detail": task.error_detail[:DETAIL_SENT],
    }


def publish(task: Task, now: dict[str, Any] | None = None) -> None:
    """Send a snapshot to every screen. Without Redis nothing is sent and nothing fails.

    A Redis that hangs costs at most two seconds, and then nothing for a while: a screen is never
    worth a task, and every screen catches up by itself (see hub.py).
    """
    global _quiet_until
    if time.monotonic() < _quiet_until:
        return
    try:
        async_to_sync(_send)({"type": "task.changed", "task": snapshot(task, now)})
    except Exception as error:
        _quiet_until = time.monotonic() + QUIET_SECONDS
        log.debug("not published: %s", error)


async def _send(message: dict[str, Any]) -> None:
    layer = get_channel_layer()
    if layer is not None:
        await asyncio.wait_for(layer.group_send(GROUP, message), timeout=SEND_SECONDS)


def current(tasks: QuerySet[Task] | list[Task]) -> list[dict[str, Any]]:
    """Snapshots with the newest progress: two round trips for any number of tasks."""
    rows = list(tasks)
    newest = progress.load_many([task.pk for task in rows if task.is_active])
    return [snapshot(task, newest.get(str(task.pk)) or task.progress) for task in rows]


def taskbar_context(user: Any) -> dict[str, Any]:
    """What the task bar shows: the active tasks that people asked for, and how many in all; see `bar`."""
    if not getattr(user, "is_authenticated", False):
        return bar([])
    kinds = [kind.name for kind in registry.all_kinds() if kind.page]
    active = Task.objects.active().for_people().order_by("created_at")
    rows: list[Task] = []
    total = 0
    for part in (active.filter(kind__in=kinds), active.exclude(kind__in=kinds)):
        found = list(part[: TASKBAR_ROWS + 1])
        rows += found[:TASKBAR_ROWS]
        total += len(found) if len(found) <= TASKBAR_ROWS else part.count()
    return {**bar(current(rows)), "total": total}


def bar(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The rows of the task bar: what stays until it is stopped, then what ends by itself; the oldest of each first.

    Each has room of its own: databases that are left open for days must not hide what runs, nor be hidden by it.
    """
    stay = [row for row in rows if registry.page_of(row["kind"])]
    end = [row for row in rows if not registry.page_of(row["kind"])]
    return {"tasks": [*stay[:TASKBAR_ROWS], *end[:TASKBAR_ROWS]], "total": len(rows)}
