"""What the page of one server shows, in a fixed number of queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery

from backups.models import Archive, BackupJob
from phpborg.tasks import live
from phpborg.tasks.models import Task
from phpborg.tasks.states import BAD, GOOD
from servers.models import Server
from servers.services import fleet
from servers.services.health import Health

JOBS_SHOWN, ARCHIVES_SHOWN, TASKS_SHOWN = 50, 10, 8


@dataclass(frozen=True)
class Overview:
    """One server with everything around it."""

    server: Any  # a Server with the annotations of fleet.with_facts
    health: Health
    jobs: list[BackupJob]
    archives: list[Archive]
    archive_count: int
    active: list[dict[str, Any]]
    recent: list[dict[str, Any]]


def overview(server_id: Any) -> Overview:
    """Raises Server.DoesNotExist."""
    server = fleet.with_facts(Server.objects.filter(pk=server_id)).prefetch_related("labels").get()
    archives = Archive.objects.filter(server=server).present()
    tasks = Task.objects.filter(server_ref=server.pk).for_people().order_by("-created_at")
    return Overview(
        server=server,
        health=Health(server.health),
        jobs=list(_jobs(server)[:JOBS_SHOWN]),
        archives=list(archives.select_related("job", "repository").order_by("-started_at")[:ARCHIVES_SHOWN]),
        archive_count=archives.count(),
        active=live.current(list(tasks.active()[:20])),
        recent=live.current(list(tasks.final()[:TASKS_SHOWN])),
    )


def _jobs(server: Server) -> QuerySet[BackupJob]:
    """The server's jobs with the state of the last run and the last good archive."""
    runs = Task.objects.filter(job_ref=OuterRef("pk"), kind="backup", state__in=(*GOOD, *BAD)).order_by("-created_at")
    good = Archive.objects.good().filter(job=OuterRef("pk")).order_by("-started_at")
    return (
        BackupJob.objects.filter(server=server)
        .select_related("repository", "schedule")
        .annotate(last_state=Subquery(runs.values("state")[:1]), last_good_at=Subquery(good.values("started_at")[:1]))
        .order_by("name")
    )
