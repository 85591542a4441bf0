"""Old history goes: the system's own tasks after two weeks, logs after three months, the rest after two years."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import FINAL

log = logging.getLogger(__name__)
KEEP_SYSTEM, KEEP_LOGS, KEEP_TASKS = timedelta(days=14), timedelta(days=90), timedelta(days=730)
EVERY_SECONDS = 3600.0
BATCH = 500
_next_at = 0.0


def forget_sometimes() -> int:
    """`forget`, at most once an hour in this process."""
    global _next_at
    if time.monotonic() < _next_at:
        return 0
    _next_at = time.monotonic() + EVERY_SECONDS
    return forget()


def forget() -> int:
    """Remove what is older than it is kept; a task that still holds something stays. How many rows went."""
    now = timezone.now()
    ended = Task.objects.filter(state__in=FINAL).exclude(pk__in=Lease.objects.held().values("task_id"))
    gone = 0
    for tasks in (
        ended.filter(is_system=True, finished_at__lt=now - KEEP_SYSTEM),
        ended.filter(finished_at__lt=now - KEEP_TASKS),
    ):
        while chosen := list(tasks.values_list("pk", flat=True)[:BATCH]):
            Task.objects.filter(pk__in=chosen).delete()
            gone += len(chosen)
    _forget_logs(now.timestamp() - KEEP_LOGS.total_seconds())
    if gone:
        log.info("history: %s old tasks were forgotten", gone)
    return gone


def _forget_logs(before: float) -> None:
    """Logs that nobody has written to since then; their last lines stay in the rows."""
    for path in Path(settings.VAR_DIR, "log", "tasks").glob("*.log"):
        with suppress(OSError):
            if path.stat().st_mtime < before:
                path.unlink()
