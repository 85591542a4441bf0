"""Every data directory in an open archive: where the record says, at the usual places, then by a bounded walk."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recovery.engines.base import Engine, Found, Hints
from recovery.engines.mongodb import Mongodb
from recovery.engines.mysql import Mysql
from recovery.engines.place import Place
from recovery.engines.postgresql import Postgresql
from recovery.engines.search import Search

ENGINES: tuple[Engine, ...] = (Postgresql(), Mysql(), Mongodb(), Search())
MOST_FOLDERS, MOST_NAMES = 20_000, 400_000
# A `*` is one folder of any name.
_USUAL = (
    *(b"var/lib/postgresql/*/*", b"var/lib/postgresql/data", b"var/lib/pgsql/data", b"var/lib/pgsql/*/data"),
    *(b"var/lib/mysql", b"var/lib/mongodb", b"var/lib/mongo", b"data/db"),
    *(b"var/lib/elasticsearch", b"var/lib/opensearch", b"usr/share/elasticsearch/data", b"usr/share/opensearch/data"),
    *(b"var/lib/docker/volumes/*/_data", b"var/lib/docker/volumes/*/_data/*"),
)
_MOST_OF_A_STAR = 500
# Of a whole machine these come last: many folders, hardly ever data.
_LATE = {b"usr", b"lib", b"lib64", b"boot", b"bin", b"sbin", b"dev", b"proc", b"sys", b"run", b"node_modules", b".git"}
_DUMP = re.compile(rb".*\.(?:sql|dump|archive|bson)(?:\.(?:gz|zst|xz|bz2))?")


@dataclass(frozen=True)
class Answer:
    """What was found. `whole` is False when the walk ended at its bound: there may be more."""

    found: tuple[Found, ...]
    whole: bool
    folders: int  # that were read
    holds_dumps: bool
    holds_snapshots: bool  # a repository that a search server keeps its own snapshots in: restored, never started


class _Budget:
    """How much more may be read."""

    def __init__(self, folders: int, names: int) -> None:
        self.folders, self.names, self.most = folders, names, folders

    def is_spent(self) -> bool:
        return self.folders <= 0 or self.names <= 0


def find(
    root: Path, hints: Hints | None = None, *, most_folders: int = MOST_FOLDERS, most_names: int = MOST_NAMES
) -> Answer:
    """Of the archive that is mounted at `root`. OSError when the mount is dead.

    What is not found below a data directory is its own: the walk does not enter it.
    """
    hints = hints or Hints()
    budget = _Budget(most_folders, most_names)
    known: dict[bytes, Found] = {}
    for place in _likely(Place(root), hints):
        if place.path not in known and (found := _what(place, place.names, hints)):
            known[found.path] = found
    seen = _walk(Place(root), hints, known, budget)
    # A mount that dies answers as if nothing were there.
    with_root = Place(root).entry()
    if with_root is None:
        raise FileNotFoundError(root)
    return Answer(
        _together(known),
        not budget.is_spent(),
        budget.most - max(budget.folders, 0),
        "dumps" in seen,
        "snapshots" in seen,
    )


def engine_of(found: Found) -> Engine:
    """The engine that recognised it."""
    return next(engine for engine in ENGINES if engine.name == found.engine)


def _what(place: Place, names: frozenset[bytes], hints: Hints) -> Found | None:
    for engine in ENGINES:
        if engine.looks_like(names) and (found := engine.look(place, hints)):
            return found
    return None


def _likely(root: Place, hints: Hints) -> Iterator[Place]:
    for path in hints.directories:
        if b".." not in path.split(b"/"):
            yield root.below(path)
    for pattern in _USUAL:
        yield from _matching(root, pattern.split(b"/"))


def _matching(place: Place, parts: list[bytes]) -> Iterator[Place]:
    if not parts:
        yield place
    elif parts[0] == b"*":
        for name in sorted(name for name, is_folder in place.listing(_MOST_OF_A_STAR) if is_folder):
            yield from _matching(place.below(name), parts[1:])
    elif place.is_folder(parts[0]):
        yield from _matching(place.below(parts[0]), parts[1:])


def _walk(root: Place, hints: Hints, known: dict[bytes, Found], budget: _Budget) -> set[str]:
    """Breadth first, the unlikely folders last. Adds to `known`; says what else was seen on the way."""
    soon, late, seen = deque([root]), deque[Place](), set[str]()
    while (soon or late) and not budget.is_spent():
        place = soon.popleft() if soon else late.popleft()
        if place.path in known:
            continue
        rows = place.listing(budget.names)
        budget.folders -= 1
        budget.names -= len(rows)
        names = frozenset(name for name, _ in rows)
        if found := _what(place, names, hints):
            known[place.path] = found
            continue
        if any(not is_folder and _DUMP.fullmatch(name) for name, is_folder in rows):
            seen.add("dumps")
        if b"index.latest" in names:
            seen.add("snapshots")
        for name in sorted(name for name, is_folder in rows if is_folder):
            (late if name in _LATE else soon).append(place.below(name))
    if soon or late:
        budget.folders = 0
    return seen


def _together(known: dict[bytes, Found]) -> tuple[Found, ...]:
    """By path; of one engine those that are one server as one. A tablespace or a part is no server of its own."""
    ordered = [known[path] for path in sorted(known)]
    found: list[Found] = []
    for engine in ENGINES:
        found += engine.together(tuple(one for one in ordered if one.engine == engine.name))
    return tuple(sorted(found, key=lambda one: one.path))
