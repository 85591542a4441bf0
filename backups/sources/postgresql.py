"""PostgreSQL: a stream of the whole cluster, a snapshot, or a dump of each database with the globals."""

from __future__ import annotations

import re
from dataclasses import replace

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from backups import source_errors as e
from backups.sources import contents, frozen
from backups.sources import databases as shared
from backups.sources.base import Consistency, Feed, SourcePlan, Stream
from backups.sources.contents import Contents
from backups.sources.databases import DatabaseSource, Method, Row, Seen
from servers.capabilities.cards import paths_of
from servers.capabilities.databases import Cluster, Database, Tablespace
from servers.capabilities.report import Report
from servers.capabilities.volumes import holds

_VERSION = re.compile(r"(\d{1,2})(?:\.(\d{1,3}))?")
_OLDEST_BACKUP_MODE = (9, 6)  # from here on backup mode belongs to a session and ends with it


class PostgresqlSource(DatabaseSource[Cluster]):
    """One cluster."""

    kind = "postgresql"
    label = gettext_lazy("PostgreSQL")
    longest_name = 63
    methods = (
        Method(
            "stream",
            gettext_lazy("Stream of the whole cluster"),
            gettext_lazy(
                "Streams all files of the cluster into the archive while it works, with the log that makes them one "
                "consistent state; nothing is written to the server's disk."
            ),
            Consistency.PHYSICAL,
        ),
        Method(
            "snapshot",
            gettext_lazy("Snapshot of its volume"),
            gettext_lazy(
                "Freezes all files of the cluster at one moment, as after a power cut: started from it, PostgreSQL "
                "recovers by itself."
            ),
            Consistency.CRASH,
        ),
        Method(
            "logical",
            gettext_lazy("Dump of its databases"),
            gettext_lazy(
                "Writes each database as SQL, with the roles and tablespaces of the cluster: it can be loaded into "
                "another version, and one database alone."
            ),
            Consistency.LOGICAL,
        ),
    )

    def instances(self, report: Report) -> tuple[Cluster, ...]:
        """All clusters."""
        return report.postgresql.clusters if report.postgresql else ()

    def access(self, instance: Cluster, login: Row) -> Row:
        """By the socket, as the account that owns the cluster. Raises InstanceUnclear."""
        found = _VERSION.match(self.need(instance, instance.version, _("its version is not known")))
        major = self.need(instance, found and _major(found), _("its version is not known"))
        row = {
            "major": major,
            "socket": self.need(instance, instance.socket_directory, _("it listens on no unix socket")),
            "port": self.need(instance, instance.port, _("its port is not known")),
            "owner": self.need(instance, instance.owner, _("its account is not known")),
        }
        if login["method"] != "given":
            return row
        return {**row, "login": login, **({"user": login["user"]} if "user" in login else {})}

    def make(self, seen: Seen[Cluster]) -> SourcePlan:
        """By its method."""
        makers = {"stream": self._stream, "snapshot": self._snapshot, "logical": self._logical}
        return makers[seen.method.name](seen)

    # --- stream ------------------------------------------------------------------------------------

    def _stream(self, seen: Seen[Cluster]) -> SourcePlan:
        cluster = seen.instance
        if cluster.wal_level == "minimal":
            raise self.error(e.LogTooBrief, cluster, level="minimal")
        folder = self.data_path(cluster, cluster.data)
        producer, why = self._producer(seen)
        files, out = contents.files_beside(seen, paths_of(cluster))
        arguments = {**self.access(cluster, seen.login), **({"files": files} if files else {})}
        # Wherever the log lies on the server: in the stream it is a directory of the data directory.
        cluster = replace(cluster, wal_directory=None)
        included = [*_physical(cluster, folder), *_inside_rows(cluster, folder), *map(shared.config_row, files)]
        sentences = [why]
        if cluster.in_recovery:
            sentences.append(_("It is a standby: what the primary has sent it so far is backed up."))
        return SourcePlan(
            sentences=(*sentences, *contents.files_words(len(files))),
            feed=Feed(producer, folder, arguments),
            findings=frozen.guesses(cluster),
            database=self.record(seen, included, out, producer=producer, **_facts(cluster)),
        )

    def _producer(self, seen: Seen[Cluster]) -> tuple[str, str]:
        """Which way streams it, and why in words. Raises VersionTooOld."""
        cluster = seen.instance
        spaces = len(_spaces(cluster))
        if not spaces and (cluster.max_wal_senders is None or cluster.max_wal_senders > 0):
            return "pg_basebackup", _(
                "pg_basebackup streams it: no tablespace lies outside the data directory, so one stream holds it all."
            )
        if spaces:
            why = ngettext(
                "{count} tablespace lies outside the data directory, and pg_basebackup cannot stream more than one "
                "directory: the files are read in backup mode, which ends with its session.",
                "{count} tablespaces lie outside the data directory, and pg_basebackup cannot stream more than one "
                "directory: the files are read in backup mode, which ends with its session.",
                spaces,
            ).format(count=spaces)
        else:
            why = _(
                "It allows no connection for pg_basebackup (max_wal_senders = 0): the files are read in backup mode, "
                "which ends with its session."
            )
        found = _VERSION.match(cluster.version or "")
        if found and (int(found[1]), int(found[2] or 0)) < _OLDEST_BACKUP_MODE:
            raise self.error(e.VersionTooOld, cluster, version=cluster.version or "", needed="9.6")
        return "pg_backup", why

    # --- snapshot ----------------------------------------------------------------------------------

    def _snapshot(self, seen: Seen[Cluster]) -> SourcePlan:
        cluster = seen.instance
        folder = self.data_path(cluster, cluster.data)
        reading = frozen.Reading(
            hold={"engine": self.kind, **self.access(cluster, seen.login)},
            included=[*_physical(cluster, folder), *_inside_rows(cluster, folder)],
            facts=_facts(cluster),
            # Whoever starts from the archive must not take a process of today for the server that wrote it.
            excludes=(f"pf:{folder}/postmaster.pid",),
            sentences=(_("A checkpoint before it shortens the recovery."),),
        )
        return frozen.snapshot(self, seen, reading)

    # --- dump --------------------------------------------------------------------------------------

    def _logical(self, seen: Seen[Cluster]) -> SourcePlan:
        cluster = seen.instance
        self._check_program(seen)
        access = self.access(cluster, seen.login)
        names, out = contents.chosen(self, seen, cluster.databases, _why_not)
        if not seen.login_is_known and not names:
            return SourcePlan(sentences=(contents.unproven_words(),), findings=(shared.unproven(cluster),))
        made = Contents(left_out=out)
        made.add("globals", "globals", Stream("postgresql/globals.sql", "pg_globals", access, "globals"))
        for number, name in enumerate(names, 1):
            row = {**access, "database": name}
            # The dump does not name its database: owner, encoding, rights and settings stand beside it.
            beside = contents.stream_name("postgresql", number, name, ".json")
            dump = Stream(contents.stream_name("postgresql", number, name, ".sql"), "pg_dump", row, name)
            made.add("database", name, dump, properties=beside)
            made.streams.append(Stream(beside, "pg_properties", row, name))
        before = len(made.streams)
        made.add_files(cluster.config_files if seen.config.config_files else ())
        made.check()
        return SourcePlan(
            streams=tuple(made.streams),
            sentences=(
                contents.databases_words(len(names)),
                _("Roles, their passwords and tablespaces are written first, as SQL."),
                *shared.left_out_words([row for row in made.left_out if row["name"] not in _BUILT_IN]),
                *contents.files_words(len(made.streams) - before),
            ),
            database=self.record(seen, made.included, made.left_out, **_facts(cluster)),
        )

    def _check_program(self, seen: Seen[Cluster]) -> None:
        """Raises ToolMissing when the server has programs of PostgreSQL, but none that dumps."""
        programs = seen.report.postgresql.programs if seen.report.postgresql else {}
        if programs and not programs.get("pg_dump"):
            found = _VERSION.match(seen.instance.version or "")
            raise e.ToolMissing(
                tool="pg_dump", package=f"postgresql-client-{_major(found) if found else ''}".rstrip("-")
            )


_BUILT_IN = ("template0", "template1")


def _major(found: re.Match[str]) -> str:
    """15 of 15.4, 9.6 of 9.6.24: before 10 the second number counted too."""
    return found[1] if int(found[1]) >= 10 or not found[2] else f"{found[1]}.{found[2]}"


def _why_not(database: Database) -> str:
    if database.is_template or database.name in _BUILT_IN:
        return shared.TEMPLATE
    return shared.NO_CONNECTIONS if database.allows_connections is False else ""


def _spaces(cluster: Cluster) -> list[Tablespace]:
    """Tablespaces with a place of their own: the built-in ones lie in the data directory."""
    return [space for space in cluster.tablespaces if space.location]


def _physical(cluster: Cluster, folder: str) -> list[Row]:
    """What a copy of all files holds."""
    rows = [shared.data_row(folder), *shared.database_rows(cluster.databases, folder)]
    if cluster.wal_directory:
        rows.append(shared.data_row(cluster.wal_directory, "pg_wal"))
    for space in _spaces(cluster):
        rows.append({**shared.data_row(space.location or "", space.name or ""), "kind": "tablespace"})
    return rows


def _inside_rows(cluster: Cluster, folder: str) -> list[Row]:
    """The settings files that lie in the data directory, and so are in a copy of it anyway."""
    return [shared.config_row(path) for path in cluster.config_files if holds(folder, path)]


def _facts(cluster: Cluster) -> Row:
    return {
        "socket": cluster.socket_directory,
        "wal_directory": cluster.wal_directory,
        "tablespaces": [{"name": one.name, "location": one.location} for one in _spaces(cluster)],
        "extensions": list(cluster.extensions),
        "in_recovery": cluster.in_recovery,
        "config_files": list(cluster.config_files),
    }
