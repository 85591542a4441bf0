"""The report of a server: the answer of the helper's verb `capabilities`, schema 1, as frozen dataclasses.

Every field may be None: not known. Sizes are bytes. docs/capabilities.md says what each means.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from servers.capabilities import reading
from servers.capabilities.databases import Elasticsearch, Mongodb, Mysql, Postgresql, Redis
from servers.capabilities.docker import Docker
from servers.capabilities.reading import Budget
from servers.capabilities.storage import Btrfs, Lvm, Mounts, Zfs

SCHEMA = 1
STATES = ("ok", "failed", "late")
F = TypeVar("F")


@dataclass(frozen=True)
class Os:
    """/etc/os-release."""

    id: str | None = None
    version_id: str | None = None
    pretty_name: str | None = None
    id_like: str | None = None


@dataclass(frozen=True)
class Borg:
    """The borg that would run there."""

    path: str | None = None
    version: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class System:
    """The machine, and as whom we look."""

    hostname: str | None
    os: Os
    kernel: str | None
    machine: str | None
    cpus: int | None
    memory_bytes: int | None
    swap_bytes: int | None
    uptime_seconds: float | None
    init: str | None
    container: bool | None
    user: str | None
    uid: int | None
    borg: Borg


@dataclass(frozen=True)
class Probe:
    """How one probe went; `state` is one of STATES."""

    state: str
    problem: str | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Report:
    """All that one look found. Facts are None when their probe did not answer, or was not asked."""

    schema: int | None = None
    taken_at: float | None = None  # by the server's clock, which may be wrong
    seconds: float | None = None
    cut: bool = False  # it said more than is kept
    probes: dict[str, Probe] | None = None

    system: System | None = None
    mounts: Mounts | None = None
    lvm: Lvm | None = None
    btrfs: Btrfs | None = None
    zfs: Zfs | None = None
    postgresql: Postgresql | None = None
    mysql: Mysql | None = None
    mongodb: Mongodb | None = None
    elasticsearch: Elasticsearch | None = None
    redis: Redis | None = None
    docker: Docker | None = None

    def probe(self, name: str) -> Probe | None:
        """How this probe went, None when it was not asked."""
        return (self.probes or {}).get(name)

    @property
    def unanswered(self) -> dict[str, Probe]:
        """The probes that failed or were late."""
        return {name: probe for name, probe in (self.probes or {}).items() if probe.state != "ok"}

    def as_json(self) -> dict[str, Any]:
        """In the shape in which it came, bounded; `from_json` reads it back to an equal report."""
        probes = {
            name: {**asdict(probe), "facts": asdict(facts) if (facts := getattr(self, name)) is not None else None}
            for name, probe in (self.probes or {}).items()
        }
        head = {"schema": self.schema, "taken_at": self.taken_at, "seconds": self.seconds, "cut": self.cut}
        return {**head, "probes": probes}


_KINDS: dict[str, Any] = {
    "system": System,
    "mounts": Mounts,
    "lvm": Lvm,
    "btrfs": Btrfs,
    "zfs": Zfs,
    "postgresql": Postgresql,
    "mysql": Mysql,
    "mongodb": Mongodb,
    "elasticsearch": Elasticsearch,
    "redis": Redis,
    "docker": Docker,
}
NAMES = tuple(field.name for field in fields(Report) if field.name in _KINDS)


def parse(raw: Any) -> Report:
    """The answer of a server, which is not to be trusted. Never raises: what it does not say is not known."""
    budget = Budget()
    table = raw if isinstance(raw, dict) else {}
    said = table.get("probes")
    answers = said if isinstance(said, dict) else {}
    probes: dict[str, Probe] = {}
    facts: dict[str, Any] = {}
    for name in NAMES:
        if isinstance(answer := answers.get(name), dict):
            probes[name], facts[name] = _probe(_KINDS[name], answer, budget)
    schema = table.get("schema")
    return Report(
        schema=schema if isinstance(schema, int) and not isinstance(schema, bool) and 0 < schema < 1000 else None,
        taken_at=reading.number(table.get("taken_at"), budget),
        seconds=reading.number(table.get("seconds"), budget),
        probes=probes,
        **facts,
        cut=budget.cut or table.get("cut") is True,
    )


def from_json(stored: Any) -> Report:
    """What `as_json` wrote, also an older version of us: read as tolerantly as an answer."""
    return parse(stored)


def _probe(kind: type[F], answer: dict[str, Any], budget: Budget) -> tuple[Probe, F | None]:
    """How it went, and its facts. A probe that says neither how it went nor anything has failed."""
    facts = answer.get("facts")
    state = answer.get("state")
    if state not in STATES or (state == "ok" and not isinstance(facts, dict)):
        state = "failed"
    how = Probe(state, reading.text(answer.get("problem"), budget), reading.number(answer.get("seconds"), budget))
    return how, reading.read(kind, facts, budget) if isinstance(facts, dict) else None
