"""Runs of jobs: one way into the queue for a click, the clock and the shell; what ran lately."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone

from backups.borg.config import read_id
from backups.errors import RepositoryIdentityChanged
from backups.job_errors import RepositoryTrashed, ServerNotReady
from backups.models import Archive, BackupJob
from phpborg.tasks.errors import AlreadyActive
from phpborg.tasks.models import Task
from phpborg.tasks.queue import enqueue
from phpborg.tasks.registry import Finding
from phpborg.tasks.states import FINAL, State, Trigger

KIND = "backup"


def start_backup(*, job: BackupJob, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Queue a backup now; runs of one repository wait for each other. Raises AlreadyActive.

    A job that is switched off can be started by hand: the switch is about its schedule. What makes a
    backup impossible (server not set up, repository in the trash) is the task's failure, so that a
    scheduled run says it too.
    """
    return enqueue(
        KIND,
        params={"job": str(job.pk)},
        subject=job.name,
        server=job.server,
        job=job,
        repository=job.repository,
        exclusive=job.repository.exclusive,
        by=by,
        trigger=trigger,
        deadline_seconds=job.time_limit_seconds,
        unless_active=True,
    )


def start_scheduled(job: BackupJob) -> Task:
    """Start what the schedule asks for; a run that still goes on is not disturbed, and the skip is recorded."""
    try:
        return start_backup(job=job, trigger=Trigger.SCHEDULE)
    except AlreadyActive:
        return record_skip(job)


def record_skip(job: BackupJob) -> Task:
    """One row for each run that was overlapped, however often; not a failure, so nobody is alarmed."""
    active = active_run(job)
    number = str(active.pk) if active else ""
    now = timezone.now()
    with transaction.atomic():
        skip = Task.objects.filter(
            job_ref=job.pk, kind=KIND, state=State.CANCELLED, result__skipped="overlap", result__running=number
        ).first()
        if skip is None:
            skip = Task(
                kind=KIND,
                queue=KIND,
                subject=job.name,
                state=State.CANCELLED,
                trigger=Trigger.SCHEDULE,
                params={"job": str(job.pk)},
                server_ref=job.server_id,
                job_ref=job.pk,
                repository_ref=job.repository_id,
                result={"skipped": "overlap", "running": number, "times": 0},
                findings=[Finding("overlap", number).as_json()],
                findings_count=1,
            )
        skip.result = {**skip.result, "times": skip.result["times"] + 1}
        skip.finished_at = now
        skip.save()
    return skip


def active_run(job: BackupJob) -> Task | None:
    """The backup of this job that waits or runs."""
    return Task.objects.active().filter(kind=KIND, job_ref=job.pk).order_by("created_at").first()


def runs_of(job: BackupJob) -> QuerySet[Task]:
    """The job's backups, newest first."""
    return Task.objects.filter(kind=KIND, job_ref=job.pk)


@dataclass(frozen=True)
class JobStatus:
    """What a list shows of a job: the last finished run, the run that goes on, the last good archive."""

    last: Task | None = None
    active: Task | None = None
    last_good: Archive | None = None


def status_of(jobs: Iterable[BackupJob]) -> dict[uuid.UUID, JobStatus]:
    """The status of these jobs in three queries, however many they are."""
    ids = [job.pk for job in jobs]
    if not ids:
        return {}
    ended = Task.objects.filter(kind=KIND, job_ref=OuterRef("pk"), state__in=FINAL).exclude(result__has_key="skipped")
    good = Archive.objects.good().filter(job=OuterRef("pk"))
    rows = BackupJob.objects.filter(pk__in=ids).annotate(
        last_task=Subquery(ended.order_by("-created_at").values("pk")[:1]),
        last_good=Subquery(good.order_by("-started_at").values("pk")[:1]),
    )
    found = {row.pk: (row.last_task, row.last_good) for row in rows}  # type: ignore[attr-defined]
    tasks = Task.objects.in_bulk([task for task, _ in found.values() if task])
    archives = Archive.objects.in_bulk([archive for _, archive in found.values() if archive])
    active = {task.job_ref: task for task in Task.objects.active().filter(kind=KIND, job_ref__in=ids)}
    return {
        pk: JobStatus(tasks.get(task), active.get(pk), archives.get(archive)) for pk, (task, archive) in found.items()
    }


def expected_bytes(job: BackupJob) -> int | None:
    """What the last good run read; None when there was none."""
    good = Archive.objects.good().filter(job=job, original_bytes__isnull=False)
    return good.order_by("-started_at").values_list("original_bytes", flat=True).first()


def check_ready(*, job: BackupJob) -> None:
    """What makes a backup impossible, said before anything is touched. Raises it."""
    if job.repository.trashed_at is not None:
        raise RepositoryTrashed(repository=job.repository.name)
    if not job.server.is_ready:
        raise ServerNotReady(server=job.server.name)
    found = read_id(Path(job.repository.path))
    if job.repository.borg_id and found != job.repository.borg_id:
        raise RepositoryIdentityChanged(expected=job.repository.borg_id, found=found)
