"""The list of jobs: filtered in the database, its surroundings in a constant number of queries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from backups.models import BackupJob, Schedule
from backups.services import schedules
from backups.services.runs import KIND, JobStatus, status_of
from phpborg.tasks.models import Task
from phpborg.tasks.states import ACTIVE, FINAL


@dataclass(frozen=True)
class JobFilter:
    """What a person looks for. `state`: a final state of the last run, or running, or never."""

    text: str = ""
    server: str = ""
    state: str = ""
    enabled: str = ""


def listing(wanted: JobFilter) -> QuerySet[BackupJob]:
    """The jobs that match, by name."""
    rows = BackupJob.objects.select_related("server", "repository", "schedule").order_by("name")
    if wanted.text:
        rows = rows.filter(
            Q(name__icontains=wanted.text)
            | Q(server__name__icontains=wanted.text)
            | Q(repository__name__icontains=wanted.text)
        )
    if wanted.server:
        rows = rows.filter(server_id=wanted.server)
    if wanted.enabled:
        rows = rows.filter(enabled=wanted.enabled == "yes")
    runs = Task.objects.filter(kind=KIND, job_ref=OuterRef("pk"))
    if wanted.state == "running":
        return rows.filter(Exists(runs.filter(state__in=ACTIVE)))
    ended = runs.filter(state__in=FINAL).exclude(result__has_key="skipped")
    if wanted.state == "never":
        return rows.exclude(Exists(ended))
    if wanted.state:
        last = ended.order_by("-created_at").values("state")[:1]
        rows = rows.annotate(last_state=Subquery(last)).filter(last_state=wanted.state)
    return rows


@dataclass(frozen=True)
class JobRow:
    """One line: the job, how it stands, its schedule in words."""

    job: BackupJob
    status: JobStatus
    schedule: Schedule | None
    words: str


def rows_of(jobs: Iterable[BackupJob]) -> list[JobRow]:
    """The lines of a page, in three queries."""
    found = list(jobs)
    status = status_of(found)
    rows = []
    for job in found:
        schedule = getattr(job, "schedule", None)
        rows.append(JobRow(job, status[job.pk], schedule, schedules.describe(schedule) if schedule else ""))
    return rows
