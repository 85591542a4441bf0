"""Copies of a database server's files in an archive: what belongs together, and what follows once they are put back."""

from __future__ import annotations

import os

from backups.models import Archive
from recovery import paths
from recovery.errors import DatabaseRuns
from recovery.models import Restore
from recovery.services.dumps import Record, record_of
from recovery.services.load_plan import source_of
from recovery.services.next_commands import Command, next_commands
from recovery.services.plan import RestorePlan
from servers.capabilities.report import Report
from servers.models import Server
from servers.services.capabilities import latest_report


def directories(record: Record) -> list[bytes]:
    """The data directory and all that belongs to it, as the archive names them; none for a dump."""
    return [] if record.method == "logical" else [os.fsencode(path) for path in record.paths("data", "tablespace")]


def tokens(archive: Archive) -> list[str]:
    """What a server needs to start from them, as a selection: the settings too, which a fresh machine does not have."""
    record = record_of(archive)
    found = [] if record is None else directories(record)
    if record is None or not found:
        return []
    settings = [os.fsencode(path) for path in record.paths("config")]
    beside = [path for path in settings if not any(path.startswith(place + b"/") for place in found)]
    return [paths.token(path) for path in (*found, *beside)]


def touches_data(archive: Archive, chosen: list[bytes]) -> bool:
    """Is (a part of) a database server's data among these paths of the archive?"""
    record = record_of(archive)
    found = [] if record is None else directories(record)
    return any(_overlap(path, place) for path in chosen for place in found)


def _overlap(one: bytes, other: bytes) -> bool:
    return one in (b"", other) or one.startswith(other + b"/") or other.startswith(one + b"/")


def engine_in_place(archive: Archive, plan: RestorePlan) -> str:
    """The kind of database server whose files the plan puts back; empty for none."""
    record = record_of(archive)
    return record.engine if record and touches_data(archive, [item.source for item in plan.items]) else ""


def check_in_place(archive: Archive, server: Server, plan: RestorePlan, report: Report | None = None) -> None:
    """Before files go to their own place. Raises DatabaseRuns unless the look saw the server stopped.

    Without a `report` the newest one counts: good enough to show a plan, not to carry it out.
    """
    record, report = record_of(archive), report or latest_report(server)
    if record is None or not engine_in_place(archive, plan):
        return
    known = source_of(record.engine).instances(report) if report is not None else ()
    using = [one for one in known if record.data_directory in _places(one)]
    if not using or any(one.running is not False for one in using):
        raise DatabaseRuns(server=server.name)


def _places(instance: object) -> list[str]:
    data = getattr(instance, "data", None)
    found = data if isinstance(data, tuple) else (data,)
    return [one.path for one in found if one is not None and one.path]


def commands_after(restore: Restore, plan: RestorePlan) -> list[Command]:
    """What its administrator does next, for the plan and for the page of what was done."""
    record = record_of(restore.archive) if restore.archive is not None else None
    if record is None or restore.conflict == Restore.Conflict.RENAME:
        return []
    return next_commands(record, _placed(record, plan))


def _placed(record: Record, plan: RestorePlan) -> dict[str, str]:
    """Where each directory and each settings file of the record is after the restore."""
    found = {}
    for place in [*directories(record), *map(os.fsencode, record.paths("config"))]:
        for item in plan.items:
            if item.source in (b"", place) or place.startswith(item.source + b"/"):
                rest = place[len(item.source) :].lstrip(b"/")
                final = item.final.rstrip(b"/") + (b"/" + rest if rest else b"")
                found[os.fsdecode(place)] = os.fsdecode(final)
    return found
