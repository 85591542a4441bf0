"""Finds what was left behind: tasks without a heartbeat, resources without a task, rows that Redis forgot.

Runs with every tick of the clock and at boot. Every change is a conditional update, so two reapers
never do a thing twice.
"""

from __future__ import annotations

import logging
import os
import socket
from datetime import timedelta

import django_rq
import redis
from django.conf import settings
from django.utils import timezone

from phpborg.tasks import history, leases, live, queue, registry
from phpborg.tasks.errors import AlreadyActive, TaskLost
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import FINAL, State, Trigger

log = logging.getLogger(__name__)
REQUEUE_AFTER = timedelta(seconds=15)


def sweep() -> None:
    """All of it, each part alone: one that fails does not stop the others."""
    for part in (reap_lost, clean_abandoned, requeue_forgotten, wake_blocked, history.forget_sometimes):
        try:
            part()
        except Exception:
            log.exception("reaper: %s failed", part.__name__)


def reap_lost() -> int:
    """Mark running tasks as lost whose heartbeat stopped or whose worker on this host is gone."""
    limit = timezone.now() - timedelta(seconds=settings.TASK_LOST_SECONDS)
    lost = 0
    for task in Task.objects.running().only("pk", "worker", "heartbeat_at", "state", "exclusive"):
        if (task.heartbeat_at or timezone.now()) < limit or worker_is_gone(task.worker):
            lost += mark_lost(task)
    return lost


def worker_is_gone(worker: str) -> bool:
    """True only when the worker was a process of this host and that very process has ended."""
    host, _, rest = worker.partition(":")
    pid, _, started = rest.partition(":")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    return leases.process_started_at(int(pid)) != started


def mark_lost_by_id(task_id: str) -> None:
    """The horse of this task was killed: record it without waiting for the clock."""
    task = Task.objects.filter(pk=task_id, state=State.RUNNING).first()
    if task and worker_is_gone(task.worker):
        mark_lost(task)
        clean_abandoned()


def mark_lost(task: Task) -> bool:
    """One running task becomes lost; what it holds is handed to the clean-up. False when it was not running."""
    changed = Task.objects.filter(pk=task.pk, state=State.RUNNING, worker=task.worker).update(
        state=State.LOST, finished_at=timezone.now(), error_code=TaskLost.code, phase=""
    )
    if not changed:
        return False
    log.warning("task %s is lost: its worker %s is gone", task.pk, task.worker)
    task.refresh_from_db()
    live.publish(task)
    registry.tell_finished(task)
    return True


def clean_abandoned() -> int:
    """Queue a clean-up for every ended task that still holds something. Answers how many were queued."""
    # A lease that resists is tried again with growing distance, for ever, and shows on the workers page.
    due = [lease for lease in Lease.objects.abandoned().select_related("task")[:200] if _is_due(lease)]
    queued = 0
    for task in {lease.task_id: lease.task for lease in due}.values():
        try:
            queue.enqueue(
                "cleanup",
                params={"task": str(task.pk)},
                subject=str(registry.label(task.kind)),
                trigger=Trigger.SYSTEM,
                unless_active=True,
            )
            queued += 1
        except AlreadyActive:
            continue
    return queued


def _is_due(lease: Lease) -> bool:
    if lease.tried_at is None:
        return True
    return timezone.now() >= lease.tried_at + timedelta(seconds=min(10 * lease.attempts, 600))


def clean_task(task_id: str) -> bool:
    """Remove what an ended task still holds, and kept things whose time has passed. True when nothing is left."""
    held = Lease.objects.abandoned().filter(task_id=task_id)
    ended = leases.release_all(held)
    task = Task.objects.filter(pk=task_id, state__in=FINAL).first()
    if task:
        queue.wake_blocked(task.exclusive)
    return ended


def requeue_forgotten() -> int:
    """Waiting rows that Redis does not know (it was flushed, or away) are announced again."""
    old = timezone.now() - REQUEUE_AFTER
    rows = Task.objects.filter(state=State.WAITING, created_at__lt=old).order_by("created_at")
    return push_unknown(list(rows[:500]))


def wake_blocked() -> int:
    """Blocked tasks whose resource has become free try again, the oldest first."""
    busy = set(Task.objects.running().exclude(exclusive=None).values_list("exclusive", flat=True))
    oldest: dict[str | None, Task] = {}
    for task in Task.objects.filter(state=State.BLOCKED).order_by("created_at"):
        if task.exclusive not in busy:
            oldest.setdefault(task.exclusive, task)
    return push_unknown(list(oldest.values()))


def push_unknown(tasks: list[Task]) -> int:
    """Queue those that Redis does not hold already. Answers how many were queued."""
    known: dict[str, set[str]] = {}
    count = 0
    for task in tasks:
        try:
            if task.queue not in known:
                known[task.queue] = set(django_rq.get_queue(task.queue).get_job_ids())
        except (redis.RedisError, OSError):
            return count
        if str(task.pk) not in known[task.queue]:
            count += queue.push(task)
    return count


def at_boot() -> None:
    """Everything that a crash or a reboot left on this host."""
    log.info("reaper: looking for what a crash left (pid %s)", os.getpid())
    sweep()
