"""MongoDB: a dump by mongodump, or a snapshot."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups import source_errors as e
from backups.sources import contents, frozen
from backups.sources import databases as shared
from backups.sources.base import Consistency, SourcePlan, Stream
from backups.sources.contents import Contents
from backups.sources.databases import DatabaseSource, Method, Row, Seen
from servers.capabilities.databases import Database, MongodbInstance
from servers.capabilities.report import Report

_ALL = "mongodb/all.archive"
_SETTINGS = "config"
_EVERYWHERE = ("0.0.0.0", "::", "*", "127.0.0.1")  # noqa: S104  (where a server listens, not we)


class MongodbSource(DatabaseSource[MongodbInstance]):
    """One server."""

    kind = "mongodb"
    label = gettext_lazy("MongoDB")
    longest_name = 63
    never_empty = False
    methods = (
        Method(
            "logical",
            gettext_lazy("Dump of its databases"),
            gettext_lazy(
                "Writes the databases with mongodump, straight into the archive: they can be loaded into another "
                "version."
            ),
            Consistency.LOGICAL,
        ),
        Method(
            "snapshot",
            gettext_lazy("Snapshot of its volume"),
            gettext_lazy(
                "Freezes all files of the server at one moment; writing is locked (fsyncLock) while the snapshot is "
                "made, and unlocked in every case."
            ),
            Consistency.CRASH,
        ),
    )

    def instances(self, report: Report) -> tuple[MongodbInstance, ...]:
        """All servers."""
        return report.mongodb.instances if report.mongodb else ()

    def access(self, instance: MongodbInstance, login: Row) -> Row:
        """By the network, on this machine alone. Raises InstanceUnclear."""
        port = self.need(instance, instance.port, _("its port is not known"))
        known = {**login, "authdb": "admin"} if login["method"] == "given" else login
        return {"address": _near(instance.bind), "port": port, "login": known}

    def make(self, seen: Seen[MongodbInstance]) -> SourcePlan:
        """By its method."""
        return self._logical(seen) if seen.method.name == "logical" else self._snapshot(seen)

    def _logical(self, seen: Seen[MongodbInstance]) -> SourcePlan:
        server = seen.instance
        programs = seen.report.mongodb.programs if seen.report.mongodb else {}
        if "mongodump" not in programs:
            raise e.ToolMissing(tool="mongodump", package="mongodb-database-tools, mongo-tools")
        access = self.access(server, seen.login)
        names, out = contents.chosen(self, seen, server.databases, _why_not)
        made = Contents(left_out=out)
        if seen.config.databases:
            for number, name in enumerate(names, 1):
                file = contents.stream_name("mongodb", number, name, ".archive")
                made.add("database", name, Stream(file, "mongodump", {**access, "database": name}, name))
            if "admin" not in names:
                made.left_out.append(shared.left_out("users", shared.ALL_ONLY, "users"))
            words = contents.databases_words(len(names))
        else:
            # mongodump takes of it, if anything, what only a router's cluster has.
            made.left_out += [shared.left_out(name, shared.OWN_TO_SERVER) for name in names if name == _SETTINGS]
            self._add_all(made, access, [name for name in names if name != _SETTINGS])
            words = _("One stream holds all databases, with their users and roles.")
        before = len(made.streams)
        made.add_files(server.config_files if seen.config.config_files else ())
        made.check()
        return SourcePlan(
            streams=tuple(made.streams),
            sentences=(
                words,
                _moments(server, bool(seen.config.databases)),
                *shared.left_out_words(made.left_out),
                *contents.files_words(len(made.streams) - before),
            ),
            database=self.record(seen, made.included, made.left_out, **_facts(server)),
        )

    def _add_all(self, made: Contents, access: Row, names: Sequence[str]) -> None:
        """mongodump's own way to take everything: no name is needed, so none is forgotten."""
        made.streams.append(Stream(_ALL, "mongodump", access, str(self.label)))
        made.included.append({"kind": "users", "name": "users", "path": _ALL})
        made.included += [{"kind": "database", "name": name, "path": _ALL} for name in names]

    def _snapshot(self, seen: Seen[MongodbInstance]) -> SourcePlan:
        server = seen.instance
        folder = self.data_path(server, server.data)
        if (server.storage_engine or "").lower() in ("inmemory", "ephemeralfortest"):
            raise self.error(e.SnapshotImpossible, server, _("It keeps its data in memory alone: use the dump."))
        reading = frozen.Reading(
            hold={"engine": self.kind, **self.access(server, seen.login)},
            included=[shared.data_row(folder), *shared.database_rows(server.databases, folder)],
            facts=_facts(server),
        )
        return frozen.snapshot(self, seen, reading)


def _why_not(database: Database) -> str:
    # The log of replication and what belongs to this member: mongodump never writes it.
    return shared.OWN_TO_SERVER if database.name == "local" else ""


def _moments(server: MongodbInstance, some: bool) -> str:
    if server.replica_set and not some:
        return _("What is written meanwhile is added from the log of replication, so all of it is of one moment.")
    return _("While somebody writes, the collections are of moments that differ a little.")


def _near(bind: Sequence[str]) -> str:
    """Where it listens for this machine."""
    if not bind or any(address in _EVERYWHERE for address in bind):
        return "127.0.0.1"
    return bind[0]


def _facts(server: MongodbInstance) -> Row:
    return {
        "storage_engine": server.storage_engine,
        "replica_set": server.replica_set,
        "config_files": list(server.config_files),
    }
