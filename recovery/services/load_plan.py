"""The plan of loading dumps into a running server; shown, then carried out. Nothing here touches a server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from backups import sources
from backups.borg import argv as commands
from backups.models import Archive
from backups.sources.databases import DatabaseSource, with_user
from phpborg.errors import InvalidInput
from recovery.errors import (
    ArchiveGone,
    DatabaseIsThere,
    InstanceNotSeen,
    NotADatabaseArchive,
    NothingSelected,
    OlderServer,
)
from recovery.services.dumps import Dump, Record, major, record_of
from recovery.services.plan import PlanStep
from servers.capabilities.databases import Instance
from servers.models import Server
from servers.services.capabilities import latest_report

ENGINES = ("postgresql", "mysql", "mongodb")
# MySQL and MariaDB cannot rename a database, and their dumps may name their own in the middle.
RENAMES = ("postgresql", "mongodb")


@dataclass(frozen=True)
class LoadItem:
    """One dump and the name under which it comes back. `is_there`: by the newest look, None when it does not say."""

    dump: Dump
    target: str
    is_there: bool | None
    replaces: bool

    @property
    def holds_something(self) -> bool:
        """Is something lost when it is replaced? What is not known counts as much as what is."""
        return self.dump.kind == "database" and self.replaces and self.is_there is not False


@dataclass(frozen=True)
class LoadPlan:
    """Everything that loading does. `access` names the server and the login, without a password."""

    archive: str
    server: str
    engine: str
    instance: str
    access: dict[str, Any]
    items: tuple[LoadItem, ...]
    steps: tuple[PlanStep, ...] = ()

    @property
    def endangered(self) -> list[str]:
        """The databases whose content goes."""
        return [item.target for item in self.items if item.holds_something]

    def into(self, item: LoadItem, properties: dict[str, Any] | None = None) -> dict[str, Any]:
        """For the helper's verb `load`."""
        row = {**self.access, "loader": loader_of(self.engine, item.dump), "replace": item.replaces}
        if item.dump.kind == "database":
            row |= {"database": item.dump.name, "as": item.target}
        elif self.engine == "mongodb":
            # Accounts lie in a database of their own; none that is there is taken away.
            row |= {"database": "admin", "as": "admin", "replace": False, "accounts": True}
        if self.engine == "postgresql" and item.dump.kind == "database":
            row["properties"] = properties
        return row

    def as_json(self) -> dict[str, Any]:
        """For the row, `--dry-run --json`, and the page of a restore that was made."""
        return {
            "archive": self.archive,
            "server": self.server,
            "engine": self.engine,
            "instance": self.instance,
            "items": [
                {
                    "kind": item.dump.kind,
                    "name": item.dump.name,
                    "target": item.target,
                    "path": item.dump.path,
                    "is_there": item.is_there,
                    "replaces": item.replaces,
                }
                for item in self.items
            ],
            "steps": [
                {"code": step.code, "sentence": step.sentence, "command": step.command, "undo": step.undo}
                for step in self.steps
            ],
        }


def loader_of(engine: str, dump: Dump) -> str:
    """The helper's name for what loads it."""
    if engine == "postgresql":
        return "pg_database" if dump.kind == "database" else "pg_globals"
    if engine == "mysql":
        return "mysql_database" if dump.kind == "database" else "mysql_users"
    return "mongodb"


def source_of(engine: str) -> DatabaseSource[Any]:
    """The source that knows this engine."""
    source = sources.get(engine)
    assert isinstance(source, DatabaseSource)
    return source


def instances_of(engine: str, servers: Iterable[Server]) -> list[tuple[Server, Instance]]:
    """All running servers of this engine that were seen by the newest looks, not those in containers."""
    found: list[tuple[Server, Instance]] = []
    for server in servers:
        report = latest_report(server)
        known = source_of(engine).instances(report) if report is not None else ()
        found += [(server, one) for one in known if one.id and one.running is not False and not one.contained]
    return found


def plan_load(
    *,
    archive: Archive,
    server: Server,
    instance: str,
    chosen: Sequence[str],
    replace: bool = False,
    new_name: str = "",
    user: str = "",
) -> LoadPlan:
    """What loading these dumps (their keys) does. `user`: of a login that was given; empty for the one that was found.

    Raises ArchiveGone, NotADatabaseArchive, NothingSelected, InvalidInput, InstanceNotSeen, OlderServer,
    DatabaseIsThere, and what a source raises for a server that is stopped, contained or lets nobody in.
    """
    if archive.missing_at or archive.trashed_at:
        raise ArchiveGone(name=archive.name)
    record = record_of(archive)
    if record is None or not record.dumps or record.engine not in ENGINES:
        raise NotADatabaseArchive(name=archive.name)
    dumps = [dump for dump in record.dumps if dump.key in chosen]
    if not dumps:
        raise NothingSelected()
    report = latest_report(server)
    source = source_of(record.engine)
    known = source.instances(report) if report is not None else ()
    found = next((one for one in known if one.id == instance), None)
    if found is None:
        raise InstanceNotSeen(instance=instance, server=server.name)
    source.check_state(found)
    _check_versions(record, found)
    login = {"method": "given"} if user else source.entrance(found, "auto")
    access = source.access(found, login)
    plan = LoadPlan(
        archive=archive.name,
        server=server.name,
        engine=record.engine,
        instance=instance,
        access=with_user(access, user) if user else access,
        items=tuple(_items(record, found, server, dumps, replace, new_name)),
    )
    return LoadPlan(**{**plan.__dict__, "steps": _steps(plan, archive)})


def _check_versions(record: Record, found: Instance) -> None:
    """A newer server reads an older dump, never the other way round."""
    dumped, there = major(record.engine, record.version), major(record.engine, found.version)
    if dumped and there and there < dumped and _comparable(record, found):
        raise OlderServer(dumped=record.version, there=found.version or "")


def _comparable(record: Record, found: Instance) -> bool:
    """The numbers of MySQL and MariaDB say nothing about each other."""
    return record.engine != "mysql" or record.facts.get("flavour") == getattr(found, "flavour", None)


def _items(
    record: Record, found: Instance, server: Server, dumps: list[Dump], replace: bool, new_name: str
) -> Iterable[LoadItem]:
    databases = [dump for dump in dumps if dump.kind == "database"]
    if new_name and len(databases) != 1:
        raise InvalidInput(field=_("new name"), problem=_("choose exactly one database for it."))
    if new_name and record.engine not in RENAMES and new_name != databases[0].name:
        problem = _("MySQL and MariaDB cannot rename a database, and a dump of theirs may name its own inside.")
        raise InvalidInput(field=_("new name"), problem=problem)
    if new_name and not source_of(record.engine).fits(new_name):
        raise InvalidInput(field=_("new name"), problem=_("it is too long for this kind of server."))
    known = {one.name for one in getattr(found, "databases", ())}
    for dump in dumps:
        target = new_name if new_name and dump.kind == "database" else dump.name
        is_there = target in known if known and dump.kind == "database" else None
        if is_there and not replace:
            raise DatabaseIsThere(name=target, server=server.name)
        yield LoadItem(dump, target, is_there, replace)


def extract_argv(location: str, archive: str, dump: Dump) -> tuple[str | bytes, ...]:
    """`borg extract --stdout … pp:NAME` without the program, which the helper on the server finds itself."""
    return commands.extract("borg", location, archive, [dump.path.encode()], sparse=False, to_stdout=True)[1:]


def tool_argv(plan: LoadPlan, item: LoadItem) -> tuple[str, ...]:
    """What reads it there, for people: the helper adds how it gets in."""
    access = plan.access
    if plan.engine == "postgresql":
        place = "postgres" if item.dump.kind == "globals" else "phpborg-…"
        where = (f"--host={access['socket']}", f"--port={access['port']}", f"--dbname={place}")
        return ("psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", *where, "--file=-")
    options = (("socket", "socket"), ("host", "address"), ("port", "port"))
    at = [f"--{option}={access[key]}" for option, key in options if key in access]
    if plan.engine == "mysql":
        return ("mariadb", "--batch", "--binary-mode", "--default-character-set=utf8mb4", *at)
    accounts = [f"admin.system.{name}" for name in ("users", "roles", "version")]
    if item.dump.kind != "database":
        words = [f"--nsInclude={name}" for name in accounts]
    else:
        words = [*(["--drop"] if item.replaces else []), f"--nsInclude={item.dump.name}.*"]
        words += [f"--nsExclude={name}" for name in accounts if item.dump.name == "admin"]
        if item.target != item.dump.name:
            words += [f"--nsFrom={item.dump.name}.*", f"--nsTo={item.target}.*"]
    return ("mongorestore", *at, *words, "--stopOnError", "--archive")


def _steps(plan: LoadPlan, archive: Archive) -> tuple[PlanStep, ...]:
    location = f"ssh://phpborg{archive.repository.path}"
    loads = [
        PlanStep(
            "load",
            _sentence(plan, item),
            argv=extract_argv(location, archive.name, item.dump),
            into=tool_argv(plan, item),
            touches=(item.target,),
            undo=_undo(plan, item),
            facts={"name": item.dump.name, "target": item.target},
        )
        for item in plan.items
    ]
    return (
        PlanStep(
            "view",
            _("Makes a view of the repository that holds no lock, so backups go on and a prune does not disturb."),
            undo=_("The view is removed."),
        ),
        PlanStep("count", _("Measures the dumps in the archive: as many bytes have to pass.")),
        PlanStep(
            "link",
            _("Opens a way from {server} to the view; the dump is never on a disk of that server."),
            undo=_("The way is closed."),
            facts={"server": plan.server},
        ),
        *loads,
        PlanStep("verify", _("Compares what is there with what the dumps said: databases, tables, rows, bytes.")),
    )


def _sentence(plan: LoadPlan, item: LoadItem) -> str:
    if item.dump.kind != "database":
        return _("Makes the accounts that are missing; those that are there stay as they are.")
    if plan.engine == "postgresql" and item.replaces:
        return _(
            "Loads “{name}” into a new database, compares it, and only then gives it the name “{target}”; the old one "
            "is removed, and whoever is in it is sent away."
        )
    if plan.engine == "postgresql":
        return _("Loads “{name}” into a new database, compares it, and only then gives it the name “{target}”.")
    if item.replaces:
        return _("Reads the dump of “{name}” once to its end; then replaces “{target}” by it. That cannot be undone.")
    return _("Reads the dump of “{name}” once to its end; then loads it as “{target}”.")


def _undo(plan: LoadPlan, item: LoadItem) -> str:
    if plan.engine == "postgresql":
        return _("Whatever fails before the end leaves what was there as it was.")
    return "" if item.replaces else _("What was loaded until then stays and is told.")
