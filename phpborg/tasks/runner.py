"""Runs one task: claim, heartbeat, do, clean up, grade, record.

Called by RQ with an id. The row is the truth: a task that another worker has, or that was
cancelled meanwhile, is left alone; running twice is harmless.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone, translation

from phpborg.crypto import redact
from phpborg.errors import PhpBorgError
from phpborg.tasks import leases, live, queue, registry
from phpborg.tasks.context import Cancelled, TaskContext
from phpborg.tasks.errors import Crashed
from phpborg.tasks.models import Task
from phpborg.tasks.registry import Outcome
from phpborg.tasks.states import PENDING, State
from phpborg.tasks.text import deep, printable

log = logging.getLogger(__name__)
CANCEL_POLL_SECONDS = 1.0
FINDINGS_KEPT = 200
RECORD_PAUSES_SECONDS = (1, 2, 4, 8, 15, 30, 0)


def this_worker() -> str:
    """host:pid:start time — names one process for ever."""
    return f"{socket.gethostname()}:{os.getpid()}:{leases.process_started_at(os.getpid())}"


def run(task_id: str) -> None:
    """Take the task if it is still to be had, and bring it to exactly one final state."""
    task = claim(task_id)
    if task is None:
        return
    context = TaskContext(task)
    beat = Heartbeat(context)
    # What a task stores is English; pages and mails translate it for their reader.
    with _stopped_by_sigterm(context), translation.override("en"):
        beat.start()
        live.publish(task)
        try:
            fields, crash = _execute(context)
            _clean_up(context)
        finally:
            beat.stop()
        _record(context, fields)
        queue.wake_blocked(task.exclusive)
    if crash is not None and not isinstance(crash, Exception):
        raise crash


def claim(task_id: str) -> Task | None:
    """The task, now running and ours; None when it is not to be had. A busy resource blocks it visibly."""
    now = timezone.now()
    try:
        with transaction.atomic():
            taken = Task.objects.filter(pk=task_id, state__in=PENDING, cancel_requested_at__isnull=True).update(
                state=State.RUNNING, started_at=now, heartbeat_at=now, worker=this_worker(), phase="starting"
            )
    except IntegrityError:
        _block(task_id)
        return None
    return Task.objects.get(pk=task_id) if taken else None


def _block(task_id: str) -> None:
    """Another task has the resource: wait for it visibly."""
    blocked = Task.objects.filter(pk=task_id, state=State.WAITING).update(state=State.BLOCKED)
    task = Task.objects.filter(pk=task_id).first()
    if not blocked or task is None:
        return
    live.publish(task)
    # It may have become free before the row said that we wait for it.
    if not Task.objects.running().filter(exclusive=task.exclusive).exists():
        queue.wake_blocked(task.exclusive)


def _execute(context: TaskContext) -> tuple[dict[str, Any], BaseException | None]:
    """Run the kind's function; answers the row's final fields and a crash to be raised on."""
    task = context.task
    try:
        context.stop.check()
        outcome = registry.get(task.kind).run(context) or Outcome()
        return _outcome_fields(outcome), None
    except Cancelled:
        context.log("cancelled")
        return {"state": State.CANCELLED}, None
    except PhpBorgError as error:
        context.log(f"{error.code} {error}")
        # A kind has better words for a time limit of its own; for every other end, the reason counts.
        ended = context.stop.is_set() and context.stop.reason != "deadline"
        return (_stopped_fields(context) if ended else _error_fields(error)), None
    except BaseException as error:
        if context.stop.is_set():
            # What a callback raises while everything is being ended is noise.
            context.log(redact("".join(traceback.format_exception(error)))[-4000:])
            return _stopped_fields(context), None
        log.exception("task %s crashed", task.pk)
        context.log(redact("".join(traceback.format_exception(error)))[-8000:])
        return _error_fields(Crashed(redact(f"{type(error).__name__}: {error}")[:500])), error


def _stopped_fields(context: TaskContext) -> dict[str, Any]:
    """The final fields of a task that was asked to end, by the reason it was given."""
    cause = context.stop.error()
    return {"state": State.CANCELLED} if isinstance(cause, Cancelled) else _error_fields(cause)


def _outcome_fields(outcome: Outcome) -> dict[str, Any]:
    kept = outcome.findings[:FINDINGS_KEPT]
    count = len(outcome.findings) if outcome.findings_count is None else outcome.findings_count
    return {
        "state": outcome.state,
        "findings": [finding.as_json() for finding in kept],
        "findings_count": count,
        "result": deep(outcome.result),
    }


def _error_fields(error: Exception) -> dict[str, Any]:
    if not isinstance(error, PhpBorgError):
        error = Crashed(str(error))
    return {
        "state": State.LOST if error.code == "TSK-01" else State.FAILED,
        "error_code": error.code,
        "error_facts": deep(error.facts),
        "error_detail": printable(redact(error.detail))[:4000],
        **getattr(error, "task_fields", {}),
    }


def _clean_up(context: TaskContext) -> None:
    """Before the final state is shown, what the task made is gone (or written down for the reaper)."""
    try:
        if not leases.release_of(context.task):
            context.log("something could not be removed yet; it is tried again")
    except DatabaseError:
        log.exception("leases of task %s are left to the reaper", context.task.pk)


def _record(context: TaskContext, fields: dict[str, Any]) -> None:
    """The final state, only if the task is still ours (the reaper may have been faster)."""
    task = context.task
    fields = {
        "finished_at": timezone.now(),
        "progress": context.progress_now,
        "steps": deep(context.steps),
        "phase": "",
        "log_tail": context.close(),
        **fields,
    }
    for pause in RECORD_PAUSES_SECONDS:
        try:
            changed = Task.objects.filter(pk=task.pk, state=State.RUNNING, worker=task.worker).update(**fields)
            task.refresh_from_db()
            break
        except DatabaseError:
            if not pause:
                raise  # the row stays "running"; the reaper finds that its worker is gone
            log.exception("the end of task %s could not be written down; trying again", task.pk)
            connection.close()
            time.sleep(pause)
    live.publish(task, context.progress_now)
    if changed:
        registry.tell_finished(task)


@contextmanager
def _stopped_by_sigterm(context: TaskContext) -> Iterator[None]:
    """SIGTERM means: the service stops. It also comes when our worker is killed (parent-death signal)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupted(_number: int, _frame: FrameType | None) -> None:
        context.stop.set("interrupted")

    before = signal.signal(signal.SIGTERM, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Heartbeat:
    """A thread that says "alive", looks for a cancellation, and notices when the row is no longer ours."""

    def __init__(self, context: TaskContext) -> None:
        self.context = context
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(timeout=5)

    def _beat(self) -> None:
        elapsed = 0.0
        while not self._ended.wait(CANCEL_POLL_SECONDS):
            elapsed += CANCEL_POLL_SECONDS
            try:
                self._look(write=elapsed >= settings.TASK_HEARTBEAT_SECONDS)
            except DatabaseError as error:
                log.warning("heartbeat of %s missed: %s", self.context.task.pk, error)
                connection.close()
            if elapsed >= settings.TASK_HEARTBEAT_SECONDS:
                elapsed = 0.0
        connection.close()

    def _look(self, *, write: bool) -> None:
        task, stop = self.context.task, self.context.stop
        row = Task.objects.filter(pk=task.pk).values("state", "cancel_requested_at", "worker").first()
        if row is None or row["state"] != State.RUNNING or row["worker"] != task.worker:
            stop.set("lost")
            return
        if row["cancel_requested_at"] is not None:
            task.cancel_requested_at = row["cancel_requested_at"]  # what we publish says so too
            stop.set("cancel")
        # A task that is being cancelled lives on for a while: without its heartbeat it would be called lost.
        if write:
            Task.objects.filter(pk=task.pk, worker=task.worker).update(heartbeat_at=timezone.now())
            self.context.save()
