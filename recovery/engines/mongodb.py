"""MongoDB: a dbPath, recognised by WiredTiger's files. The series is that of its featureCompatibilityVersion."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from recovery.engines import base
from recovery.engines.base import DATA, RUN, Consistency, Found, Hints, Mount, Product, Ready, Recipe, Step, Taken
from recovery.engines.names import checked
from recovery.engines.notes import Note
from recovery.engines.parts import measure, owner
from recovery.engines.place import Place
from recovery.errors import CannotStart

PORT = 27017
_WIREDTIGER = re.compile(r"WiredTiger (\d+\.\d+\.\d+)")
# The document in admin.system.version, as BSON. Pages of a collection this small are not compressed.
_FEATURES = re.compile(rb"_id\0.{4}featureCompatibilityVersion\0\x02version\0\x04\0\0\0(\d\.\d)\0", re.DOTALL)
_MOST_COLLECTIONS, _COLLECTION_BYTES = 400, 64 * 1024
_OPTIONS = (b"directoryPerDB", b"directoryForIndexes", b"groupCollections")
_PROGRAMS = ("/usr/bin/mongod", "/usr/local/bin/mongod")


@dataclass(frozen=True)
class MongodbFacts:
    """`options` are those of its storage that a start must repeat; `wiredtiger` is that library's version."""

    storage_engine: str
    wiredtiger: str | None
    options: tuple[str, ...]


class Mongodb:
    """See `base.Engine`."""

    name = "mongodb"

    def looks_like(self, names: frozenset[bytes]) -> bool:
        """WiredTiger's own two files, or those of the engine before it."""
        return {b"WiredTiger", b"WiredTiger.turtle"} <= names or {b"local.ns", b"local.0"} <= names

    def look(self, place: Place, hints: Hints) -> Found | None:
        """None for other users of WiredTiger, which have no catalogue of MongoDB."""
        old = place.has(b"local.ns")
        if not old and not place.has(b"_mdb_catalog.wt") and not place.has(b"mongod.lock"):
            return None
        turtle = _WIREDTIGER.search((place.text(b"WiredTiger.turtle") or "") + (place.text(b"WiredTiger") or ""))
        version = None if old else _features(place)
        lock = place.read(b"mongod.lock")
        clean = None if lock is None else not lock.strip()
        consistency = _consistency(place, old, clean, hints.taken)
        notes = [Note("read_only_login")]
        if consistency == Consistency.DOUBTFUL:
            notes.insert(0, Note("doubtful"))
        return Found(
            engine=self.name,
            product=Product.MONGODB,
            path=place.path,
            version=version,
            version_from="featureCompatibilityVersion" if version else "",
            clean=clean,
            consistency=consistency,
            owner=owner(place),
            facts=MongodbFacts("mmapv1" if old else "wiredTiger", turtle.group(1) if turtle else None, _options(place)),
            stale=tuple(name for name in sorted(place.names) if name == b"mongod.lock" or name.endswith(b".sock")),
            notes=tuple(notes),
            size=measure(place),
        )

    def together(self, found: tuple[Found, ...]) -> tuple[Found, ...]:
        """Each is a server of its own."""
        return found

    def refuse(self, found: Found, version: str) -> str | Promise:
        """The same series: the next one opens the files too, but only after every one between."""
        if found.version is None:
            return _("The version of its files is not known.")
        if _series(version) != _series(found.version):
            return str(_("It needs {name} {series}.")).format(name="MongoDB", series=found.version)
        return ""

    def start(self, found: Found, *, read_only: bool) -> Recipe:
        """A standalone server. The first run, which nobody can reach but us, makes the login; the second asks for it.

        Raises CannotStart. An unclean end is recovered from the journal by either run.
        """
        if found.owner is None:
            raise CannotStart("owner", path=base.named(found))
        words = [
            *("--dbpath", DATA, "--bind_ip", f"{RUN}/mongodb-{PORT}.sock", "--port", str(PORT)),
            *("--unixSocketPrefix", RUN, "--pidfilepath", f"{RUN}/mongod.pid"),
            # Documents must not expire in what was saved.
            *("--setParameter", "ttlMonitorEnabled=false", "--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--storageEngine", found.facts.storage_engine, "--wiredTigerCacheSizeGB", "0.25"),
            *(f"--{option}" for option in found.facts.options),
        ]
        if found.facts.storage_engine != "wiredTiger":
            words = [word for word in words if word not in ("--wiredTigerCacheSizeGB", "0.25")]
        ready = Ready('{"ping": 1}', '{"ok": 1}')
        first = Step(_PROGRAMS, (*words, "--noauth"), login="client", ready=ready)
        return Recipe(
            product=found.product,
            version=found.version,
            user=f"{found.owner.uid}:{found.owner.gid}",
            mounts=(Mount(found.path, DATA),),
            hide=found.stale,
            steps=(first, Step(_PROGRAMS, (*words, "--auth"), ready=ready)),
            listen=f"unix:{RUN}/mongodb-{PORT}.sock",
            read_only_by="login" if read_only else "",
            environment={"TZ": "UTC", "HOME": RUN},
            notes=found.notes,
        )

    def login(self, found: Found, *, name: str, password: str, read_only: bool) -> bytes:
        """Commands for the database `admin`, one a line as JSON: every other user goes, ours comes."""
        checked(name)
        roles = ["readAnyDatabase", "clusterMonitor"] if read_only else ["root"]
        commands = (
            {"delete": "system.users", "deletes": [{"q": {}, "limit": 0}]},
            {"createUser": name, "pwd": password, "roles": [{"role": role, "db": "admin"} for role in roles]},
        )
        return "".join(json.dumps(command) + "\n" for command in commands).encode()


def _series(version: str) -> tuple[str, ...]:
    return tuple(version.split(".")[:2])


def _features(place: Place) -> str | None:
    """Only where every copy of the document in the files says the same: older pages may still lie in them."""
    names = sorted(name for name in place.names if name.startswith(b"collection") and name.endswith(b".wt"))
    files = [(place, name) for name in names]
    for folder in (place.below(b"admin"), place.below(b"admin/collection")):
        files += [(folder, name) for name in sorted(folder.names) if name.endswith(b".wt")]
    said: set[bytes] = set()
    for folder, name in files[:_MOST_COLLECTIONS]:
        entry = folder.entry(name)
        if entry is not None and (entry.size_bytes or 0) <= _COLLECTION_BYTES:
            said |= set(_FEATURES.findall(folder.read(name) or b""))
    return said.pop().decode() if len(said) == 1 else None


def _options(place: Place) -> tuple[str, ...]:
    """Of storage.bson: those that are true."""
    raw = place.read(b"storage.bson") or b""
    names = {b"directoryForIndexes": "wiredTigerDirectoryForIndexes", b"directoryPerDB": "directoryperdb"}
    return tuple(names.get(option, option.decode()) for option in _OPTIONS if b"\x08" + option + b"\0\x01" in raw)


def _consistency(place: Place, old: bool, clean: bool | None, taken: Taken) -> Consistency:
    journal = place.has(b"journal") or place.has(b"WiredTiger.backup")
    if not old and not place.has(b"WiredTiger.wt") and not place.has(b"WiredTiger.backup"):
        return Consistency.BROKEN
    if clean and taken != Taken.LIVE:
        return Consistency.CLEAN
    return Consistency.CRASH if taken == Taken.FROZEN and journal else Consistency.DOUBTFUL
