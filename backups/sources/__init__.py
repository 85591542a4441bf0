"""What a job can back up: one file per kind. An unknown kind raises; nothing is ever guessed."""

from __future__ import annotations

from typing import Any

from backups.job_errors import SourceKindUnknown
from backups.sources.base import Source
from backups.sources.docker import DockerSource
from backups.sources.elasticsearch import ElasticsearchSource
from backups.sources.files import FilesSource
from backups.sources.mongodb import MongodbSource
from backups.sources.mysql import MysqlSource
from backups.sources.postgresql import PostgresqlSource
from backups.sources.system import SystemSource

_SOURCES: dict[str, Source[Any]] = {
    "files": FilesSource(),
    "postgresql": PostgresqlSource(),
    "mysql": MysqlSource(),
    "mongodb": MongodbSource(),
    "elasticsearch": ElasticsearchSource(),
    "docker": DockerSource(),
    "system": SystemSource(),
}


def get(kind: str) -> Source[Any]:
    """The source of this kind. Raises SourceKindUnknown."""
    try:
        return _SOURCES[kind]
    except KeyError:
        raise SourceKindUnknown(kind=kind) from None
