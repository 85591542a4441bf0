"""Who works: queues, workers, the clock, Redis, what resists removal. For the workers page and the dashboard."""

from __future__ import annotations

import socket
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import django_rq
import redis
from django.apps import apps
from django.conf import settings
from django.utils import timezone
from rq import Worker
from rq.worker import BaseWorker

from phpborg.tasks import leases, progress
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import State

# A worker signs every 30 seconds, the clock with every tick.
SILENT_AFTER = timedelta(seconds=120)
RESISTING_SHOWN = 50


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
    clock_dead: bool
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


def _lives(worker: BaseWorker) -> bool:
    """On this host the process decides, elsewhere its last sign of life."""
    if worker.hostname == socket.gethostname():
        return worker.pid is not None and leases.process_started_at(worker.pid) != ""
    seen = _aware(worker.last_heartbeat)
    return seen is not None and timezone.now() - seen < SILENT_AFTER


def _row(worker: BaseWorker) -> WorkerRow:
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


def clock_at() -> datetime | None:
    """The last tick of the clock."""
    moment: datetime | None = (
        apps.get_model("ui.Installation")._default_manager.values_list("clock_at", flat=True).first()
    )
    return moment


def clock_is_dead(ticked_at: datetime | None) -> bool:
    """No tick for several of its intervals."""
    limit = timedelta(seconds=max(60, 6 * settings.CLOCK_SECONDS))
    return ticked_at is None or timezone.now() - ticked_at > limit


def resisting() -> list[Lease]:
    """What ended tasks still hold although its removal was tried."""
    held = Lease.objects.held().filter(attempts__gt=0).select_related("task")
    return list(held.order_by("-tried_at")[:RESISTING_SHOWN])


def overview() -> Overview:
    """Everything, in a handful of round trips."""
    version, error = redis_state()
    at_work = [] if error else alive()
    running = {_process(task): task for task in Task.objects.running().only(*RUNNING_FIELDS)}
    rows = [replace(row, task=_task_of(row, running)) for row in at_work]
    lengths = Counter(Task.objects.active().order_by().values_list("queue", "state"))
    queues = [
        QueueRow(
            name=name,
            waiting=lengths[name, State.WAITING],
            blocked=lengths[name, State.BLOCKED],
            running=lengths[name, State.RUNNING],
            workers=sum(name in row.queues for row in rows),
        )
        for name in settings.QUEUES
    ]
    ticked_at = clock_at()
    problems = _problems(error, rows, queues, ticked_at)
    return Overview(error, version, rows, queues, ticked_at, clock_is_dead(ticked_at), resisting(), problems)


RUNNING_FIELDS = ("pk", "kind", "subject", "worker", "queue", "state", "started_at", "phase")


def _process(task: Task) -> tuple[str, int]:
    """The host and process that run a task."""
    host, _, rest = task.worker.partition(":")
    pid = rest.partition(":")[0]
    return host, int(pid) if pid.isdigit() else 0


def _task_of(row: WorkerRow, running: dict[tuple[str, int], Task]) -> Task | None:
    """The task whose process is a child of this worker."""
    here = row.host == socket.gethostname()
    for (host, pid), task in running.items():
        if host == row.host and (_parent(pid) == row.pid if here else task.queue in row.queues):
            return task
    return None


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _problems(error: str, workers: list[WorkerRow], queues: list[QueueRow], ticked_at: datetime | None) -> list[str]:
    if error:
        return ["redis", *(["clock"] if clock_is_dead(ticked_at) else [])]
    found = []
    if not workers:
        found.append("workers")
    else:
        found += [f"queue:{row.name}" for row in queues if not row.workers]
    if clock_is_dead(ticked_at):
        found.append("clock")
    return found
