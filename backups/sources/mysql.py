"""MySQL and MariaDB: a dump of each database with users and grants, a snapshot, or a copy that is prepared."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups import source_errors as e
from backups.sources import contents, frozen
from backups.sources import databases as shared
from backups.sources.base import Consistency, Freeze, SourcePlan, Stream, View
from backups.sources.contents import Contents
from backups.sources.databases import DatabaseConfig, DatabaseSource, Method, Row, Seen
from phpborg.tasks.registry import Finding
from phpborg.ui.format import byte_size
from servers.capabilities.databases import Database, MysqlInstance, Program
from servers.capabilities.report import Report
from servers.capabilities.volumes import mount_of

# Made by the server, for reading only; `mysql` itself holds users, which are dumped as statements.
_VIRTUAL = ("information_schema", "performance_schema", "sys")
_TRANSACTIONAL = "innodb"
# What the helper starts: each family's own, because the other one's makes dumps that only it can read.
_DUMPS = {"mariadb": ("mariadb-dump", "mysqldump"), "mysql": ("mysqldump",)}
_COPIES = {"mariadb": ("mariadb-backup", "mariabackup"), "mysql": ("xtrabackup",)}
_PACKAGES = {
    ("dump", "mariadb"): "mariadb-client",
    ("dump", "mysql"): "mysql-client",
    ("copy", "mariadb"): "mariadb-backup",
    ("copy", "mysql"): "percona-xtrabackup",
}


class MysqlSource(DatabaseSource[MysqlInstance]):
    """One server."""

    kind = "mysql"
    label = gettext_lazy("MySQL / MariaDB")
    longest_name = 64
    name_in_bytes = False
    methods = (
        Method(
            "logical",
            gettext_lazy("Dump of its databases"),
            gettext_lazy(
                "Writes each database as SQL with its routines, events and triggers, and all users with their grants: "
                "it can be loaded into another version, and one database alone."
            ),
            Consistency.LOGICAL,
        ),
        Method(
            "snapshot",
            gettext_lazy("Snapshot of its volume"),
            gettext_lazy(
                "Freezes all files of the server at one moment, as after a power cut: started from it, the server "
                "recovers by itself."
            ),
            Consistency.CRASH,
        ),
        Method(
            "mariabackup",
            gettext_lazy("Prepared copy (mariabackup, xtrabackup)"),
            gettext_lazy(
                "Copies all files beside the data directory while the server works, prepares the copy so that it "
                "starts at once, backs it up and removes it."
            ),
            Consistency.PHYSICAL,
        ),
    )

    def instances(self, report: Report) -> tuple[MysqlInstance, ...]:
        """All servers."""
        return report.mysql.instances if report.mysql else ()

    def probes(self, config: DatabaseConfig) -> tuple[str, ...]:
        """A copy needs room on a filesystem, a snapshot a volume."""
        return (self.kind, "mounts") if config.method == "mariabackup" else super().probes(config)

    def access(self, instance: MysqlInstance, login: Row) -> Row:
        """By the socket where there is one: root's own login works nowhere else. Raises InstanceUnclear."""
        where: Row = {"socket": instance.socket} if instance.socket else {}
        if not where:
            missing = _("neither its socket nor its port is known")
            where = {"address": "127.0.0.1", "port": self.need(instance, instance.port, missing)}
        flavour = self.need(instance, _flavour(instance), _("whether it is MySQL or MariaDB is not known"))
        return {**where, "login": login, "flavour": flavour}

    def make(self, seen: Seen[MysqlInstance]) -> SourcePlan:
        """By its method."""
        makers = {"logical": self._logical, "snapshot": self._snapshot, "mariabackup": self._copy}
        return makers[seen.method.name](seen)

    # --- dump --------------------------------------------------------------------------------------

    def _logical(self, seen: Seen[MysqlInstance]) -> SourcePlan:
        server = seen.instance
        access = self.access(server, seen.login)
        self._program(seen, "dump", _DUMPS[access["flavour"]])
        names, out = contents.chosen(self, seen, server.databases, _why_not)
        if not seen.login_is_known and not names:
            return SourcePlan(sentences=(contents.unproven_words(),), findings=(shared.unproven(server),))
        made = Contents(left_out=out)
        made.add("users", "users", Stream("mysql/users.sql", "mysql_users", access, "users"))
        for number, name in enumerate(names, 1):
            file = contents.stream_name("mysql", number, name, ".sql")
            made.add("database", name, Stream(file, "mysql_dump", {**access, "database": name}, name))
        before = len(made.streams)
        made.add_files(server.config_files if seen.config.config_files else ())
        made.check()
        others = _others(server)
        return SourcePlan(
            streams=tuple(made.streams),
            sentences=(
                contents.databases_words(len(names)),
                _("Each is dumped in one transaction, so nobody has to wait for it."),
                *_others_words(others),
                *shared.left_out_words(made.left_out),
                *contents.files_words(len(made.streams) - before),
            ),
            findings=(Finding("not_transactional", others, server.id or ""),) if others else (),
            database=self.record(seen, made.included, made.left_out, **_facts(server)),
        )

    # --- snapshot ----------------------------------------------------------------------------------

    def _snapshot(self, seen: Seen[MysqlInstance]) -> SourcePlan:
        server = seen.instance
        folder = self.data_path(server, server.data)
        others = _others(server)
        if others:
            lock = _("Writing is locked while the snapshot is made: tables of other engines would be torn ({engines}).")
        else:
            lock = _("All tables are InnoDB's, so nobody is locked out for it.")
        reading = frozen.Reading(
            hold={"engine": self.kind, **self.access(server, seen.login)},
            included=[*_physical(server, folder), *map(shared.data_row, server.outside_files)],
            facts=_facts(server),
            paths=[folder, *server.outside_files],
            sentences=(lock.format(engines=others),),
        )
        return frozen.snapshot(self, seen, reading)

    # --- prepared copy -----------------------------------------------------------------------------

    def _copy(self, seen: Seen[MysqlInstance]) -> SourcePlan:
        server = seen.instance
        access = self.access(server, seen.login)
        program = self._program(seen, "copy", _COPIES[access["flavour"]])
        folder = self.data_path(server, server.data)
        files = frozen.config_paths(seen, [folder])
        included = [*_physical(server, folder), *map(shared.config_row, files)]
        freeze = Freeze(
            kind="mariabackup",
            arguments={"kind": "mariabackup", **access, "datadir": folder},
            views=(View("/", folder),),
            sentence=_("Copies the server's files with {program} and prepares the copy.").format(program=program),
            undo=_("The copy is removed, whatever happens: also after a cancellation or a crash."),
        )
        return SourcePlan(
            paths=tuple(frozen.as_path(path) for path in (folder, *files)),
            sentences=(
                _room_words(seen, folder),
                _("Borg reads the copy under the name of the data directory, {path}.").format(path=folder),
                *contents.files_words(len(files)),
            ),
            findings=frozen.guesses(server),
            freeze=freeze,
            database=self.record(seen, included, (), program=program, **_facts(server)),
        )

    def _program(self, seen: Seen[MysqlInstance], task: str, usable: tuple[str, ...]) -> str:
        """The first of these that is installed. Raises ToolMissing with the package's name."""
        programs = seen.report.mysql.programs if seen.report.mysql else {}
        flavour = _flavour(seen.instance)
        found = next((name for name in usable if name in programs and _is_of(name, programs[name], flavour)), None)
        if found is None:
            package = _PACKAGES[task, flavour or "mysql"]
            raise e.ToolMissing(tool=usable[0], package=package)
        return found


def _flavour(server: MysqlInstance) -> str | None:
    return server.flavour if server.flavour in _DUMPS else None


def _is_of(name: str, program: Program, flavour: str | None) -> bool:
    """Is it of this family? `mysqldump` is a name of both: MariaDB counts from 10, MySQL up to 9, both had a 5."""
    first = (program.version or "").partition(".")[0]
    if name != "mysqldump" or not first.isdigit():
        return True
    return not 6 <= int(first) <= 9 if flavour == "mariadb" else int(first) < 10


def _why_not(database: Database) -> str:
    if database.name == "mysql":
        return shared.AS_USERS
    return shared.MADE_BY_SERVER if (database.name or "").lower() in _VIRTUAL else ""


def _others(server: MysqlInstance) -> str:
    """“Aria: 1, MyISAM: 3”: tables that no transaction holds still; empty without any."""
    rows = sorted((name, count) for name, count in server.engines.items() if name.lower() != _TRANSACTIONAL and count)
    return ", ".join(f"{name}: {count}" for name, count in rows)


def _others_words(others: str) -> list[str]:
    if not others:
        return []
    return [
        _(
            "Some tables are not InnoDB's ({engines}): what is written to them during the dump may be in it in part. "
            "Convert them, or use a snapshot."
        ).format(engines=others)
    ]


def _room_words(seen: Seen[MysqlInstance], folder: str) -> str:
    """How much room the copy takes, and how much there is, as far as that is known."""
    data = seen.instance.data
    mount = mount_of(seen.report, folder)
    needed = data.size_bytes if data else None
    free = mount.available_bytes if mount else None
    if needed is None:
        return _("It needs as much room beside the data directory as the data itself; how much that is, is not known.")
    if free is None:
        return _("It needs {needed} beside the data directory.").format(needed=byte_size(needed))
    return _("It needs {needed} beside the data directory, where {free} are free.").format(
        needed=byte_size(needed), free=byte_size(free)
    )


def _physical(server: MysqlInstance, folder: str) -> list[Row]:
    """What a copy of all files holds."""
    return [shared.data_row(folder), *shared.database_rows(server.databases, folder)]


def _facts(server: MysqlInstance) -> Row:
    return {
        "flavour": server.flavour,
        "socket": server.socket,
        "engines": dict(server.engines),
        "log_bin": server.log_bin,
        "outside_files": list(server.outside_files),
        "config_files": list(server.config_files),
    }
