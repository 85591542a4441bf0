"""Which databases in containers come back from their dumps, and which data are not put back because of that.

A container that was dumped ran on while its volumes were read: what lies in them is of many moments, and only its dump
is of one. Its data directory is then put back empty, the container initialises it anew, and the dump is loaded.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from dockerops.manifest import MANIFEST, Container, Contents, Dump, Mount
from dockerops.selecting import inside

# Where the images keep their data; PostgreSQL's own variable goes first.
DIRECTORIES = {
    "postgresql": ("/var/lib/postgresql/data", "/bitnami/postgresql"),
    "mysql": ("/var/lib/mysql", "/bitnami/mysql", "/bitnami/mariadb"),
    "mongodb": ("/data/db", "/bitnami/mongodb"),
}
# Engines whose own client reads a dump from its standard input (servers/remote/dockers/loading.py).
LOADABLE = ("postgresql", "mysql")

# (what is mounted, the directory in it)
Places = tuple[tuple[Mount, str], ...]


@dataclass(frozen=True)
class Torn:
    """A database that was dumped while its volumes were read. `reason`: why its dump is not loaded; empty: it is.

    `volumes`, `paths`: what of the archive is put back empty for it: volumes by name, directories by path. `below`: of
    a volume only this directory in it.
    """

    dump: Dump
    reason: str = ""
    volumes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    below: dict[str, str] = field(default_factory=dict)

    @property
    def places(self) -> tuple[str, ...]:
        """Where its data lie, for people."""
        return (*(posixpath.join(one, self.below.get(one, "")).rstrip("/") for one in self.volumes), *self.paths)

    @property
    def is_loaded(self) -> bool:
        """Does it come back from its dump?"""
        return not self.reason


def torn_dumps(contents: Contents) -> tuple[Dump, ...]:
    """Dumps of containers that neither rested nor were stopped while their volumes were read."""
    still = {one.container for one in contents.quiesced}
    known = {one.name for one in contents.containers if one.origin == MANIFEST}
    return tuple(one for one in contents.dumps if one.path and one.container in known - still)


def undumped(contents: Contents, created: Iterable[Container]) -> tuple[str, ...]:
    """Containers that are made, whose dump was asked for and failed, and that ran while their volumes were read."""
    failed = {one.name for one in contents.not_included if one.kind == "dump"}
    failed -= {one.container for one in contents.quiesced}
    return tuple(one.name for one in created if one.name in failed)


def decide(
    contents: Contents,
    created: Iterable[Container],
    volumes: frozenset[str],
    paths: Sequence[str],
    *,
    starts: bool,
    as_it_lay: Iterable[str] = (),
    around: frozenset[str] = frozenset(),
) -> tuple[Torn, ...]:
    """For every such dump of a container that is made, or whose data are put back.

    `volumes`, `paths`: what is put back whole, or begins empty. `around`: those of them in whose top something else
    lies meanwhile: what they held before, in a volume that is held and where a filesystem is mounted.
    """
    made, lay = {one.name for one in created}, set(as_it_lay)
    rows = []
    for dump in torn_dumps(contents):
        one = contents.container(dump.container)
        assert one is not None
        places = data_places(one, dump.engine)
        restored = _Restored(volumes, paths, around)
        made_of = _empty(places)
        if one.name in made:
            reason = _reason(one, dump, places, restored) or ("" if starts else "not_started")
            rows.append(Torn(dump, "chosen" if one.name in lay else reason, *made_of))
        elif any(restored.has(mount) for mount, _ in places):
            rows.append(Torn(dump, "not_made", *made_of))
    return tuple(rows)


@dataclass(frozen=True)
class _Restored:
    volumes: frozenset[str]
    paths: Sequence[str]
    around: frozenset[str]

    def is_shared(self, mount: Mount) -> bool:
        """Does something else lie in its top? No database is initialised in a directory that is not empty."""
        return (mount.name if mount.type == "volume" else mount.source) in self.around

    def has(self, mount: Mount) -> bool:
        """Is all that is in it put back, or does it begin empty?"""
        if mount.type == "volume":
            return mount.name in self.volumes
        return any(inside(mount.source or "", above) for above in self.paths)


def _reason(one: Container, dump: Dump, places: Places, restored: _Restored) -> str:
    if dump.engine not in LOADABLE:
        return "other_engine"
    if one.state != "running":
        return "not_running"
    # Its image initialises one place; what lies elsewhere nobody begins anew, and what is nowhere has no mount at all.
    elsewhere = dump.engine == "postgresql" and one.shape.told_data not in ("", one.shape.pgdata)
    if elsewhere or (not places and any(mount.type in ("volume", "bind") and mount.writable for mount in one.mounts)):
        return "own_place"
    if not all(restored.has(mount) for mount, _ in places):
        return "kept"
    return "inside" if any(not below and restored.is_shared(mount) for mount, below in places) else ""


def data_places(one: Container, engine: str) -> Places:
    """What holds the data of its database: the mount at or above their directory, and those inside of it.

    Each with the directory in it that holds them, "" for all of it. Of a directory that nobody told, only the mount is
    known: newer images put it deeper.
    """
    mounts = [mount for mount in one.mounts if mount.type in ("volume", "bind") and mount.destination]
    told = [*filter(None, (one.shape.told_data, one.shape.pgdata if engine == "postgresql" else ""))]
    for directory in (*told, *DIRECTORIES.get(engine, ())):
        above = [mount for mount in mounts if inside(directory, mount.destination.rstrip("/"))]
        found = sorted(above, key=lambda mount: len(mount.destination))[-1:]
        below = posixpath.relpath(directory, found[0].destination) if found and directory in told else "."
        places = [(mount, "" if below == "." else below) for mount in found]
        places += [(mount, "") for mount in mounts if inside(mount.destination, directory) and mount not in found]
        if places:
            return tuple(places)
    return ()


def _empty(places: Places) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, str]]:
    """Volumes, paths and directories in volumes, as `Torn` has them."""
    volumes = {mount.name or "": below for mount, below in places if mount.type == "volume"}
    paths = [posixpath.join(mount.source or "", below) for mount, below in places if mount.type == "bind"]
    return tuple(volumes), tuple(path.rstrip("/") for path in paths), {name: at for name, at in volumes.items() if at}
