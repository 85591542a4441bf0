"""Who works: queues, workers, the clock, Redis, and what resists removal. For the workers page and the dashboard."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import django_rq
import redis
from django.conf import settings
from django.utils import timezone
from rq import Worker

from phpborg.tasks import leases, progress
from phpborg.tasks.models import Lease, Task

# A worker signs every 30 seconds, the clock with every tick.
SILENT_AFTER = timedelta(seconds=120)


@dataclass(frozen=True)
class WorkerRow:
    """One worker process, as Redis knows it."""

    name: str
    host: str
    pid: int
    queues: tuple[str, ...]
    state: str
    born_at: datetime | None
    seen_at: datetime | None
    task: Task | None = None


@dataclass(frozen=True)
class QueueRow:
    """One queue: how much waits, and whether somebody listens."""

    name: str
    waiting: int
    blocked: int
    running: int
    workers: int


@dataclass(frozen=True)
class Overview:
    """All of it at one moment. `problems` are words: redis, clock, workers, queue:<name>."""

    redis_error: str
    redis_version: str
    workers: list[WorkerRow]
    queues: list[QueueRow]
    clock_at: datetime | None
    resisting: list[Lease]
    problems: list[str] = field(default_factory=list)


def redis_state() -> tuple[str, str]:
    """(version, error): one of them is empty."""
    try:
        info = progress.connection().info("server")
    except (redis.RedisError, OSError) as error:
        return "", str(error)
    return str(info["redis_version"]), ""


def alive() -> list[WorkerRow]:
    """The workers that live; [] when none does or Redis is away."""
    try:
        found = Worker.all(connection=django_rq.get_connection(settings.QUEUES[0]))
    except (redis.RedisError, OSError):
        return []
    rows = []
    for worker in found:
        if worker.death_date is None and _lives(worker):
            rows.append(_row(worker))
    return sorted(rows, key=lambda row: (row.queues, row.host, row.pid))


def _lives(worker: Worker) -> bool:
    """On this host the process decides, elsewhere its last sign of life."""
    if worker.hostname == socket.gethostname():
        return bool(worker.pid) and leases.process_started_at(int(worker.pid)) != ""
    seen = _aware(worker.last_heartbeat)
    return seen is not None and timezone.now() - seen < SILENT_AFTER


def _row(worker: Worker) -> WorkerRow:
    return WorkerRow(
        name=worker.name,
        host=worker.hostname or "",
        pid=int(worker.pid or 0),
        queues=tuple(worker.queue_names()),
        state=str(getattr(worker.get_state(), "value", worker.get_state())),
        born_at=_aware(worker.birth_date),
        seen_at=_aware(worker.last_heartbeat),
    )


def _aware(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment if timezone.is_aware(moment) else moment.replace(tzinfo=timezone.get_fixed_timezone(0))
