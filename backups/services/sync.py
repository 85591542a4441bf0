"""Orphan recovery: what is in Borg but not in the database is recorded, what is gone is marked missing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from backups.borg import orphans
from backups.borg.results import ArchiveFact
from backups.models import Archive, BackupJob, Repository
from backups.services import unproven
from backups.services.repositories import borg_of
from phpborg.tasks.models import Task
from phpborg.tasks.queue import enqueue
from phpborg.tasks.states import Trigger

# <slug>-<job id short>-<UTC time>-<task id short>
OURS = re.compile(r"^(?P<slug>.+)-(?P<job>[0-9a-f]{8})-(?P<time>\d{8}T\d{6}Z)-(?P<task>[0-9a-f]{8})$", re.DOTALL)
_BATCH = 500


@dataclass(frozen=True)
class SyncReport:
    """What one comparison found: names recorded, gone, back again, and changed."""

    recorded: tuple[str, ...]
    missing: tuple[str, ...]
    returned: tuple[str, ...]
    renamed: tuple[str, ...] = ()

    def as_json(self) -> dict[str, list[str]]:
        """For a task's result."""
        names = ("recorded", "missing", "returned", "renamed")
        return {name: list(getattr(self, name)[:200]) for name in names}


def request_sync(*, repository: Repository, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Queue a comparison. Raises AlreadyActive."""
    return enqueue(
        "sync",
        subject=repository.name,
        repository=repository,
        # Borg answers nobody while somebody writes, and an archive that is being removed is no orphan.
        exclusive=repository.exclusive,
        by=by,
        trigger=trigger,
        unless_active=True,
    )


def synchronise(
    *, repository: Repository, listed: Iterable[ArchiveFact] | None = None, asked_at: datetime | None = None
) -> SyncReport:
    """Compare Borg's list with the rows in one pass; nothing is dropped. One borg call at most.

    `listed` is a list that Borg gave already, `asked_at` the moment before it was asked for it.
    Raises the errors of borg; then no row is touched.
    """
    asked_at = asked_at or timezone.now()
    found = borg_of(repository).list_archives() if listed is None else tuple(listed)
    with transaction.atomic():
        kept = Archive.objects.filter(repository=repository).only("pk", "borg_id", "name", "missing_at", "found_at")
        rows = list(kept)
        # A backup that ended after Borg was asked has a row that the answer cannot know.
        late = {str(row.pk) for row in rows if row.found_at >= asked_at}
        known = [orphans.Row(str(row.pk), row.borg_id, row.name, row.missing_at is not None) for row in rows]
        difference = orphans.compare(found, known)
        gone = [row for row in difference.gone if row.key not in late]
        doubtful = unproven.names(repository)
        fresh = _orphans(repository, [fact for fact in difference.to_record if fact.name not in doubtful])
        Archive.objects.bulk_create(fresh, batch_size=_BATCH, ignore_conflicts=True)
        _mark(gone, missing_at=timezone.now())
        _mark(difference.returned, missing_at=None)
        for row, fact in difference.renamed:
            Archive.objects.filter(pk=row.key).update(name=fact.name)
        stale = {"original_bytes": None} if fresh or gone or difference.returned else {}
        Repository.objects.filter(pk=repository.pk).update(synced_at=timezone.now(), **stale)
    return SyncReport(
        tuple(row.name for row in fresh),
        tuple(row.name for row in gone),
        tuple(row.name for row in difference.returned),
        tuple(fact.name for _row, fact in difference.renamed),
    )


def _mark(rows: Iterable[orphans.Row], *, missing_at: Any) -> None:
    keys = [row.key for row in rows]
    for start in range(0, len(keys), _BATCH):
        Archive.objects.filter(pk__in=keys[start : start + _BATCH]).update(missing_at=missing_at)


def _orphans(repository: Repository, facts: Iterable[ArchiveFact]) -> list[Archive]:
    """Rows for archives that nobody recorded; the jobs are asked for once, not for each archive."""
    jobs = {job.pk.hex[:8]: job for job in BackupJob.objects.filter(repository=repository).select_related("server")}
    return [_orphan(repository, fact, jobs) for fact in facts]


def _orphan(repository: Repository, archive: ArchiveFact, jobs: dict[str, BackupJob]) -> Archive:
    """A name of ours leads back to its job and task; sizes stay unknown."""
    row = Archive(repository=repository, name=archive.name[:500], borg_id=archive.id, started_at=archive.started_at)
    match = OURS.match(archive.name)
    if not match:
        return row
    job = jobs.get(match["job"])
    if job:
        row.job, row.job_name = job, job.name
        row.server, row.server_name = job.server, job.server.name
        row.backup_config = {"source_kind": job.source_kind, "source": job.source, "recovered": True}
    task = _task_of(match["task"])
    if task and task.kind == "backup":
        row.task_ref = task.pk
    return row


def _task_of(prefix: str) -> Task | None:
    """The one task whose id begins with these eight hex digits, else None."""
    low, high = f"{prefix}-0000-0000-0000-000000000000", f"{prefix}-ffff-ffff-ffff-ffffffffffff"
    rows = list(Task.objects.filter(pk__range=(low, high))[:2])
    return rows[0] if len(rows) == 1 else None
