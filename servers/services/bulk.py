"""One action on many servers; each is queued by itself, and what was left out is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from backups.models import BackupJob
from backups.services import runs
from phpborg.errors import PhpBorgError
from phpborg.tasks.errors import AlreadyActive
from phpborg.tasks.states import Trigger
from servers.models import Server
from servers.services import setup


@dataclass
class Started:
    """How many tasks were queued, how many were active already, which servers could not take part."""

    started: int = 0
    already: int = 0
    not_ready: list[str] = field(default_factory=list)


def run_all_jobs(*, servers: Sequence[Server], by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Started:
    """Queue every enabled job of these servers."""
    result = Started(not_ready=[server.name for server in servers if not server.is_ready])
    ready = [server.pk for server in servers if server.is_ready]
    jobs = BackupJob.objects.enabled().filter(server__in=ready).select_related("server", "repository")
    for job in jobs.order_by("server__name", "name"):
        try:
            runs.start_backup(job=job, by=by, trigger=trigger)
            result.started += 1
        except AlreadyActive:
            result.already += 1
    return result


def set_up_again(*, servers: Sequence[Server], by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Started:
    """Queue the set-up of these servers."""
    result = Started()
    for server in servers:
        try:
            setup.enqueue_setup(server=server, by=by, trigger=trigger)
            result.started += 1
        except AlreadyActive:
            result.already += 1
        except PhpBorgError:
            result.not_ready.append(server.name)
    return result
