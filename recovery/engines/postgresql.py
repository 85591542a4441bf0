"""PostgreSQL: a cluster's directory, recognised by its PG_VERSION and its control file."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from recovery.engines import pg_control, pg_start
from recovery.engines.base import Consistency, Found, Hints, Part, Product, Recipe, Taken
from recovery.engines.notes import Note
from recovery.engines.parts import gone, measure, owner, search
from recovery.engines.pg_control import Control
from recovery.engines.place import Place
from recovery.paths import shown

_VERSION = re.compile(r"(\d+(?:\.\d+)?)\s*\Z")
_MOST_LINKS = 1000
_CONTROL = b"global/pg_control"
# What belongs to the server that ran, or would make ours act as one.
_STALE = (
    b"postmaster.pid",
    b"postmaster.opts",
    b"recovery.signal",
    b"standby.signal",
    b"recovery.conf",
)
_LIBRARIES = re.compile(r"^\s*shared_preload_libraries\s*=?\s*'?([^'#\n]*)", re.MULTILINE)


@dataclass(frozen=True)
class PostgresqlFacts:
    """`control` is None when there is no readable control file. `libraries` are those that its settings load."""

    control: Control | None
    backup_label: bool
    libraries: tuple[str, ...] = field(default=())


class Postgresql:
    """See `base.Engine`."""

    name = "postgresql"

    def looks_like(self, names: frozenset[bytes]) -> bool:
        """The folder of a single database has PG_VERSION too, but no `global`."""
        return names >= {b"PG_VERSION", b"global", b"base"}

    def look(self, place: Place, hints: Hints) -> Found | None:
        """Its version is that of PG_VERSION, by which the server goes."""
        written = _VERSION.match(place.text(b"PG_VERSION") or "")
        raw = place.read(_CONTROL)
        control = pg_control.read(raw) if raw else None
        if written is None or not place.is_folder(b"base"):
            return None
        version, label = written.group(1), place.has(b"backup_label")
        parts = (*_tablespaces(place, version), *_log(place))
        libraries = _libraries(place)
        consistency = _consistency(place, control, label, hints.taken)
        if gone(parts, "wal"):
            consistency = Consistency.BROKEN
        return Found(
            engine=self.name,
            product=Product.POSTGRESQL,
            path=place.path,
            version=version,
            version_from="PG_VERSION",
            clean=control.clean if control and not label else None,
            consistency=consistency,
            owner=owner(place),
            facts=PostgresqlFacts(control, label, libraries),
            parts=parts,
            stale=tuple(name for name in (*_STALE, *_sockets(place)) if place.has(name)),
            notes=_notes(version, control, parts, libraries, consistency),
            size=measure(place),
        )

    def together(self, found: tuple[Found, ...]) -> tuple[Found, ...]:
        """Each is a server of its own."""
        return found

    def refuse(self, found: Found, version: str) -> str | Promise:
        """The same major, and nothing else."""
        needed = found.version
        if needed is None:
            return _("The version of its files is not known.")
        if _major(version) != _major(needed):
            return str(_("It needs PostgreSQL {needed}.")).format(needed=needed)
        return ""

    def start(self, found: Found, *, read_only: bool, libraries: tuple[str, ...] = ()) -> Recipe:
        """A standby without a primary refuses every write, whoever asks. `libraries` are loaded as a person chose them:
        some have workers that act by themselves."""
        return pg_start.recipe(found, read_only=read_only, libraries=libraries)

    def login(self, found: Found, *, name: str, password: str, read_only: bool) -> bytes:
        """For the standard input of `postgres --single`."""
        return pg_start.login(found, name=name, password=password, read_only=read_only)


def _major(version: str) -> tuple[str, ...]:
    numbers = version.split(".")
    return tuple(numbers[:2]) if numbers[0] == "9" else (numbers[0],)


def _tablespaces(place: Place, version: str) -> list[Part]:
    """Every link of pg_tblspc; the server puts its files into a folder `PG_<version>_…` there."""
    links = place.below(b"pg_tblspc")
    found = []
    for name in sorted(links.names)[:_MOST_LINKS]:
        entry = links.entry(name)
        if entry is None or entry.kind != "link":
            continue
        own = f"PG_{version}_".encode()

        def holds(folder: Place, own: bytes = own) -> bool:
            return any(one.startswith(own) for one in folder.names)

        found.append(search("tablespace", links, entry.links_to, b"pg_tblspc/" + name, holds))
    return found


def _log(place: Place) -> list[Part]:
    """The log of changes, when a link leads to it."""
    for name in (b"pg_wal", b"pg_xlog"):
        entry = place.entry(name)
        if entry is not None and entry.kind == "link":
            return [search("wal", place, entry.links_to, name, lambda folder: folder.is_folder())]
    return []


def _consistency(place: Place, control: Control | None, label: bool, taken: Taken) -> Consistency:
    if control is None or not control.checked or not (place.has(b"pg_wal") or place.has(b"pg_xlog")):
        return Consistency.BROKEN
    if label:
        return Consistency.RECOVERABLE
    if taken == Taken.LIVE:
        return Consistency.DOUBTFUL
    if control.clean and not place.has(b"postmaster.pid"):
        return Consistency.CLEAN
    return {Taken.FROZEN: Consistency.CRASH}.get(taken, Consistency.DOUBTFUL)


def _libraries(place: Place) -> tuple[str, ...]:
    """As the settings in the directory say it: the last word counts, and ALTER SYSTEM has it."""
    for name in (b"postgresql.auto.conf", b"postgresql.conf"):
        said = _LIBRARIES.findall(place.text(name) or "")
        if said:
            return tuple(word.strip(' "') for word in said[-1].split(",") if word.strip(' "'))
    return ()


def _sockets(place: Place) -> list[bytes]:
    return [name for name in sorted(place.names) if name.startswith(b".s.PGSQL.")]


def _notes(
    version: str, control: Control | None, parts: tuple[Part, ...], libraries: tuple[str, ...], how: Consistency
) -> tuple[Note, ...]:
    notes = [Note("collation")]
    if how == Consistency.DOUBTFUL:
        notes.insert(0, Note("doubtful"))
    if control is None or not control.checked:
        notes.append(Note("damaged", {"file": "global/pg_control"}))
    elif control.major not in (None, version):
        notes.append(Note("disagree", {"said": f"PG_VERSION {version}, pg_control {control.major}"}))
    if libraries:
        notes.append(Note("libraries", {"names": ", ".join(libraries)}))
    if int(version.split(".", maxsplit=1)[0]) < 14:
        notes.append(Note("superuser"))
    notes += [Note("missing", {"kind": part.kind, "path": shown(part.wanted)}) for part in parts if part.path is None]
    return tuple(notes)
