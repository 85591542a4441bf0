"""What every kind of source offers: its configuration, checked, and what borg is to read because of it.

Facts in, plan out; nothing here touches a server. A new kind is one file with one class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Protocol, Self, TypeVar

from django.utils.functional import Promise

from backups.sources.paths import from_wire, shown
from phpborg.tasks.registry import Finding
from servers.capabilities.report import Report

Sentence = str | Promise


@dataclass(frozen=True)
class PathFact:
    """What the server said about one path."""

    path: bytes
    exists: bool
    kind: str = ""
    dangling: bool = False
    readable: bool = True
    mounts: tuple[tuple[bytes, str], ...] = ()
    mount_count: int = 0

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> Self:
        """From one row of the helper's verb `paths`."""
        return cls(
            path=from_wire(answer["path"]),
            exists=answer.get("exists") is True,
            kind=str(answer.get("kind") or ""),
            dangling=answer.get("dangling") is True,
            readable=answer.get("readable") is True,
            mounts=tuple((from_wire(row["path"]), str(row["type"])) for row in answer.get("mounts", ())),
            mount_count=int(answer.get("mount_count", 0)),
        )


@dataclass(frozen=True)
class SourceFacts:
    """What is known about the server when a plan is made. Empty: nothing was asked yet."""

    paths: Mapping[bytes, PathFact] = field(default_factory=dict)
    # Directories of ours that must never be read into an archive (repositories, open archives).
    keep_out: tuple[bytes, ...] = ()
    # What the server is and runs: the kept report while a job is defined, a fresh look when it runs.
    report: Report | None = None


class Consistency(StrEnum):
    """How the content of an archive hangs together: what a start from it has to do."""

    PHYSICAL = "physical-consistent"  # one moment, as after a clean stop or with all that recovery needs
    CRASH = "crash-consistent"  # one moment, as after a power cut: the server recovers by itself
    LOGICAL = "logical"  # statements that make it anew
    NONE = "not-consistent"  # files of different moments


@dataclass(frozen=True)
class Stream:
    """A file of the archive that is never on a disk: what a tool on the server prints.

    `name` is relative and plain; `arguments` is the helper's row for it without the name (docs/streams.md).
    """

    name: str
    producer: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""

    def row(self) -> dict[str, Any]:
        """As the helper's verb `borg` wants it."""
        return {**self.arguments, "name": self.name, "producer": self.producer}


@dataclass(frozen=True)
class Feed:
    """A whole tar stream that becomes the archive, below `folder` (absolute)."""

    producer: str
    folder: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """As the helper's verb `borg` wants it."""
        return {**self.arguments, "producer": self.producer, "folder": self.folder}


@dataclass(frozen=True)
class View:
    """A directory of a frozen volume, and where borg sees it: at its own place, so names in archives stay."""

    inside: str
    at: str


@dataclass(frozen=True)
class Freeze:
    """What is frozen (or copied) before borg reads, and removed whatever happens.

    `arguments` are those of the helper's verb `snapshot` (kind, what names the volume, size, `hold`) without
    action and token. `sentence` says what is made and why; `undo` how it goes.
    """

    kind: str
    arguments: Mapping[str, Any]
    views: tuple[View, ...]
    sentence: Sentence
    undo: Sentence


@dataclass(frozen=True)
class DatabaseRecord:
    """What an archive of a database server says of itself, whatever becomes of the job."""

    engine: str
    server_version: str | None
    method: str
    consistency: Consistency
    data_directory: str | None = None
    # Names of databases, tablespaces, users, settings files … that are in it, and what is not, with the reason.
    included: tuple[Mapping[str, Any], ...] = ()
    not_included: tuple[Mapping[str, Any], ...] = ()
    # What a restore needs to know: instance id, port, flavour, tablespaces, wal directory.
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For `Archive.backup_config["database"]`."""
        return {**asdict(self), "consistency": str(self.consistency)}


@dataclass(frozen=True)
class SourcePlan:
    """What borg is to read, and that in words: paths (frozen before, when there is a `freeze`), streams, or a feed.

    Streams and a feed are an archive of their own: there are no paths beside them.
    """

    paths: tuple[bytes, ...] = ()
    excludes: tuple[str, ...] = ()
    one_file_system: bool = False
    exclude_caches: bool = False
    sentences: tuple[Sentence, ...] = ()
    findings: tuple[Finding, ...] = ()
    streams: tuple[Stream, ...] = ()
    feed: Feed | None = None
    freeze: Freeze | None = None
    database: DatabaseRecord | None = None
    # Of an engine: what is not read, rows of "kind", "name" and "reason".
    left_out: tuple[Mapping[str, Any], ...] = ()

    @property
    def shown_paths(self) -> list[str]:
        """The paths for people."""
        return [shown(path) for path in self.paths]


class Config(Protocol):
    """A checked configuration: frozen, made by the source's `parse`."""

    def as_json(self) -> dict[str, Any]:
        """As stored in the job; `parse` reads it back."""


C = TypeVar("C", bound=Config)


class Source(Protocol[C]):
    """One kind of source."""

    kind: str

    @property
    def label(self) -> Sentence:
        """Its name for people."""

    def parse(self, data: Mapping[str, Any]) -> C:
        """The configuration in `data`, checked. Raises InvalidInput that names the field."""

    def plan(self, config: C, facts: SourceFacts) -> SourcePlan:
        """What borg is to read. Raises SourceMissing when the facts say that something is not there."""

    def asks(self, config: C) -> tuple[bytes, ...]:
        """The paths about which the server must be asked before a plan is complete."""

    def probes(self, config: C) -> tuple[str, ...]:
        """The probes whose fresh answer a run needs; empty for none."""

    def summary(self, config: C) -> str:
        """A few words for a list."""
