"""Borg's JSON answers as typed facts. A missing key raises; nothing is guessed as 0 or as now.

Borg writes naive local times and we always run it with TZ=UTC, so a naive time is UTC.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backups.borg.events import clean
from backups.borg.names import is_checkpoint
from backups.errors import AnswerUnreadable


@dataclass(frozen=True)
class ArchiveFact:
    """One archive as the repository lists it."""

    id: str
    name: str
    started_at: datetime

    @property
    def is_checkpoint(self) -> bool:
        """Written by borg in the middle of a run; not a restore point."""
        return is_checkpoint(self.name)


@dataclass(frozen=True)
class CacheStats:
    """Sizes of the whole repository as borg's chunk cache knows them, in bytes."""

    total_size: int
    total_csize: int
    unique_size: int
    unique_csize: int
    total_chunks: int
    total_unique_chunks: int


@dataclass(frozen=True)
class CreateResult:
    """What `borg create` says that it made. It is a claim: the proof is `BorgRepository.find`."""

    name: str
    id: str
    started_at: datetime
    ended_at: datetime
    duration_seconds: float
    nfiles: int
    original_size: int
    compressed_size: int
    deduplicated_size: int
    cache: CacheStats
    repository_id: str
    encryption: str


@dataclass(frozen=True)
class Listing:
    """The archives of a repository, and which repository answered."""

    repository_id: str
    encryption: str
    archives: tuple[ArchiveFact, ...]


@dataclass(frozen=True)
class ArchiveInfo:
    """All that borg tells of one archive."""

    id: str
    name: str
    started_at: datetime
    ended_at: datetime
    duration_seconds: float
    nfiles: int
    original_size: int
    compressed_size: int
    deduplicated_size: int
    hostname: str
    username: str
    comment: str
    command_line: tuple[str, ...]
    repository_id: str
    encryption: str


def load(answer: bytes) -> dict[str, Any]:
    """The JSON document in borg's stdout. Raises AnswerUnreadable."""
    try:
        data = json.loads(answer.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        shown = clean(answer[:500].decode("utf-8", "replace"))
        raise AnswerUnreadable(f"{error}\n{shown}", field="JSON") from error
    if not isinstance(data, dict):
        raise AnswerUnreadable(field="JSON")
    return data


def _get(data: Any, path: str) -> Any:
    value = data
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            raise AnswerUnreadable(field=path)
        value = value[key]
    return value


def _str(data: Any, path: str) -> str:
    value = _get(data, path)
    if not isinstance(value, str):
        raise AnswerUnreadable(field=path)
    return value


def _int(data: Any, path: str) -> int:
    value = _get(data, path)
    if isinstance(value, bool) or not isinstance(value, int):
        raise AnswerUnreadable(field=path)
    return value


def _seconds(data: Any, path: str) -> float:
    value = _get(data, path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise AnswerUnreadable(field=path)
    return float(value)


def _time(data: Any, path: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(_str(data, path))
    except ValueError as error:
        raise AnswerUnreadable(str(error), field=path) from error
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def cache_stats(data: dict[str, Any]) -> CacheStats:
    """The `cache` part of create's and info's answers."""
    names = ("total_size", "total_csize", "unique_size", "unique_csize", "total_chunks", "total_unique_chunks")
    return CacheStats(**{name: _int(data, f"cache.stats.{name}") for name in names})


def create_result(answer: bytes) -> CreateResult:
    """`borg create --json`."""
    data = load(answer)
    return CreateResult(
        name=_str(data, "archive.name"),
        id=_str(data, "archive.id"),
        started_at=_time(data, "archive.start"),
        ended_at=_time(data, "archive.end"),
        duration_seconds=_seconds(data, "archive.duration"),
        nfiles=_int(data, "archive.stats.nfiles"),
        original_size=_int(data, "archive.stats.original_size"),
        compressed_size=_int(data, "archive.stats.compressed_size"),
        deduplicated_size=_int(data, "archive.stats.deduplicated_size"),
        cache=cache_stats(data),
        repository_id=_str(data, "repository.id"),
        encryption=_str(data, "encryption.mode"),
    )


def _rows(data: dict[str, Any]) -> list[Any]:
    rows = _get(data, "archives")
    if not isinstance(rows, list):
        raise AnswerUnreadable(field="archives")
    return rows


def listing(answer: bytes) -> Listing:
    """`borg list --json REPOSITORY`."""
    data = load(answer)
    facts = tuple(ArchiveFact(_str(row, "id"), _str(row, "name"), _time(row, "start")) for row in _rows(data))
    return Listing(_str(data, "repository.id"), _str(data, "encryption.mode"), facts)


def repository_info(answer: bytes) -> tuple[str, str, CacheStats]:
    """`borg info --json REPOSITORY`: id, encryption mode, sizes."""
    data = load(answer)
    return _str(data, "repository.id"), _str(data, "encryption.mode"), cache_stats(data)


def archive_info(answer: bytes) -> ArchiveInfo:
    """`borg info --json REPOSITORY::ARCHIVE`."""
    data = load(answer)
    rows = _rows(data)
    if len(rows) != 1:
        raise AnswerUnreadable(field="archives")
    row = rows[0]
    words = _get(row, "command_line")
    if not isinstance(words, list):
        raise AnswerUnreadable(field="command_line")
    return ArchiveInfo(
        id=_str(row, "id"),
        name=_str(row, "name"),
        started_at=_time(row, "start"),
        ended_at=_time(row, "end"),
        duration_seconds=_seconds(row, "duration"),
        nfiles=_int(row, "stats.nfiles"),
        original_size=_int(row, "stats.original_size"),
        compressed_size=_int(row, "stats.compressed_size"),
        deduplicated_size=_int(row, "stats.deduplicated_size"),
        hostname=_str(row, "hostname"),
        username=_str(row, "username"),
        comment=_str(row, "comment"),
        command_line=tuple(str(word) for word in words),
        repository_id=_str(data, "repository.id"),
        encryption=_str(data, "encryption.mode"),
    )
