"""Which databases in containers come back from their dumps, and which data are not put back because of that.

A container that was dumped ran on while its volumes were read: what lies in them is of many moments, and only its dump
is of one. Its data directory is then put back empty, the container initialises it anew, and the dump is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Torn:
    """A database that was dumped while its volumes were read. `reason`: why its dump is not loaded; empty: it is.

    `volumes`, `paths`: what of the archive is put back empty for it: volumes by name, directories by path.
    """

    dump: Dump
    reason: str = ""
    volumes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    @property
    def is_loaded(self) -> bool:
        """Does it come back from its dump?"""
        return not self.reason


def torn_dumps(contents: Contents) -> tuple[Dump, ...]:
    """Dumps of containers that neither rested nor were stopped while their volumes were read."""
    still = {one.container for one in contents.quiesced}
    known = {one.name for one in contents.containers if one.origin == MANIFEST}
    return tuple(one for one in contents.dumps if one.path and one.container in known - still)


def decide(
    contents: Contents,
    created: Iterable[Container],
    volumes: frozenset[str],
    paths: Sequence[str],
    *,
    starts: bool,
    as_it_lay: Iterable[str] = (),
) -> tuple[Torn, ...]:
    """For every such dump of a container that is made, or whose data are put back.

    `volumes`, `paths`: what is put back whole, or begins empty.
    """
    made, lay = {one.name for one in created}, set(as_it_lay)
    rows = []
    for dump in torn_dumps(contents):
        one = contents.container(dump.container)
        assert one is not None
        mounts = data_mounts(one, dump.engine)
        restored = _Restored(volumes, paths)
        if one.name in made:
            reason = _reason(one, dump, mounts, restored) or ("" if starts else "not_started")
            rows.append(Torn(dump, "chosen" if one.name in lay else reason, _volumes(mounts), _paths(mounts)))
        elif any(map(restored.has, mounts)):
            rows.append(Torn(dump, "not_made", _volumes(mounts), _paths(mounts)))
    return tuple(rows)


@dataclass(frozen=True)
class _Restored:
    volumes: frozenset[str]
    paths: Sequence[str]

    def has(self, mount: Mount) -> bool:
        """Is all that is in it put back, or does it begin empty?"""
        if mount.type == "volume":
            return mount.name in self.volumes
        return any(inside(mount.source or "", above) for above in self.paths)


def _reason(one: Container, dump: Dump, mounts: tuple[Mount, ...], restored: _Restored) -> str:
    if dump.engine not in LOADABLE:
        return "other_engine"
    if one.state != "running":
        return "not_running"
    # Its image initialises one place; what lies elsewhere nobody begins anew, and what is nowhere has no mount at all.
    elsewhere = dump.engine == "postgresql" and one.shape.told_data not in ("", one.shape.pgdata)
    if elsewhere or (not mounts and any(mount.type in ("volume", "bind") and mount.writable for mount in one.mounts)):
        return "own_place"
    return "" if all(map(restored.has, mounts)) else "kept"


def data_mounts(one: Container, engine: str) -> tuple[Mount, ...]:
    """What holds the data of its database: the mount at or above their directory, and those inside of it."""
    places = [mount for mount in one.mounts if mount.type in ("volume", "bind") and mount.destination]
    told = (one.shape.told_data, one.shape.pgdata if engine == "postgresql" else "")
    for directory in (*filter(None, told), *DIRECTORIES.get(engine, ())):
        above = [mount for mount in places if inside(directory, mount.destination.rstrip("/"))]
        found = sorted(above, key=lambda mount: len(mount.destination))[-1:]
        found += [mount for mount in places if inside(mount.destination, directory) and mount not in found]
        if found:
            return tuple(found)
    return ()


def _volumes(mounts: tuple[Mount, ...]) -> tuple[str, ...]:
    return tuple(mount.name or "" for mount in mounts if mount.type == "volume")


def _paths(mounts: tuple[Mount, ...]) -> tuple[str, ...]:
    return tuple(mount.source or "" for mount in mounts if mount.type == "bind")
