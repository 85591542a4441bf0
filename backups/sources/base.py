"""What every kind of source offers: its configuration, checked, and what borg is to read because of it.

Facts in, plan out; nothing here touches a server. A new kind is one file with one class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeVar

from django.utils.functional import Promise

from backups.sources.paths import from_wire, shown
from phpborg.tasks.registry import Finding

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


@dataclass(frozen=True)
class SourcePlan:
    """What borg is to read: ordered paths, patterns to leave out, and that in words."""

    paths: tuple[bytes, ...]
    excludes: tuple[str, ...] = ()
    one_file_system: bool = False
    exclude_caches: bool = False
    sentences: tuple[Sentence, ...] = ()
    findings: tuple[Finding, ...] = ()

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

    def summary(self, config: C) -> str:
        """A few words for a list."""
