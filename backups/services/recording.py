"""What stays of a run: the archive's row, written only from proof, and the findings."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from django.db import DatabaseError, connection
from django.utils import timezone

from backups.borg.findings import Kind
from backups.borg.outcome import State as Judged
from backups.borg.outcome import Verdict
from backups.borg.repository import BorgRepository
from backups.borg.results import ArchiveFact, CreateResult
from backups.models import Archive, BackupJob, Repository
from backups.services import docker_record
from backups.services.plan import BackupPlan
from backups.services.repositories import borg_of
from backups.sources import paths as spelling
from phpborg.errors import PhpBorgError
from phpborg.tasks.context import Cancelled, TaskContext
from phpborg.tasks.registry import Finding
from phpborg.tasks.states import State

log = logging.getLogger(__name__)
# A database that is away for a moment must not cost a proven archive its row.
_PAUSES_SECONDS = (1, 2, 5, 10, 0)
_NOTES = {kind.value for kind in Kind if kind.is_note} | {"late", "hook_after"}


@dataclass(frozen=True)
class Graded:
    """A run that was judged: its state, what was found, and the archive when one is proven."""

    state: State
    findings: tuple[Finding, ...]
    findings_count: int
    archive: ArchiveFact | None = None
    result: CreateResult | None = None
    row: Archive | None = None

    @classmethod
    def of(cls, verdict: Verdict, state: State, notes: Sequence[Finding]) -> Self:
        """From borg's verdict and what we found ourselves."""
        found = tuple(Finding(str(finding.kind.value), finding.message, finding.path) for finding in verdict.findings)
        count = len(notes) + sum(verdict.counts.values())
        return cls(state, (*notes, *found), count, verdict.archive, verdict.result)

    def recorded(self, row: Archive) -> Self:
        """With the row that was written."""
        return replace(self, row=row)

    @property
    def archive_grade(self) -> State:
        """The archive's own grade: a cancelled run may have completed one just before."""
        if self.state in (State.SUCCESS, State.NOTES, State.INCOMPLETE):
            return self.state
        harmless = all(finding.kind in _NOTES for finding in self.findings)
        return State.NOTES if harmless else State.INCOMPLETE


@dataclass(frozen=True)
class MadeOf:
    """What went into an archive beside files: versions of the programs, streams that are whole, what was frozen."""

    versions: dict[str, Any]
    streams: tuple[dict[str, Any], ...] = ()
    frozen: dict[str, Any] = field(default_factory=dict)


def repository_of(job: BackupJob) -> BorgRepository:
    """The job's repository as this host sees it."""
    return borg_of(job.repository)


def with_error(verdict: Verdict, error: PhpBorgError) -> Verdict:
    """The verdict with a better-informed error."""
    return replace(verdict, error=error)


def failed(verdict: Verdict, error: PhpBorgError) -> Verdict:
    """The verdict of a run whose archive, if there was one, was removed because of `error`."""
    if verdict.state is Judged.CANCELLED:
        return without_archive(verdict)
    return replace(verdict, state=Judged.FAILED, error=error, archive=None)


def ended_by(error: Exception, verdict: Verdict) -> Verdict:
    """The verdict when `error` broke off what comes after borg: a cancelled run is never a success."""
    return cancelled(verdict) if isinstance(error, Cancelled) else verdict


def cancelled(verdict: Verdict) -> Verdict:
    """The verdict of a run that somebody cancelled after borg had ended well; another stays as it is."""
    return replace(verdict, state=Judged.CANCELLED) if verdict.error is None else verdict


def without_archive(verdict: Verdict) -> Verdict:
    """The verdict of a run whose archive does not count."""
    return replace(verdict, archive=None)


def with_findings(error: PhpBorgError, graded: Graded) -> PhpBorgError:
    """The error, carrying the findings into the task's row (the runner reads `task_fields`)."""
    kept = {"findings": [finding.as_json() for finding in graded.findings[:200]]}
    vars(error)["task_fields"] = {**kept, "findings_count": graded.findings_count}
    return error


def record(
    job: BackupJob,
    context: TaskContext,
    plan: BackupPlan,
    graded: Graded,
    made_of: MadeOf,
) -> Archive:
    """Write the proven archive down. Tries again while the database is away; the next sync is the last resort."""
    fields = {
        **_origin(job, context),
        **_sizes(graded),
        "name": _proof(graded).name,
        "grade": graded.archive_grade,
        "findings_count": graded.findings_count,
        "backup_config": describe(job, plan, graded, made_of),
        "found_at": timezone.now(),
        "missing_at": None,
    }
    for pause in _PAUSES_SECONDS:
        try:
            row, _made = Archive.objects.update_or_create(
                repository=job.repository, borg_id=_proof(graded).id, defaults=fields
            )
            _of_repository(job, graded)
            break
        except DatabaseError as error:
            if not pause or connection.in_atomic_block:
                raise
            log.warning("archive %s cannot be written down yet: %s", _proof(graded).name, error)
            connection.close()
            time.sleep(pause)
    _final_counters(context, graded)
    return row


def _proof(graded: Graded) -> ArchiveFact:
    if graded.archive is None:
        raise ValueError("an archive is recorded only from proof")
    return graded.archive


def _origin(job: BackupJob, context: TaskContext) -> dict[str, Any]:
    # The job may have been removed while it ran; its name stays.
    alive = BackupJob.objects.filter(pk=job.pk).exists()
    return {
        "job": job if alive else None,
        "server": job.server,
        "job_name": job.name,
        "server_name": job.server.name,
        "task_ref": context.task.pk,
    }


def _sizes(graded: Graded) -> dict[str, Any]:
    """Borg's own account. When it was lost with the connection, the sizes stay unknown."""
    result, proof = graded.result, _proof(graded)
    if result is None:
        return {"started_at": proof.started_at, "finished_at": timezone.now()}
    return {
        "started_at": result.started_at,
        "finished_at": result.ended_at,
        "original_bytes": result.original_size,
        "compressed_bytes": result.compressed_size,
        "deduplicated_bytes": result.deduplicated_size,
        "files": result.nfiles,
        "duration_seconds": result.duration_seconds,
        "rate_average": result.original_size / result.duration_seconds if result.duration_seconds > 0 else None,
    }


def _of_repository(job: BackupJob, graded: Graded) -> None:
    if graded.result is not None:
        Repository.objects.filter(pk=job.repository_id).update(original_bytes=graded.result.cache.total_size)


def _final_counters(context: TaskContext, graded: Graded) -> None:
    result = graded.result
    if result is None:
        return
    seconds = result.duration_seconds
    context.progress(
        files=result.nfiles,
        original_bytes=result.original_size,
        compressed_bytes=result.compressed_size,
        deduplicated_bytes=result.deduplicated_size,
        rate_average=result.original_size / seconds if seconds > 0 else None,
        rate_now=None,
        share=1.0,
        remaining_seconds=0,
        path="",
    )


def describe(job: BackupJob, plan: BackupPlan, graded: Graded, made_of: MadeOf) -> dict[str, Any]:
    """What the archive holds and how it was made: kept with it, whatever becomes of the job.

    Of a database server there is `database` (DatabaseRecord), and `streams` or `frozen` as it was made; of an engine
    `docker` (docker_record.py).
    """
    source = plan.source
    missing = {finding.path for finding in graded.findings if finding.kind == "missing_source"}
    mounts = [finding.as_json() for finding in source.findings if finding.kind == "mount_skipped"]
    described = {
        "source_kind": job.source_kind,
        "source": job.source,
        "paths": [spelling.to_json(path) for path in source.paths],
        "excluded": list(source.excludes),
        "one_file_system": source.one_file_system,
        "exclude_caches": source.exclude_caches,
        "compression": job.compression or job.repository.compression,
        "link": plan.link,
        "versions": made_of.versions,
        "included": [spelling.to_json(path) for path in source.paths if spelling.shown(path) not in missing],
        "not_included": [*mounts, *({"kind": "missing_source", "path": path} for path in sorted(missing))],
    }
    if source.database is not None:
        described["database"] = source.database.as_json()
    if made_of.streams:
        described["streams"] = list(made_of.streams)
    if made_of.frozen:
        described["frozen"] = made_of.frozen
    if job.source_kind == "docker":
        described["docker"] = docker_record.describe(source, made_of.frozen)
        described["frozen"] = docker_record.kept(made_of.frozen)
    return described


def downgrade(row: Archive, state: State, more: int) -> None:
    """What was found after the row was written."""
    Archive.objects.filter(pk=row.pk).update(grade=state, findings_count=row.findings_count + more)
