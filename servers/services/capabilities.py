"""What a server is, has and runs, as last seen; and the task that looks again (carried out in capabilities_run.py)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from phpborg.tasks import queue
from phpborg.tasks.models import Task
from phpborg.tasks.states import Trigger
from servers.capabilities.report import Report, from_json
from servers.models import CapabilityReport, Server
from servers.services.errors import NotApproved, ServerUnknown

KIND = "capabilities"
DEADLINE_SECONDS = 180
KEPT = 10


def latest(server: Server) -> CapabilityReport | None:
    """The newest report, None when nobody has looked yet."""
    return CapabilityReport.objects.filter(server=server).order_by("-taken_at").first()


def latest_report(server: Server) -> Report | None:
    """The newest report, read; for plans and wizards."""
    row = latest(server)
    return None if row is None else from_json(row.data)


def latest_at(server: Server) -> datetime | None:
    """When somebody looked last."""
    return (
        CapabilityReport.objects.filter(server=server).order_by("-taken_at").values_list("taken_at", flat=True).first()
    )


def reload(*, server: Server, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """The task that looks: the one that waits or runs already, else a new one. Raises NotApproved."""
    if not server.is_local and not server.host_key:
        raise NotApproved(server=server.name)
    with transaction.atomic():
        # Two clicks at once wait here for each other: the second finds the task of the first.
        Server.objects.select_for_update().filter(pk=server.pk).values_list("pk").first()
        return active_look(server) or queue.enqueue(
            KIND,
            subject=server.name,
            server=server,
            exclusive=f"capabilities:{server.pk}",
            by=by,
            trigger=trigger,
            deadline_seconds=DEADLINE_SECONDS,
        )


def active_look(server: Server) -> Task | None:
    """The look that waits or runs."""
    return Task.objects.active().filter(server_ref=server.pk, kind=KIND).order_by("created_at").first()


def last_look(server: Server) -> Task | None:
    """The newest look at this server, running or ended."""
    return Task.objects.filter(server_ref=server.pk, kind=KIND).order_by("-created_at").first()


def record(*, server: Server, report: Report, taken_at: datetime, task: Task | None = None) -> CapabilityReport:
    """Keep a report, and of the older ones the newest nine. Raises ServerUnknown when the server was removed."""
    with transaction.atomic():
        if not Server.objects.select_for_update().filter(pk=server.pk).values_list("pk"):
            raise ServerUnknown(name=server.name)
        row = CapabilityReport.objects.create(
            server=server,
            taken_at=taken_at,
            schema=report.schema or 0,
            data=report.as_json(),
            seconds=report.seconds,
            task_ref=task.pk if task else None,
        )
        rows = CapabilityReport.objects.filter(server=server).order_by("-taken_at")
        kept = list(rows.values_list("pk", flat=True)[:KEPT])
        CapabilityReport.objects.filter(server=server).exclude(pk__in=kept).delete()
    return row
