"""What a run met on its way, path by path: counted in full, kept as a bounded list.

A finding comes from borg's own log about a path, paired with its `file_status` line, and never from
the level of a message or from text that somebody else wrote (sshd banners, stale-lock notices).
"""

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from backups.borg.events import FileStatus, LogMessage, clean

KEEP = 500


class Kind(StrEnum):
    """What is wrong with a path."""

    CHANGED = "changed"
    VANISHED = "vanished"
    UNREADABLE = "unreadable"
    MISSING_SOURCE = "missing_source"
    MOUNT_SKIPPED = "mount_skipped"
    NEVER_MATCHED = "never_matched"
    OTHER = "other"

    @property
    def is_note(self) -> bool:
        """Worth telling, and the archive still holds what it should."""
        return self in (Kind.CHANGED, Kind.VANISHED, Kind.MOUNT_SKIPPED)


@dataclass(frozen=True)
class Finding:
    """One path (or "" for the run as a whole) and borg's words about it."""

    kind: Kind
    path: str
    message: str
    errno: int = 0


_OS_ERROR = re.compile(r"(?:(?P<op>[A-Za-z_ ]{1,40}): )?\[Errno (?P<errno>\d{1,5})\] ", re.ASCII)
_SUBJECT_AND_ERROR = re.compile(r"(?P<subject>.+): \[Errno (?P<errno>\d{1,5})\] ", re.ASCII | re.DOTALL)
_OPERATION = re.compile(r": [A-Za-z_ ]{1,40}\Z", re.ASCII)
_CHANGED = ": file changed while we backed it up"
_NEVER_MATCHED = re.compile(r"Include pattern '(.*)' never matched\.", re.DOTALL)
_RETRY = re.compile(r", slept [\d.]+s, next: retry: \d+ of \d+", re.ASCII)
_OURS = ("borg.archiver", "borg.archive")
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
_PENDING = 1000


def shown(path: bytes) -> str:
    """A path of bytes as borg's JSON shows it."""
    return clean(path.decode("utf-8", "replace"))


@dataclass
class Findings:
    """Collects from events. `sources` are the paths of the job, to recognise a missing one."""

    sources: tuple[bytes, ...] = ()
    kept: list[Finding] = field(default_factory=list)
    counts: Counter[Kind] = field(default_factory=Counter)
    _pending: list[LogMessage] = field(default_factory=list, repr=False)
    _roots: dict[str, None] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        # Borg shows what is not UTF-8 as “?”, we as “�”: compare both without them.
        self._roots = {_key(shown(os.path.normpath(path))): None for path in self.sources}

    def add(self, finding: Finding) -> None:
        """Count it, and keep it while there is room."""
        self.counts[finding.kind] += 1
        if len(self.kept) < KEEP:
            self.kept.append(finding)

    def log(self, event: LogMessage) -> None:
        """A line of borg's log; only borg's own warnings about paths matter here."""
        if event.level == "WARNING" and event.name in _OURS and not event.message.startswith("Remote: "):
            if len(self._pending) >= _PENDING:
                del self._pending[0]
            self._pending.append(event)

    def status(self, event: FileStatus) -> None:
        """Borg's verdict on one path: C changed, E error; it confirms the warning just before it."""
        if event.status not in ("C", "E"):
            return
        message = self._take(event.path)
        if event.status == "C":
            self.add(Finding(Kind.CHANGED, event.path, message.removeprefix(event.path + ": ")))
            return
        reason = message.removeprefix(event.path + ": ")
        found = _OS_ERROR.match(reason)
        number = int(found["errno"]) if found else 0
        self.add(self._of_error(event.path, number, reason))

    def _take(self, path: str) -> str:
        """The pending warnings about this path leave the list; the last one is what counts."""
        begins = path + ": "
        start = max(len(self._pending) - 8, 0)
        tail = self._pending[start:]
        mine = [event for event in tail if event.message.startswith(begins)]
        self._pending[start:] = [event for event in tail if event not in mine]
        return mine[-1].message if mine else ""

    def _of_error(self, path: str, number: int, reason: str) -> Finding:
        if number in _GONE and _key(path) in self._roots:
            return Finding(Kind.MISSING_SOURCE, path, reason, number)
        if number in _GONE or "file changed while" in reason or "race condition" in reason:
            return Finding(Kind.VANISHED, path, reason, number)
        return Finding(Kind.UNREADABLE, path, reason, number)

    def settle(self, *, warned: bool, words: str = "") -> None:
        """The run is over. `warned`: its exit status says that borg's warnings were meant.

        A warning that explains itself nowhere is still one: it is kept with `words`. Sources that are
        missing have no status line, nor has anything in a run without `--list`.
        """
        pending, self._pending = self._pending, []
        if not warned:
            return
        for event in pending:
            finding = self._of_message(event)
            if finding:
                self.add(finding)
        if not self.counts:
            self.add(Finding(Kind.OTHER, "", words))

    def _of_message(self, event: LogMessage) -> Finding | None:
        message = event.message
        if _RETRY.search(message):
            return None
        never = _NEVER_MATCHED.fullmatch(message)
        if never:
            return Finding(Kind.NEVER_MATCHED, never[1], message)
        if message.endswith(_CHANGED):
            return Finding(Kind.CHANGED, message.removesuffix(_CHANGED), message)
        found = _SUBJECT_AND_ERROR.match(message)
        if found:
            path = found["subject"]
            if _key(path) not in self._roots:  # then an operation stands between path and error
                path = _OPERATION.sub("", path)
            return self._of_error(path, int(found["errno"]), message.removeprefix(path + ": "))
        return Finding(Kind.OTHER, "", message)

    @property
    def missing_sources(self) -> tuple[str, ...]:
        """The sources that are not there."""
        return tuple(finding.path for finding in self.kept if finding.kind is Kind.MISSING_SOURCE)

    @property
    def all_sources_missing(self) -> bool:
        """Not one of the sources was there: whatever the archive holds, it is not the job's data."""
        gone = {_key(path) for path in self.missing_sources}
        return bool(self._roots) and all(root in gone for root in self._roots)

    def extend(self, findings: Iterable[Finding]) -> None:
        """Add what others found (a skipped mount, a broken snapshot)."""
        for finding in findings:
            self.add(finding)


def _key(path: str) -> str:
    return path.replace("�", "?")
