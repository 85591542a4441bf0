"""What a job can back up: one file per kind. An unknown kind raises; nothing is ever guessed."""

from __future__ import annotations

from typing import Any

from backups.job_errors import SourceKindUnknown
from backups.sources.base import Source
from backups.sources.files import FilesSource

_SOURCES: dict[str, Source[Any]] = {source.kind: source for source in (FilesSource(),)}


def get(kind: str) -> Source[Any]:
    """The source of this kind. Raises SourceKindUnknown."""
    try:
        return _SOURCES[kind]
    except KeyError:
        raise SourceKindUnknown(kind=kind) from None
