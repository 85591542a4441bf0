"""What the letters say, as plain values: one declared time zone, the archive's real name, no secret."""

from __future__ import annotations

import zoneinfo
from datetime import datetime

from django.conf import settings

from backups.models import Archive
from notifications.services.mailing import Letter
from phpborg.errors import describe
from phpborg.tasks import registry
from phpborg.tasks.models import Task
from phpborg.tasks.states import State
from phpborg.ui.models import Installation

FINDINGS = 10


class Words:
    """An error's sentences, rendered when the template asks, in the reader's language."""

    def __init__(self, task: Task) -> None:
        self._task = task

    @property
    def kind(self) -> str:
        return registry.label(self._task.kind)

    @property
    def state(self) -> str:
        return str(State(self._task.state).label)

    @property
    def title(self) -> str:
        return describe(self._task.error_code, self._task.error_facts).title if self._task.error_code else ""

    @property
    def advice(self) -> str:
        return describe(self._task.error_code, self._task.error_facts).advice if self._task.error_code else ""


def about(task: Task, template: str) -> Letter:
    """A letter about a task that has ended."""
    zone = zoneinfo.ZoneInfo(Installation.load().zone_name)
    return Letter(
        template,
        {
            "words": Words(task),
            "is_proof": task.kind == "proof",
            "subject_name": task.subject,
            "archive_name": task.result.get("archive_name") or _archive_of(task),
            "started_at": _in(zone, task.started_at),
            "finished_at": _in(zone, task.finished_at),
            "zone": zone.key,
            "duration_seconds": task.duration_seconds,
            "detail": task.error_detail[:2000],
            "findings": task.findings[:FINDINGS],
            "more_findings": max(task.findings_count - FINDINGS, 0),
            "url": f"{settings.PUBLIC_URL}{task.get_absolute_url()}",
        },
    )


def _archive_of(task: Task) -> str:
    """What a proof that failed has tried to prove; of a failed backup there is none."""
    row = Archive.objects.filter(pk=task.archive_ref).only("name").first() if task.archive_ref else None
    return row.name if row else ""


def _in(zone: zoneinfo.ZoneInfo, moment: datetime | None) -> str:
    """Date and time on the zone's clock, as every language reads it."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}" if moment else "—"
