"""Drills: what is started from archives that are more than data directories. Other rooms say how, by kind of source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from backups.models import Archive
from phpborg.errors import PhpBorgError
from phpborg.tasks.context import TaskContext
from recovery.checks.base import Query
from recovery.models import Proof
from recovery.services.plan import PlanStep
from servers.models import Server


class Note(Protocol):
    """Something that a reader of the proof should know; `words` are translated when they are shown."""

    def __call__(self, kind: str, words: str, path: str = "", **facts: str) -> None: ...


@dataclass(frozen=True)
class Stage:
    """What a drill works with. Its evidence goes into `proof.evidence`; `keep` writes down what is there so far."""

    context: TaskContext
    proof: Proof
    archive: Archive
    view: Path
    server: Server
    queries: tuple[Query, ...]
    note: Note
    keep: Callable[[], None]


class Provider(Protocol):
    """How archives of one kind are started. `evidence`: the template that shows `proof.evidence["drill"]`."""

    evidence: str

    def query_help(self) -> str:
        """How queries of a job of this kind are written, for its form."""
        ...

    def steps(self, proof: Proof) -> list[PlanStep]:
        """What `carry_out` does, in order, for a plan that is shown."""
        ...

    def carry_out(self, stage: Stage) -> bool:
        """Start, check, remove. False: not all of it could be started. Raises what the archive is not."""
        ...


_providers: dict[str, Provider] = {}
_disproved: list[type[PhpBorgError]] = []


def register(source_kind: str, provider: Provider, disproved: tuple[type[PhpBorgError], ...] = ()) -> None:
    """`disproved`: errors of it that say that the archive is not what it should be."""
    _providers[source_kind] = provider
    _disproved.extend(one for one in disproved if one not in _disproved)


def provider_of(archive: Archive | None) -> Provider | None:
    """None for archives in which databases are looked for."""
    config: dict[str, Any] = archive.backup_config if archive is not None else {}
    return provider_for(str((config or {}).get("source_kind") or ""))


def provider_for(source_kind: str) -> Provider | None:
    """The same for a job's kind of source."""
    return _providers.get(source_kind)


def evidence_template(evidence: dict[str, Any]) -> str:
    """What shows the drill in it; empty without one. A drill says in `kind` whose it is."""
    kind = (evidence.get("drill") or {}).get("kind")
    provider = provider_for(str(kind or ""))
    return provider.evidence if provider is not None else ""


def disproved() -> tuple[type[PhpBorgError], ...]:
    """Of all providers."""
    return tuple(_disproved)
