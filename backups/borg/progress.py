"""What is known so far of a running borg command: merged, never replaced, never going back."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from backups.borg.events import ArchiveProgress, Event, ProgressMessage, ProgressPercent


class Phase(StrEnum):
    """What borg is doing, in our words (the interface translates them)."""

    STARTING = "starting"
    CACHE = "cache"
    READING = "reading"
    CHECKPOINT = "checkpoint"
    FINALISING = "finalising"
    EXTRACTING = "extracting"
    CHECKING = "checking"
    DELETING = "deleting"
    COMPACTING = "compacting"


# The beginning of borg's msgid tells the phase; the first match counts.
_PHASES = (
    ("cache.sync", Phase.CACHE),
    ("cache.download_chunks", Phase.CACHE),
    ("cache.", Phase.CHECKPOINT),
    ("extract", Phase.EXTRACTING),
    ("check", Phase.CHECKING),
    ("archive.delete", Phase.DELETING),
    ("repository.check", Phase.CHECKING),
    ("repository.compact_segments", Phase.COMPACTING),
    ("repository.replay_segments", Phase.CACHE),
)
_COUNTERS = ("original_size", "compressed_size", "deduplicated_size", "nfiles")


@dataclass
class Progress:
    """The state that a page shows. A counter that was never told is None, shown as unknown.

    `current`/`total` belong to an operation whose total borg knows; a create has none, so no share
    of it is ever made up.
    """

    original_size: int | None = None
    compressed_size: int | None = None
    deduplicated_size: int | None = None
    nfiles: int | None = None
    path: str = ""
    phase: Phase = Phase.STARTING
    message: str = ""
    current: int | None = None
    total: int | None = None
    files_done: bool = field(default=False, repr=False)
    _operation: tuple[int | None, str] = field(default=(None, ""), repr=False)

    def add(self, event: Event) -> bool:
        """Take an event in; True when it changed what is shown."""
        if isinstance(event, ArchiveProgress):
            self._archive(event)
        elif isinstance(event, ProgressMessage):
            self._enter(event.msgid)
            self.message = "" if event.finished else event.message or self.message
        elif isinstance(event, ProgressPercent):
            self._percent(event)
        else:
            return False
        return True

    def _archive(self, event: ArchiveProgress) -> None:
        for name in _COUNTERS:
            told, known = getattr(event, name), getattr(self, name)
            if told is not None:
                setattr(self, name, told if known is None else max(known, told))
        if event.finished:
            self.files_done = True
        self.phase = Phase.FINALISING if self.files_done else Phase.READING
        self.path = "" if self.files_done else event.path or self.path
        self.message = ""

    def _enter(self, msgid: str) -> None:
        for beginning, phase in _PHASES:
            if msgid.startswith(beginning):
                # Borg commits its cache at each checkpoint and once more at the end; only the end is the end.
                self.phase = Phase.FINALISING if self.files_done else phase
                return

    def _percent(self, event: ProgressPercent) -> None:
        self._enter(event.msgid)
        operation = (event.operation, event.msgid)
        if operation != self._operation:
            self._operation = operation
            self.current = self.total = None
        if event.finished:
            self.current = self.total
        elif event.total is not None and event.current is not None:
            self.total = event.total
            self.current = min(max(self.current or 0, event.current), event.total)
        self.message = "" if event.finished else event.message or self.message

    @property
    def share(self) -> float | None:
        """0–1 of the running operation when borg knows its total, else None."""
        if self.total and self.current is not None and not self.files_done:
            return self.current / self.total
        return None
