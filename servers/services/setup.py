"""The set-up of a server as a task: queued here, carried out step by step in setup_steps.py."""

from __future__ import annotations

from typing import Any

from phpborg.tasks import queue
from phpborg.tasks.models import Task
from phpborg.tasks.states import Trigger
from servers.models import Server
from servers.services.errors import NotApproved

KIND = "setup"
DEADLINE_SECONDS = 1800


def enqueue_setup(*, server: Server, install: bool = True, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Queue the set-up; with `install` it may install what is missing. Raises NotApproved, AlreadyActive."""
    if not server.is_local and not server.host_key:
        raise NotApproved(server=server.name)
    return queue.enqueue(
        KIND,
        params={"install": install},
        subject=server.name,
        server=server,
        exclusive=f"server-setup:{server.pk}",
        by=by,
        trigger=trigger,
        deadline_seconds=DEADLINE_SECONDS,
        unless_active=True,
    )


def last_setup(server: Server) -> Task | None:
    """The newest set-up of this server, running or ended."""
    return Task.objects.filter(server_ref=server.pk, kind=KIND).order_by("-created_at").first()


def active_setup(server: Server) -> Task | None:
    """The set-up that waits or runs."""
    return Task.objects.active().filter(server_ref=server.pk, kind=KIND).order_by("created_at").first()
