"""One way into the queue for everything: a row first, then — after the commit — its id to Redis."""

from __future__ import annotations

import logging
import uuid
from typing import Any, Protocol

import django_rq
import redis
from django.db import transaction
from django.utils import timezone

from phpborg.tasks import live, registry
from phpborg.tasks.errors import AlreadyActive, TaskNotCancellable, TaskNotRetryable
from phpborg.tasks.models import Task
from phpborg.tasks.states import PENDING, State, Trigger
from phpborg.tasks.text import printable

log = logging.getLogger(__name__)
RUNNER = "phpborg.tasks.runner.run"


class Named(Protocol):
    """Anything with a primary key that a task may speak of."""

    pk: Any


def _ref(thing: Named | None) -> uuid.UUID | None:
    return None if thing is None else thing.pk


def enqueue(
    kind: str,
    *,
    params: dict[str, Any] | None = None,
    subject: str = "",
    server: Named | None = None,
    job: Named | None = None,
    repository: Named | None = None,
    archive: Named | None = None,
    exclusive: str | None = None,
    by: Any = None,
    trigger: Trigger = Trigger.MANUAL,
    deadline_seconds: int = 0,
    retry_of: Task | None = None,
    unless_active: bool = False,
) -> Task:
    """Write a task down and queue it once the transaction has committed.

    `params` are ids and choices, never secrets. Tasks with the same `exclusive` text run one at a
    time. With `unless_active` the same kind about the same things is not queued twice: raises
    AlreadyActive. Raises LookupError for an unknown kind.
    """
    what = registry.get(kind)
    task = Task(
        kind=kind,
        queue=what.queue,
        is_system=what.is_system,
        subject=printable(subject)[:300],
        params=params or {},
        exclusive=exclusive,
        server_ref=_ref(server),
        job_ref=_ref(job),
        repository_ref=_ref(repository),
        archive_ref=_ref(archive),
        requested_by=by if getattr(by, "pk", None) else None,
        trigger=trigger,
        deadline_seconds=deadline_seconds,
        retry_of=retry_of,
    )
    with transaction.atomic():
        if unless_active and same_active(task).exists():
            raise AlreadyActive()
        task.save(force_insert=True)
        transaction.on_commit(lambda: announce(task))
    return task


def same_active(task: Task) -> Any:
    """Active tasks of the same kind about the same things, asked with the same choices."""
    return Task.objects.active().filter(
        kind=task.kind,
        params=task.params,
        server_ref=task.server_ref,
        job_ref=task.job_ref,
        repository_ref=task.repository_ref,
        archive_ref=task.archive_ref,
    )


def announce(task: Task) -> None:
    """Tell Redis and the screens. Without Redis the row waits; the clock announces it again."""
    live.publish(task)
    push(task)


def push(task: Task) -> bool:
    """Put the task's id into its queue. False when Redis is away."""
    try:
        django_rq.get_queue(task.queue).enqueue(
            RUNNER, str(task.pk), job_id=str(task.pk), result_ttl=0, failure_ttl=3600, job_timeout=-1
        )
    except (redis.RedisError, OSError) as error:
        log.warning("task %s waits for Redis: %s", task.pk, error)
        return False
    return True


def cancel(task: Task, *, by: Any = None) -> None:
    """End a waiting task at once; ask a running one to stop. Raises TaskNotCancellable."""
    now = timezone.now()
    name = getattr(by, "username", "") or ""
    waiting = Task.objects.filter(pk=task.pk, state__in=PENDING).update(
        state=State.CANCELLED, finished_at=now, cancel_requested_at=now, result={"cancelled_by": name}
    )
    if waiting:
        task.refresh_from_db()
        live.publish(task)
        registry.tell_finished(task)
        return
    asked = Task.objects.filter(pk=task.pk, state=State.RUNNING, cancel_requested_at__isnull=True).update(
        cancel_requested_at=now
    )
    if not asked:
        raise TaskNotCancellable()
    task.refresh_from_db()
    live.publish(task)


def retry(task: Task, *, by: Any = None) -> Task:
    """Queue the same work again. Raises TaskNotRetryable."""
    if task.is_active or not registry.is_retryable(task.kind):
        raise TaskNotRetryable()
    again = Task(
        kind=task.kind,
        queue=task.queue,
        is_system=task.is_system,
        subject=task.subject,
        params=task.params,
        exclusive=task.exclusive,
        server_ref=task.server_ref,
        job_ref=task.job_ref,
        repository_ref=task.repository_ref,
        archive_ref=task.archive_ref,
        requested_by=by if getattr(by, "pk", None) else None,
        trigger=Trigger.RETRY,
        deadline_seconds=task.deadline_seconds,
        retry_of=task,
    )
    with transaction.atomic():
        if same_active(again).exists():
            raise AlreadyActive()
        again.save(force_insert=True)
        transaction.on_commit(lambda: announce(again))
    return again


def wake_blocked(exclusive: str | None) -> None:
    """The resource is free: let the task that has waited longest try again."""
    if not exclusive:
        return
    waiting = Task.objects.filter(exclusive=exclusive, state=State.BLOCKED).order_by("created_at").first()
    if waiting:
        push(waiting)
