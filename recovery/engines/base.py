"""What is said of a data directory that was found, and of a start: frozen, plain, without secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from django.utils.functional import Promise

from recovery.engines.notes import Note
from recovery.engines.place import Place
from recovery.paths import shown

# Inside the container. The first is the data directory, the second a folder in memory of the server's own.
DATA = "/phpborg/data"
RUN = "/phpborg/run"
SOCKETS = RUN
LOGIN_FILE = f"{RUN}/login"
USER = "phpborg"  # the account that exists in a session alone


class Product(StrEnum):
    """What runs on the files."""

    POSTGRESQL = "postgresql"
    MYSQL = "mysql"
    MARIADB = "mariadb"
    MONGODB = "mongodb"
    ELASTICSEARCH = "elasticsearch"
    OPENSEARCH = "opensearch"

    @property
    def label(self) -> str:
        """As its makers write it."""
        return _LABELS[self]


_LABELS = {
    Product.POSTGRESQL: "PostgreSQL",
    Product.MYSQL: "MySQL",
    Product.MARIADB: "MariaDB",
    Product.MONGODB: "MongoDB",
    Product.ELASTICSEARCH: "Elasticsearch",
    Product.OPENSEARCH: "OpenSearch",
}


class Taken(StrEnum):
    """How the files came into the archive, as its record says it: a hint."""

    STOPPED = "stopped"  # nothing ran
    FROZEN = "frozen"  # a snapshot: all of one moment
    COPIED = "copied"  # by the server's own means of copying
    LIVE = "live"  # plain files beneath a running server
    UNKNOWN = "unknown"


class Consistency(StrEnum):
    """What a start can expect of the files."""

    CLEAN = "clean"  # shut down in order: nothing to recover
    PREPARED = "prepared"  # a copy by the server's own means, made ready for a start
    RECOVERABLE = "recoverable"  # such a copy with the log that makes it whole
    CRASH = "crash"  # of one moment: as after a power cut
    DOUBTFUL = "doubtful"  # at best as after a power cut; it may not start
    BROKEN = "broken"  # something that a start needs is missing
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Hints:
    """What the archive's record says: where to look, and how the files were taken. Never what they are."""

    directories: tuple[bytes, ...] = ()
    taken: Taken = Taken.UNKNOWN


@dataclass(frozen=True)
class Owner:
    """As archived: numbers, and the mode's permission bits."""

    uid: int
    gid: int
    mode: int


@dataclass(frozen=True)
class Size:
    """Of a data directory, without what lies elsewhere."""

    total_bytes: int
    files: int


@dataclass(frozen=True)
class Part:
    """Something of the server that does not lie in its data directory.

    `wanted` is the path under which the server looks for it; `path` where it is in the archive, None when it is not.
    """

    kind: str  # tablespace, wal, undo, data, table
    wanted: bytes
    path: bytes | None
    name: bytes = b""  # the entry of the data directory that leads there


@dataclass(frozen=True)
class Found:
    """One data directory. `version` is as exact as the files say (`15`, `10.11.6`), None when they do not."""

    engine: str
    product: Product
    path: bytes
    version: str | None
    version_from: str
    clean: bool | None
    consistency: Consistency
    owner: Owner | None
    facts: Any
    parts: tuple[Part, ...] = ()
    stale: tuple[bytes, ...] = ()  # entries that a start must not see: hidden in the upper layer
    notes: tuple[Note, ...] = ()
    size: Size | None = None

    @property
    def missing(self) -> tuple[Part, ...]:
        """Parts that are not in the archive."""
        return tuple(part for part in self.parts if part.path is None)


@dataclass(frozen=True)
class Mount:
    """A folder of the archive (`path`) seen at `target` in the container, writable in an upper layer or not at all."""

    path: bytes
    target: str
    copy_on_write: bool = True


@dataclass(frozen=True)
class File:
    """A generated file. `path` is absolute in the container; below DATA it goes into the upper layer."""

    path: str
    content: bytes = b""
    mode: int = 0o600


@dataclass(frozen=True)
class Ready:
    """What proves that the server serves: asked as the generated login, if it is there, and what must be answered."""

    query: str
    answer: str
    login: bool = True


@dataclass(frozen=True)
class Step:
    """One run of a server program. `argv` follows the program.

    `login` says how the statements that make our login reach it: `stdin`, `file` (LOGIN_FILE, mode 0400), `client`
    (asked of the running server), or not at all. `ends`: it ends by itself; else it is ready when it answers, and the
    last step stays while the others are ended with SIGTERM.
    """

    programs: tuple[str, ...]
    argv: tuple[str, ...]
    files: tuple[File, ...] = ()
    login: str = ""
    ends: bool = False
    ready: Ready | None = None
    # Of transactions that clients had prepared (XA) and left in doubt: "keep" or "roll back"; empty asks for none.
    prepared: str = ""
    settled: tuple[Ready, ...] = ()  # what must be answered before the next step, in this order
    after: tuple[str, ...] = ()  # asked of the server once it answers, in this order


@dataclass(frozen=True)
class Recipe:
    """A start in a container without network, capabilities and entry point, as numeric `user`."""

    product: Product
    version: str | None
    user: str  # uid:gid
    mounts: tuple[Mount, ...]
    hide: tuple[bytes, ...]
    steps: tuple[Step, ...]
    listen: str  # unix:PATH or tcp:ADDRESS:PORT, inside the container
    # server: it refuses every write; login: ours may only read; relay: what passes its port on must refuse them;
    # empty: a sandbox that is thrown away.
    read_only_by: str
    environment: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: int = 1 << 30
    network: str = "none"
    drop_capabilities: tuple[str, ...] = ("ALL",)
    notes: tuple[Note, ...] = ()


class Engine(Protocol):
    """One file of this package each. It knows nothing of the others."""

    name: str

    def looks_like(self, names: frozenset[bytes]) -> bool:
        """May a folder with these names be a data directory?"""
        ...

    def look(self, place: Place, hints: Hints) -> Found | None:
        """Read it; None when it is none after all."""
        ...

    def together(self, found: tuple[Found, ...]) -> tuple[Found, ...]:
        """Directories of one server as one; for most engines each is a server of its own."""
        ...

    def refuse(self, found: Found, version: str) -> str | Promise:
        """Why a server of this version may not open it; empty when it may."""
        ...

    def start(self, found: Found, *, read_only: bool) -> Recipe:
        """How a server is started on it. Raises CannotStart."""
        ...

    def login(self, found: Found, *, name: str, password: str, read_only: bool) -> bytes:
        """The statements that make our login: secret, and for the way that the step names only."""
        ...


def named(found: Found) -> str:
    """The directory for people."""
    return shown(found.path) or "/"


def listed(parts: Iterable[Part]) -> str:
    """Parts for people."""
    return ", ".join(f"{part.kind} {shown(part.wanted)}" for part in parts)
