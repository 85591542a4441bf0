"""Every server on one screen: health in a word, last good archive, next run, oldest point to go back to.

All of it is annotated in one query; the costs of a page do not grow with the archives.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Case, CharField, Count, DateTimeField, Exists, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from backups.models import Archive, BackupJob, Schedule
from phpborg.tasks import live
from phpborg.tasks.models import Task
from phpborg.tasks.states import BAD, GOOD
from servers.errors import HostKeyChanged
from servers.models import Server
from servers.services.health import Health

LATE_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Filters:
    """What a person asked to see. Unknown words filter nothing."""

    text: str = ""
    label: str = ""
    health: str = ""

    @property
    def is_active(self) -> bool:
        return bool(self.text or self.label or self.health)


def _archives() -> QuerySet[Archive]:
    return Archive.objects.good().filter(server=OuterRef("pk"))


def _due() -> QuerySet[Schedule]:
    return Schedule.objects.filter(
        job__server=OuterRef("pk"), enabled=True, job__enabled=True, next_run_at__isnull=False
    )


def _failing_jobs() -> QuerySet[BackupJob]:
    """Enabled jobs whose last run that came to an end was not good; a cancelled or skipped one says nothing."""
    runs = Task.objects.filter(job_ref=OuterRef("pk"), kind="backup", state__in=(*GOOD, *BAD)).order_by("-created_at")
    jobs = BackupJob.objects.filter(server=OuterRef("pk"), enabled=True)
    return jobs.annotate(last_state=Subquery(runs.values("state")[:1])).filter(last_state__in=BAD)


def with_facts(servers: QuerySet[Server]) -> QuerySet[Any]:
    """Annotate `health`, `last_good_at`, `oldest_at`, `next_due_at` and `job_count`."""
    late_since = timezone.now() - LATE_AFTER
    jobs = BackupJob.objects.filter(server=OuterRef("pk")).order_by().values("server").annotate(n=Count("pk"))
    dated = servers.annotate(
        last_good_at=Subquery(_archives().order_by("-started_at").values("started_at")[:1], DateTimeField()),
        oldest_at=Subquery(_archives().order_by("started_at").values("started_at")[:1], DateTimeField()),
        next_due_at=Subquery(_due().order_by("next_run_at").values("next_run_at")[:1], DateTimeField()),
        job_count=Coalesce(Subquery(jobs.values("n")[:1]), 0),
    )
    return dated.annotate(
        health=Case(
            When(last_error_code=HostKeyChanged.code, then=Value(Health.IDENTITY)),
            When(state=Server.State.FAILED, then=Value(Health.SETUP_FAILED)),
            When(state=Server.State.NEW, then=Value(Health.NEW)),
            When(~Exists(BackupJob.objects.filter(server=OuterRef("pk"), enabled=True)), then=Value(Health.NO_JOB)),
            When(Exists(_failing_jobs()), then=Value(Health.FAILING)),
            When(next_due_at__lt=late_since, then=Value(Health.LATE)),
            When(last_good_at__isnull=True, then=Value(Health.NO_ARCHIVE)),
            default=Value(Health.GOOD),
            output_field=CharField(),
        )
    )


def rows(filters: Filters) -> QuerySet[Any]:
    """Servers that match, what needs attention first, then by name; labels prefetched."""
    found = with_facts(Server.objects.all())
    if filters.text:
        text = Q(name__icontains=filters.text) | Q(address__icontains=filters.text)
        found = found.filter(text | Q(pk__in=Server.objects.filter(labels__name__icontains=filters.text).values("pk")))
    if filters.label:
        found = found.filter(pk__in=Server.objects.filter(labels__name=filters.label).values("pk"))
    if filters.health in Health.values:
        found = found.filter(health=filters.health)
    urgency = Case(
        *[When(health=health, then=Value(position)) for position, health in enumerate(Health)], default=Value(99)
    )
    ordered: QuerySet[Any] = (
        found.defer("facts", "private_key", "notes", "offered_host_key")
        .annotate(urgency=urgency)
        .order_by("urgency", "name")
        .prefetch_related("labels")
    )
    return ordered


def counts() -> list[tuple[Health, int]]:
    """How many servers there are of each health, worst first; what nobody has is left out."""
    found = with_facts(Server.objects.order_by()).values_list("health").annotate(n=Count("pk", distinct=True))
    numbers: dict[str, int] = dict(found)
    return [(health, numbers[health]) for health in Health if numbers.get(health)]


def running_tasks(servers: Iterable[Server]) -> dict[uuid.UUID, dict[str, Any]]:
    """The oldest active task of each server, as a snapshot with its newest progress."""
    active = Task.objects.active().for_people().filter(server_ref__in=[server.pk for server in servers])
    oldest: dict[uuid.UUID, Task] = {}
    for task in active.order_by("-created_at"):
        if task.server_ref is not None:
            oldest[task.server_ref] = task
    shots = {shot["id"]: shot for shot in live.current(list(oldest.values()))}
    return {server: shots[str(task.pk)] for server, task in oldest.items()}
