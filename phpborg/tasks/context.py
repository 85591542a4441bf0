"""What a running task sees of its row: phase, progress, steps, log, leases, and whether to stop."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import translation
from django.utils.functional import Promise

from phpborg.crypto import redact
from phpborg.errors import PhpBorgError
from phpborg.tasks import leases, live, progress
from phpborg.tasks.errors import Interrupted, TaskLost, TimeLimit
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import StepState
from phpborg.tasks.text import deep, printable

log = logging.getLogger(__name__)
PUBLISH_SECONDS = 0.5
TAIL_BYTES = 16_000


class Cancelled(Exception):
    """Somebody asked for the end; not a failure."""


class StopSignal:
    """Set once, with the reason: cancel, deadline, interrupted or lost. Passed to whatever runs long."""

    def __init__(self, deadline_seconds: int = 0) -> None:
        self._event = threading.Event()
        self.reason = ""
        self.deadline_seconds = deadline_seconds
        self._deadline = time.monotonic() + deadline_seconds if deadline_seconds else None

    def set(self, reason: str) -> None:
        if not self._event.is_set():
            self.reason = reason
            self._event.set()

    def is_set(self) -> bool:
        if self._deadline is not None and time.monotonic() > self._deadline:
            self.set("deadline")
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Pause, shorter when somebody asks for the end; True when somebody did."""
        until = time.monotonic() + seconds
        while not self.is_set() and (left := until - time.monotonic()) > 0:
            self._event.wait(min(left, 0.5))
        return self.is_set()

    def check(self) -> None:
        """Raise what the reason asks for: Cancelled, TimeLimit, Interrupted or TaskLost."""
        if self.is_set():
            raise self.error()

    def error(self) -> Exception:
        """The exception that belongs to the reason."""
        if self.reason == "deadline":
            return TimeLimit(seconds=self.deadline_seconds)
        if self.reason == "interrupted":
            return Interrupted()
        return TaskLost() if self.reason == "lost" else Cancelled()


class LogBook:
    """The task's log: a file that never grows past its limit, and the tail in memory for the row."""

    def __init__(self, path: Path, limit: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file: IO[str] | None = open(  # noqa: SIM115  (closed by close())
            path, "a", encoding="utf-8", errors="replace", opener=lambda name, flags: os.open(name, flags, 0o600)
        )
        self._left = limit
        self._tail: deque[str] = deque(maxlen=400)

    def write(self, text: str) -> None:
        """One line, stamped in UTC, redacted."""
        line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {printable(redact(text))[:4000]}"
        self._tail.append(line)
        if self._file is None or self._left <= 0:
            return
        self._left -= len(line.encode("utf-8", "replace")) + 1
        self._file.write(
            line + "\n" if self._left > 0 else "… the log reached its size limit; the last lines are in the task\n"
        )
        self._file.flush()

    def tail(self) -> str:
        """At most 16 000 bytes of the last lines."""
        text = "\n".join(self._tail).encode("utf-8", "replace")[-TAIL_BYTES:]
        return text.decode("utf-8", "ignore")

    def close(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


def _source(text: str | Promise) -> str:
    """The English source of a translatable text: rows store it, pages translate it for their reader."""
    with translation.override("en"):
        return str(text)


def log_path(task: Task) -> Path:
    """Where the full log of a task lies, while it is kept."""
    return Path(settings.VAR_DIR) / "log" / "tasks" / f"{task.pk}.log"


class TaskContext:
    """Handed to the function that runs a kind of task.

    `task` is the row (its `params` hold ids); `stop` tells when to end. Nothing here raises because
    Redis is away.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.params: dict[str, Any] = task.params
        self.stop = StopSignal(task.deadline_seconds)
        self.progress_now: dict[str, Any] = {}
        self.steps: list[dict[str, Any]] = []
        self._book = LogBook(log_path(task), settings.TASK_LOG_BYTES)
        self._published_at = 0.0
        self._lock = threading.Lock()

    # --- what people see -------------------------------------------------------------------------

    def phase(self, name: str) -> None:
        """Enter a phase (a word of phpborg.tasks.phases); stored and published at once."""
        if name != self.task.phase:
            self.task.phase = name
            self.save()
            self.publish(force=True)

    def progress(self, **values: Any) -> None:
        """Merge counters into the progress; published at most twice a second."""
        with self._lock:
            self.progress_now = progress.merge(self.progress_now, deep(values))
        self.publish()

    def log(self, text: str) -> None:
        """One line into the task's log."""
        self._book.write(text)

    @contextmanager
    def step(self, code: str, title: str | Promise, **facts: Any) -> Iterator[dict[str, Any]]:
        """A named step: running, then done — or what the body sets as `state`, `detail`, `advice`.

        `title` (and `advice`) are translatable texts; `facts` fill their named placeholders when they
        are shown. A PhpBorgError marks the step failed with its words and is raised on.
        """
        row: dict[str, Any] = {"code": code, "title": _source(title), "state": StepState.RUNNING, "detail": ""}
        row.update(error={}, facts=facts, started=time.time())
        self.steps.append(row)
        self._save_steps()
        try:
            yield row
        except PhpBorgError as error:
            row.update(
                state=StepState.FAILED,
                detail=redact(error.detail)[:2000],
                error={"code": error.code, "facts": error.facts},
            )
            raise
        except BaseException:
            row["state"] = StepState.FAILED
            raise
        finally:
            if row["state"] == StepState.RUNNING:
                row["state"] = StepState.DONE
            row["seconds"] = round(time.time() - row.pop("started"), 1)
            row.update({name: _source(row[name]) for name in ("detail", "advice") if row.get(name)})
            self._save_steps()

    def _save_steps(self) -> None:
        self.task.steps = deep(self.steps)
        self.save()
        self.publish(force=True)

    # --- what is owed ----------------------------------------------------------------------------

    def hold(self, kind: str, *, keep_until: datetime | None = None, **data: Any) -> Lease:
        """Write down a resource before it is made; it is removed when the task ends."""
        return leases.hold(self.task, kind, data, keep_until=keep_until)

    def update_lease(self, lease: Lease, **data: Any) -> None:
        """Add what became known only after the resource was made (a pid)."""
        lease.data = {**lease.data, **data}
        lease.save(update_fields=["data"])

    def release(self, lease: Lease) -> bool:
        """Remove one resource now. False when something is left (the reaper tries again)."""
        return leases.release(lease)

    def cross_out(self, lease: Lease) -> None:
        """The resource is gone and was seen to be gone: nothing is left to remove."""
        leases.cross_out(lease)

    def private_directory(self, prefix: str) -> tuple[Path, Lease]:
        """A new 0700 directory below var/tmp that goes when the task ends."""
        path = leases.private_directory("tmp") / f"{prefix}-{leases.new_token()}"
        lease = self.hold("directory", path=str(path))
        path.mkdir(mode=0o700)
        return path, lease

    # --- the row ---------------------------------------------------------------------------------

    def save(self) -> None:
        """Write phase, steps, progress and the log's tail to the row, as long as it is ours.

        A database that is away for a moment costs the picture, not the task.
        """
        try:
            Task.objects.filter(pk=self.task.pk, state="running", worker=self.task.worker).update(
                phase=self.task.phase,
                steps=self.task.steps,
                progress=self.progress_now,
                log_tail=self._book.tail(),
            )
        except DatabaseError as error:
            log.warning("the progress of %s is not written down: %s", self.task.pk, error)
            if not connection.in_atomic_block:
                connection.close()

    def publish(self, *, force: bool = False) -> None:
        """Progress to Redis and to the screens, at most twice a second."""
        now = time.monotonic()
        if not force and now - self._published_at < PUBLISH_SECONDS:
            return
        self._published_at = now
        progress.store(self.task.pk, self.progress_now)
        live.publish(self.task, self.progress_now)

    def close(self) -> str:
        """End the log; answers its tail."""
        self._book.close()
        return self._book.tail()
