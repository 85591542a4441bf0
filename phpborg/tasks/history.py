"""Old tasks: kept for 90 days, then their rows and their logs go, a bounded number at a time."""

from __future__ import annotations

import logging
import time
import uuid
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.utils import timezone

from phpborg.tasks.context import log_path
from phpborg.tasks.models import Lease, Task

log = logging.getLogger(__name__)
KEEP = timedelta(days=90)
AT_ONCE = 1000


def expire(*, now: datetime | None = None, limit: int = AT_ONCE) -> int:
    """Remove tasks that ended long ago, with their logs. Answers how many rows went.

    Kept for ever: what still holds a resource, and the newest task of each kind of each job, so that
    “last run” is known for a job that runs once a year.
    """
    before = (now or timezone.now()) - KEEP
    newer = Task.objects.filter(
        job_ref=OuterRef("job_ref"), kind=OuterRef("kind"), created_at__gt=OuterRef("created_at")
    )
    held = Lease.objects.held().filter(task=OuterRef("pk"))
    old = Task.objects.final().filter(finished_at__lt=before).exclude(Exists(held))
    ids = [row.pk for row in old.only("pk").filter(job_ref__isnull=True)[:limit]]
    ids += [row.pk for row in old.only("pk").filter(job_ref__isnull=False).filter(Exists(newer))[: limit - len(ids)]]
    for task in Task.objects.filter(pk__in=ids).only("pk"):
        with suppress(OSError):
            log_path(task).unlink()
    for start in range(0, len(ids), 200):
        Task.objects.filter(pk__in=ids[start : start + 200]).delete()
    _expire_logs(before, limit)
    return len(ids)


def _expire_logs(before: datetime, limit: int) -> None:
    """Logs whose task is gone (a database that was put back, a row removed by hand)."""
    oldest = before.timestamp()
    folder = Path(settings.VAR_DIR) / "log" / "tasks"
    stale: dict[uuid.UUID, Path] = {}
    for path in folder.glob("*.log") if folder.is_dir() else ():
        with suppress(OSError, ValueError):
            if path.stat().st_mtime < oldest <= time.time():
                stale[uuid.UUID(path.stem)] = path
        if len(stale) >= limit:
            break
    for start in range(0, len(stale), 200):
        part = list(stale)[start : start + 200]
        known = set(Task.objects.filter(pk__in=part).values_list("pk", flat=True))
        for pk in part:
            if pk not in known:
                with suppress(OSError):
                    stale[pk].unlink()
