"""Removing a server: what hangs on it, what goes, what stays. The plan shown is the plan carried out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone

from backups.models import Archive, BackupJob, Repository
from phpborg.tasks import queue
from phpborg.tasks.models import Task
from phpborg.tasks.states import Trigger
from servers.models import Server
from servers.services import capabilities, statistics
from servers.services.errors import NameNotTyped, ServerBusy

Archives = Literal["keep", "trash"]
KIND = "server-remove"


@dataclass(frozen=True)
class RemovalPlan:
    """What hangs on a server at this moment."""

    server: Server
    jobs: tuple[str, ...]
    archives: int
    archive_bytes: int | None
    repositories: tuple[str, ...]
    blockers: tuple[Task, ...]
    reachable_files: bool  # the server keeps files of ours that a task can try to remove
    direct_key: bool

    @property
    def is_possible(self) -> bool:
        """Nothing of the server runs or waits."""
        return not self.blockers


def removal_plan(server: Server) -> RemovalPlan:
    """Look at everything that hangs on the server; nothing is changed."""
    archives = Archive.objects.filter(server=server).present()
    numbers = archives.aggregate(count=Count("pk"), size=Sum("deduplicated_bytes"))
    used = {
        *BackupJob.objects.filter(server=server).values_list("repository", flat=True),
        *archives.order_by().values_list("repository", flat=True).distinct(),
    }
    repositories = Repository.objects.filter(pk__in=used)
    return RemovalPlan(
        server=server,
        jobs=tuple(BackupJob.objects.filter(server=server).values_list("name", flat=True)),
        archives=numbers["count"],
        archive_bytes=numbers["size"],
        repositories=tuple(repositories.order_by("name").values_list("name", flat=True)),
        blockers=tuple(blockers(server)),
        reachable_files=not server.is_local and bool(server.host_key),
        direct_key=bool(server.direct_public_key),
    )


def blockers(server: Server, *, besides: Task | None = None) -> list[Task]:
    """Active tasks about this server. One that only looks at it is none: it changes nothing and may end with it."""
    active = Task.objects.active().filter(server_ref=server.pk).exclude(kind__in=[capabilities.KIND, statistics.KIND])
    return list(active.exclude(pk=besides.pk) if besides else active)


def request_removal(
    *,
    server: Server,
    typed: str,
    archives: Archives = "keep",
    clean: bool = True,
    by: Any = None,
    trigger: Trigger = Trigger.MANUAL,
) -> Task:
    """Queue the removal. Raises NameNotTyped and ServerBusy."""
    if typed != server.name:
        raise NameNotTyped(name=server.name)
    with transaction.atomic():
        busy = blockers(server)
        if busy:
            raise ServerBusy(server=server.name, count=len(busy))
        return queue.enqueue(
            KIND,
            params={"archives": archives, "clean": clean},
            subject=server.name,
            server=server,
            by=by,
            trigger=trigger,
            unless_active=True,
        )


def delete_server(*, server: Server, archives: Archives, task: Task | None = None) -> dict[str, int]:
    """Remove the rows: jobs and the server go; archives stay with the server's name, or go to the trash.

    Raises ServerBusy when something has begun meanwhile.
    """
    with transaction.atomic():
        busy = blockers(server, besides=task)
        if busy:
            raise ServerBusy(server=server.name, count=len(busy))
        mine = Archive.objects.filter(server=server)
        mine.filter(server_name="").update(server_name=server.name)
        trashed = mine.present().filter(pinned=False).update(trashed_at=timezone.now()) if archives == "trash" else 0
        kept = mine.present().count()
        jobs = BackupJob.objects.filter(server=server)
        count = jobs.count()
        for job in jobs:
            mine.filter(job=job, job_name="").update(job_name=job.name)
        jobs.delete()
        server.delete()
    return {"jobs": count, "archives_kept": kept, "archives_trashed": trashed}
