"""What people see of a running borg: its phase, its counters, its words in the log."""

from __future__ import annotations

import threading
import time

from backups.borg.events import Event, FileStatus, LogMessage, Prompt, Text
from backups.borg.progress import Phase
from backups.borg.report import Report
from phpborg.tasks.context import TaskContext
from phpborg.tasks.progress import Meter

SHOW_SECONDS = 0.5
_PHASES = {
    Phase.STARTING: "connecting",
    Phase.CACHE: "reading_cache",
    Phase.READING: "transferring",
    Phase.CHECKPOINT: "committing",
    Phase.FINALISING: "finalising",
}


class Teller:
    """Turns borg's events into the task's progress, at most twice a second. Counters never go back."""

    def __init__(self, context: TaskContext, *, expected_bytes: int | None) -> None:
        self._context = context
        self._expected = expected_bytes
        self._meter: Meter | None = None
        self._shown_at = 0.0
        self._thread = threading.get_ident()

    @property
    def meter(self) -> Meter:
        """Begins when the first byte can be read, not when the task waits for a connection."""
        if self._meter is None:
            self._meter = Meter(self._expected)
        return self._meter

    def hear(self, report: Report, line: bytes) -> None:
        """One line of borg's standard error, or of `borg serve` on this host (then from another thread)."""
        for event in report.stderr(line):
            text = words(event)
            if text:
                self._context.log(text)
        # The row may be written only by the thread that runs the task.
        if threading.get_ident() == self._thread:
            self.tick(report)

    def tick(self, report: Report, *, final: bool = False) -> None:
        """Show what is known now, unless it was just shown."""
        now = time.monotonic()
        if not final and now - self._shown_at < SHOW_SECONDS:
            return
        self._shown_at = now
        seen = report.progress
        phase = _PHASES.get(seen.phase)
        if phase:
            self._context.phase(phase)
        counters = {
            "files": seen.nfiles,
            "original_bytes": seen.original_size,
            "compressed_bytes": seen.compressed_size,
            "deduplicated_bytes": seen.deduplicated_size,
        }
        known = {name: value for name, value in counters.items() if value is not None}
        done = max(seen.original_size or 0, self._context.progress_now.get("original_bytes") or 0)
        self._context.progress(**known, **self.meter.measure(done), path=seen.path)


def words(event: Event) -> str:
    """The event as a line of the log; empty for what only moves the counters."""
    if isinstance(event, LogMessage):
        return f"{event.level} {event.message}" if event.level not in ("INFO", "") else event.message
    if isinstance(event, FileStatus):
        return f"{event.status} {event.path}"
    if isinstance(event, Prompt):
        return event.message
    return event.raw if isinstance(event, Text) else ""
