"""MongoDB: a dbPath, recognised by WiredTiger's files. The series is that of its featureCompatibilityVersion.

No `mongod` could be had to try this on; what the start relies on, and who says so:

* A path in `--bind_ip` is a socket to listen at (https://www.mongodb.com/docs/manual/reference/program/mongod/); before
  3.6 there was a socket only beside 127.0.0.1 (https://jira.mongodb.org/browse/SERVER-9383). Its mode is 0700 since 3.0
  (https://jira.mongodb.org/browse/DOCS-5203), so it is its owner's and ours; that it is named twice, by `--bind_ip` and
  by `--unixSocketPrefix`, is no fault: the list of addresses has each once (`TransportLayerASIO::setup`).
* `enableLocalhostAuthBypass` is there since 2.4 and can only be set at a start
  (https://www.mongodb.com/docs/v2.4/reference/parameters). Without it a server that had no account would let in whoever
  makes the first one (https://www.mongodb.com/docs/manual/core/localhost-exception/).
* A member of a replica set that is started without its name only warns, and removes no expired documents
  (https://jira.mongodb.org/browse/DOCS-11475). Since 4.0 it is as of its last stable checkpoint: what came later is in
  its oplog alone (https://jira.mongodb.org/browse/SERVER-38174). `recoverFromOplogAsStandalone` applies that and
  refuses writes then; with `takeUnstableCheckpointOnShutdown` the next start finds it applied
  (https://jira.mongodb.org/browse/SERVER-44612). In 4.0 that was not so for every member (SERVER-41792), and 4.4 and
  5.0 can crash of it where a primary was killed (https://jira.mongodb.org/browse/SERVER-84432, which will not be
  mended) or an index was being built (SERVER-64304, mended before 6.0). So it is done from 6.0 on; a member of 4.0 to
  5.0 is as of its checkpoint, and a note says so.
* A member of a sharded cluster starts alone only with `skipShardingConfigurationChecks`
  (https://jira.mongodb.org/browse/DOCS-11323).
* Without `--replSet`, a configuration file and a network nothing is replicated, audited or told to anybody.
"""

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
# In local.system.replset, and in admin.system.version of a shard.
_MEMBER, _SHARD = b"\x07replicaSetId\0", b"_id\0\x0e\0\0\0shardIdentity\0"
_MOST_COLLECTIONS, _COLLECTION_BYTES = 400, 64 * 1024
_OPTIONS = (b"directoryPerDB", b"directoryForIndexes", b"groupCollections")
_SOCKET_IN_BIND_IP, _CHECKPOINT_ONLY, _OPLOG_IS_APPLIED = (3, 6), (4, 0), (6, 0)
_PROGRAMS = ("/usr/bin/mongod", "/usr/local/bin/mongod")


@dataclass(frozen=True)
class MongodbFacts:
    """`options` are those of its storage that a start must repeat; `wiredtiger` is that library's version.

    `member` of a replica set, and `shard` of a cluster, as far as its uncompressed pages say it.
    """

    storage_engine: str
    wiredtiger: str | None
    options: tuple[str, ...]
    member: bool = False
    shard: bool = False


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
        pages = [] if old else _small_collections(place)
        version = _features(pages)
        member, shard = (any(mark in page for page in pages) for mark in (_MEMBER, _SHARD))
        lock = place.read(b"mongod.lock")
        clean = None if lock is None else not lock.strip()
        consistency = _consistency(place, old, clean, hints.taken)
        notes = [Note("read_only_login")]
        if consistency == Consistency.DOUBTFUL:
            notes.insert(0, Note("doubtful"))
        if member:
            notes += _of_a_member(version)
        if shard:
            notes.append(Note("shard"))
        return Found(
            engine=self.name,
            product=Product.MONGODB,
            path=place.path,
            version=version,
            version_from="featureCompatibilityVersion" if version else "",
            clean=clean,
            consistency=consistency,
            owner=owner(place),
            facts=MongodbFacts(
                "mmapv1" if old else "wiredTiger",
                turtle.group(1) if turtle else None,
                _options(place),
                member=member,
                shard=shard,
            ),
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

        Raises CannotStart. An unclean end is recovered from the journal by either run, and what a member of a replica
        set holds in its oplog alone by one before them.
        """
        if found.owner is None:
            raise CannotStart("owner", path=base.named(found))
        words = _words(found)
        alive = Ready('{"ping": 1}', '{"ok": 1}', login=False)
        alone = Ready('{"count": "system.users"}', '{"n": 1}', login=False)
        answers = Ready('{"listDatabases": 1}', '{"ok": 1}')
        steps: tuple[Step, ...] = (
            Step(_PROGRAMS, (*words, "--noauth"), login="client", ready=alive, settled=(alone,)),
            Step(_PROGRAMS, (*words, "--auth"), ready=answers),
        )
        if found.facts.member and _applies_oplog(found.version):
            replay = _parameters("recoverFromOplogAsStandalone=true", "takeUnstableCheckpointOnShutdown=true")
            steps = (Step(_PROGRAMS, (*words, "--noauth", *replay), ready=alive), *steps)
        return Recipe(
            product=found.product,
            version=found.version,
            user=f"{found.owner.uid}:{found.owner.gid}",
            mounts=(Mount(found.path, DATA),),
            hide=found.stale,
            steps=steps,
            listen=f"unix:{RUN}/mongodb-{PORT}.sock",
            read_only_by="login" if read_only else "",
            environment={"TZ": "UTC", "HOME": RUN},
            notes=found.notes,
        )

    def login(self, found: Found, *, name: str, password: str, read_only: bool) -> bytes:
        """Commands for the database `admin`, one a line as JSON: every other user goes, ours comes."""
        checked(name)
        everywhere = [("readAnyDatabase", "admin"), ("clusterMonitor", "admin"), ("read", "local"), ("read", "config")]
        roles = everywhere if read_only else [("root", "admin")]
        commands = (
            {"delete": "system.users", "deletes": [{"q": {}, "limit": 0}]},
            {"createUser": name, "pwd": password, "roles": [{"role": role, "db": where} for role, where in roles]},
        )
        return "".join(json.dumps(command) + "\n" for command in commands).encode()


def _series(version: str) -> tuple[str, ...]:
    return tuple(version.split(".")[:2])


def _applies_oplog(version: str | None) -> bool:
    """Does a server of this series apply its oplog when it is told to?"""
    return version is not None and tuple(int(part) for part in _series(version)) >= _OPLOG_IS_APPLIED


def _of_a_member(version: str | None) -> list[Note]:
    """How far back its documents are. Before 4.0 the journal held all that was written."""
    if version is not None and tuple(int(part) for part in _series(version)) < _CHECKPOINT_ONLY:
        return []
    return [Note("replica_set" if _applies_oplog(version) else "checkpoint")]


def _parameters(*settings: str) -> tuple[str, ...]:
    return tuple(word for setting in settings for word in ("--setParameter", setting))


def _words(found: Found) -> tuple[str, ...]:
    """What every run is told."""
    by_path = found.version is None or tuple(int(part) for part in _series(found.version)) >= _SOCKET_IN_BIND_IP
    cache = ("--wiredTigerCacheSizeGB", "0.25") if found.facts.storage_engine == "wiredTiger" else ()
    return (
        *("--dbpath", DATA, "--bind_ip", f"{RUN}/mongodb-{PORT}.sock" if by_path else "127.0.0.1"),
        *("--port", str(PORT), "--unixSocketPrefix", RUN, "--pidfilepath", f"{RUN}/mongod.pid"),
        # Documents must not expire in what was saved.
        *_parameters("ttlMonitorEnabled=false", "diagnosticDataCollectionEnabled=false"),
        *_parameters("enableLocalhostAuthBypass=false"),
        *(_parameters("skipShardingConfigurationChecks=true") if found.facts.shard else ()),
        *("--storageEngine", found.facts.storage_engine, *cache),
        *(f"--{option}" for option in found.facts.options),
    )


def _small_collections(place: Place) -> list[bytes]:
    """Those whose pages are likely not compressed, whole."""
    names = sorted(name for name in place.names if name.startswith(b"collection") and name.endswith(b".wt"))
    files = [(place, name) for name in names]
    for folder in (place.below(b"admin"), place.below(b"admin/collection"), place.below(b"local")):
        files += [(folder, name) for name in sorted(folder.names) if name.endswith(b".wt")]
    found = []
    for folder, name in files[:_MOST_COLLECTIONS]:
        entry = folder.entry(name)
        if entry is not None and (entry.size_bytes or 0) <= _COLLECTION_BYTES:
            found.append(folder.read(name) or b"")
    return found


def _features(pages: list[bytes]) -> str | None:
    """Only where every copy of the document in the files says the same: older pages may still lie in them."""
    said = {word for page in pages for word in _FEATURES.findall(page)}
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
