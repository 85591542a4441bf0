"""Borg's stderr, one line of bytes at a time, as typed events. Nothing here ever raises.

With `--log-json` borg writes one JSON object a line, but prompts, argument errors, Python's warnings
and other programs write plain text in between, sometimes on the same line. Whatever is not a known
event comes back as `Text` or `Unknown`, so no word is lost.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

_MESSAGE_LIMIT = 8000
_TEXT_LIMIT = 4000
_OBJECTS_A_LINE = 20


@dataclass(frozen=True)
class ArchiveProgress:
    """Counters of a running create. The last one of a run has none: they are None, not 0."""

    original_size: int | None
    compressed_size: int | None
    deduplicated_size: int | None
    nfiles: int | None
    path: str
    finished: bool


@dataclass(frozen=True)
class ProgressMessage:
    """An operation said what it does."""

    operation: int | None
    msgid: str
    message: str
    finished: bool


@dataclass(frozen=True)
class ProgressPercent:
    """An operation with a known total."""

    operation: int | None
    msgid: str
    message: str
    current: int | None
    total: int | None
    info: tuple[str, ...]
    finished: bool


@dataclass(frozen=True)
class FileStatus:
    """What happened to one path (borg's letter: A M U C E d s …)."""

    status: str
    path: str


@dataclass(frozen=True)
class LogMessage:
    """A line of borg's log. The level is borg's opinion and decides nothing."""

    level: str
    name: str
    msgid: str
    message: str


@dataclass(frozen=True)
class Prompt:
    """Borg asked something, or tells how the question was answered."""

    kind: str
    msgid: str
    message: str


@dataclass(frozen=True)
class Text:
    """A line, or a part of one, that is not borg's JSON."""

    raw: str


@dataclass(frozen=True)
class Unknown:
    """A JSON object of a type that we do not know (yet)."""

    type: str
    raw: str


Event = ArchiveProgress | ProgressMessage | ProgressPercent | FileStatus | LogMessage | Prompt | Text | Unknown

_decoder = json.JSONDecoder()


def parse(line: bytes) -> tuple[Event, ...]:
    """The events on one line; usually one, none for an empty line, several when text and JSON share it."""
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    events: list[Event] = []
    start = 0
    for _ in range(_OBJECTS_A_LINE):
        found = _next_object(text, start)
        if found is None:
            break
        data, begin, end = found
        _add_text(events, text[start:begin])
        events.append(_event(data, text[begin:end]))
        start = end
    _add_text(events, text[start:])
    return tuple(events)


def _add_text(events: list[Event], text: str) -> None:
    if text.strip():
        events.append(Text(clean(text, _TEXT_LIMIT)))


def _next_object(text: str, start: int) -> tuple[dict[str, Any], int, int] | None:
    """The next JSON object that has a `type`, with where it begins and ends."""
    for _ in range(_OBJECTS_A_LINE):
        begin = text.find('{"', start)
        if begin < 0:
            return None
        try:
            data, end = _decoder.raw_decode(text, begin)
        except (ValueError, RecursionError):
            start = begin + 1
            continue
        if isinstance(data, dict) and isinstance(data.get("type"), str):
            return data, begin, end
        start = begin + 1
    return None


def _event(data: dict[str, Any], raw: str) -> Event:
    kind = data["type"]
    if kind == "archive_progress":
        return ArchiveProgress(
            original_size=number(data.get("original_size")),
            compressed_size=number(data.get("compressed_size")),
            deduplicated_size=number(data.get("deduplicated_size")),
            nfiles=number(data.get("nfiles")),
            path=_text(data, "path"),
            finished=data.get("finished") is True,
        )
    if kind in ("progress_message", "progress_percent"):
        return _progress(kind, data)
    if kind == "file_status":
        return FileStatus(_text(data, "status"), _text(data, "path"))
    if kind == "log_message":
        return LogMessage(_text(data, "levelname"), _text(data, "name"), _text(data, "msgid"), _text(data, "message"))
    if kind.startswith("question_"):
        return Prompt(clean(kind), _text(data, "msgid"), _text(data, "message"))
    return Unknown(clean(kind, 200), clean(raw, _TEXT_LIMIT))


def _progress(kind: str, data: dict[str, Any]) -> ProgressMessage | ProgressPercent:
    operation, msgid, message = number(data.get("operation")), _text(data, "msgid"), _text(data, "message")
    finished = data.get("finished") is True
    if kind == "progress_message":
        return ProgressMessage(operation, msgid, message, finished)
    info = data.get("info")
    return ProgressPercent(
        operation=operation,
        msgid=msgid,
        message=message,
        current=number(data.get("current")),
        total=number(data.get("total")),
        info=tuple(clean(str(part)) for part in info[:20]) if isinstance(info, list) else (),
        finished=finished,
    )


def number(value: object) -> int | None:
    """A count that may be absent, null, a float or nonsense."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if 0 <= value < 2**63 else None


def _text(data: dict[str, Any], key: str) -> str:
    value = data.get(key)
    return clean(value) if isinstance(value, str) else ""


def clean(text: str, limit: int = _MESSAGE_LIMIT) -> str:
    """`text` that can be stored and encoded anywhere: no lone surrogate, no NUL, not endless."""
    if len(text) > limit:
        text = text[:limit] + "…"
    if text.isascii():
        return text.replace("\0", "�")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "�")
