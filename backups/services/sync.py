"""Orphan recovery: what is in Borg but not in the database is recorded, what is gone is marked missing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from backups.borg.results import ArchiveFact
from backups.models import Archive, BackupJob, Repository
from backups.services.repositories import borg_of
from phpborg.tasks.models import Task
from phpborg.tasks.queue import enqueue
from phpborg.tasks.states import Trigger

# <slug>-<job id short>-<UTC time>-<task id short>
OURS = re.compile(r"^(?P<slug>.+)-(?P<job>[0-9a-f]{8})-(?P<time>\d{8}T\d{6}Z)-(?P<task>[0-9a-f]{8})$")


@dataclass(frozen=True)
class SyncReport:
    """What one comparison found: names recorded, names gone, names that came back."""

    recorded: tuple[str, ...]
    missing: tuple[str, ...]
    returned: tuple[str, ...]


def request_sync(*, repository: Repository, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Queue a comparison. Raises AlreadyActive."""
    return enqueue(
        "sync",
        params={"repository": str(repository.pk)},
        subject=repository.name,
        repository=repository,
        by=by,
        trigger=trigger,
        unless_active=True,
    )


def synchronise(*, repository: Repository, listed: list[ArchiveFact] | None = None) -> SyncReport:
    """Compare Borg's list with the rows in one pass; nothing is dropped. One borg call at most."""
    found = borg_of(repository).list_archives() if listed is None else listed
    rows = {row.borg_id: row for row in Archive.objects.filter(repository=repository)}
    present = {archive.id: archive for archive in found}
    fresh = [archive for key, archive in present.items() if key not in rows]
    gone = [row for key, row in rows.items() if key not in present and row.missing_at is None]
    back = [row for key, row in rows.items() if key in present and row.missing_at is not None]
    with transaction.atomic():
        Archive.objects.bulk_create([_orphan(repository, archive) for archive in fresh], ignore_conflicts=True)
        Archive.objects.filter(pk__in=[row.pk for row in gone]).update(missing_at=timezone.now())
        Archive.objects.filter(pk__in=[row.pk for row in back]).update(missing_at=None)
        Repository.objects.filter(pk=repository.pk).update(synced_at=timezone.now())
    return SyncReport(
        tuple(archive.name for archive in fresh), tuple(row.name for row in gone), tuple(row.name for row in back)
    )


def _orphan(repository: Repository, archive: ArchiveFact) -> Archive:
    """A row for an archive that nobody recorded; a name of ours leads back to its job, sizes stay unknown."""
    row = Archive(repository=repository, name=archive.name, borg_id=archive.id, started_at=archive.started_at)
    match = OURS.match(archive.name)
    if not match:
        return row
    task = _by_prefix(Task, match["task"])
    job = _by_prefix(BackupJob, match["job"])
    if job and job.repository_id == repository.pk:
        row.job, row.job_name = job, job.name
        row.server, row.server_name = job.server, job.server.name
        row.backup_config = {"source_kind": job.source_kind, "source": job.source, "recovered": True}
    if task and task.kind == "backup":
        row.task_ref = task.pk
    return row


def _by_prefix(model: Any, prefix: str) -> Any:
    """The one row whose id begins with these eight hex digits, else None."""
    low, high = f"{prefix}-0000-0000-0000-000000000000", f"{prefix}-ffff-ffff-ffff-ffffffffffff"
    rows = list(model.objects.filter(pk__range=(low, high))[:2])
    return rows[0] if len(rows) == 1 else None
