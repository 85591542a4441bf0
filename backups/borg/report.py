"""All that one borg process says, bounded: what the verdict and the live page are made from."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from backups.borg.events import Event, FileStatus, LogMessage, Prompt, Text, Unknown, parse
from backups.borg.findings import Findings
from backups.borg.progress import Progress

_STDOUT_LIMIT = 4 << 20


@dataclass
class Report:
    """Feed it the two streams, line by line and never merged; ask it afterwards.

    Memory stays bounded whatever borg says: 2 million listed files leave counters and tails.
    """

    sources: tuple[bytes, ...] = ()
    progress: Progress = field(default_factory=Progress)
    findings: Findings = field(default_factory=Findings)
    errors: list[LogMessage] = field(default_factory=list)
    warnings: deque[LogMessage] = field(default_factory=lambda: deque(maxlen=50))
    remote: deque[str] = field(default_factory=lambda: deque(maxlen=40))
    texts: deque[str] = field(default_factory=lambda: deque(maxlen=60))
    prompts: list[Prompt] = field(default_factory=list)
    answer: bytearray = field(default_factory=bytearray)
    files_listed: int = 0

    def __post_init__(self) -> None:
        self.findings = Findings(self.sources)

    def stderr(self, line: bytes) -> tuple[Event, ...]:
        """Take one line of the standard error; its events are given back for the log."""
        events = parse(line)
        for event in events:
            self._take(event)
        return events

    def stdout(self, line: bytes) -> None:
        """Take one line of the standard output (borg's JSON answer)."""
        if len(self.answer) < _STDOUT_LIMIT:
            self.answer += line + b"\n"

    def _take(self, event: Event) -> None:
        if self.progress.add(event):
            return
        if isinstance(event, FileStatus):
            self.files_listed += 1
            self.findings.status(event)
        elif isinstance(event, LogMessage):
            self._log(event)
        elif isinstance(event, Prompt):
            if len(self.prompts) < 20:
                self.prompts.append(event)
        elif isinstance(event, Text | Unknown):
            self.texts.append(event.raw)

    def _log(self, event: LogMessage) -> None:
        if event.message.startswith("Remote: "):
            self.remote.append(event.message.removeprefix("Remote: ").rstrip())
        elif event.level in ("ERROR", "CRITICAL"):
            if len(self.errors) < 50:
                self.errors.append(event)
        elif event.level == "WARNING":
            self.warnings.append(event)
            self.findings.log(event)

    def words(self, limit: int = 2000) -> str:
        """What went wrong in the tool's own words, for the detail of an error."""
        lines = [_plain_words(event.message) for event in self.errors]
        lines += list(self.remote)[-8:]
        lines += [text.strip() for text in list(self.texts)[-8:]]
        return "\n".join(dict.fromkeys(line for line in lines if line))[:limit]


_RAISED = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception)\b.*", re.MULTILINE)
_MACHINERY = ("Traceback", "Borg server: ", "Platform: ")


def _plain_words(message: str) -> str:
    """A message without Python's machinery: of a traceback only what was raised."""
    text = message.strip()
    if not text.startswith(_MACHINERY):
        return "" if text == "Local Exception" else text
    raised = _RAISED.findall(text)
    return str(raised[-1]) if raised else ""
