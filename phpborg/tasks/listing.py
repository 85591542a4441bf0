"""The task list: filters from the address, counts from the database, what is active always in view."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Self

from django.apps import apps
from django.db.models import Count, Q
from django.http import QueryDict
from django.utils import timezone
from django.utils.dateparse import parse_date

from phpborg.tasks import registry
from phpborg.tasks.models import Task, TaskQuerySet
from phpborg.tasks.states import ACTIVE, FINAL, State
from phpborg.ui.offers import named

ACTIVE_SHOWN = 100


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _date(text: str) -> date | None:
    try:
        found = parse_date(text)
    except ValueError:
        return None
    # At the ends of the calendar a time zone leads out of it.
    return found if found and 1970 <= found.year <= 9000 else None


@dataclass(frozen=True)
class Filters:
    """What a person asked to see. A word that means nothing filters nothing."""

    kind: str = ""
    state: str = ""
    text: str = ""
    server: uuid.UUID | None = None
    job: uuid.UUID | None = None
    repository: uuid.UUID | None = None
    since: date | None = None
    until: date | None = None
    system: bool = False

    @classmethod
    def read(cls, query: QueryDict) -> Self:
        """From the query of an address."""
        kind, state = query.get("kind", ""), query.get("state", "")
        return cls(
            kind=kind if kind in {one.name for one in registry.all_kinds()} else "",
            state=state if state in {*State.values, "bad", "active"} else "",
            text=query.get("q", "").strip()[:80],
            server=_uuid(query.get("server", "")),
            job=_uuid(query.get("job", "")),
            repository=_uuid(query.get("repository", "")),
            since=_date(query.get("since", "")),
            until=_date(query.get("until", "")),
            system=query.get("system") == "1",
        )

    @property
    def is_active(self) -> bool:
        """Does anything narrow the list?"""
        things = (self.kind, self.state, self.text, self.server, self.job, self.repository, self.since, self.until)
        return any(things)

    def narrow(self, tasks: TaskQuerySet) -> TaskQuerySet:
        """Every filter but the state."""
        if not self.system and not self.kind:
            tasks = tasks.for_people()
        if self.kind:
            tasks = tasks.filter(kind=self.kind)
        if self.text:
            tasks = tasks.filter(Q(subject__icontains=self.text) | Q(error_code__iexact=self.text))
        tasks = tasks.about(server=self.server, job=self.job, repository=self.repository)
        if self.since:
            tasks = tasks.filter(created_at__gte=_midnight(self.since))
        if self.until:
            tasks = tasks.filter(created_at__lt=_midnight(self.until + timedelta(days=1)))
        return tasks

    def states(self) -> tuple[str, ...]:
        """The states that are asked for; () for all."""
        if self.state == "bad":
            return (State.INCOMPLETE, State.FAILED, State.LOST)
        if self.state == "active":
            return ACTIVE
        return (self.state,) if self.state else ()


def _midnight(day: date) -> datetime:
    """The beginning of a day in the reader's zone."""
    return timezone.make_aware(datetime.combine(day, time.min), timezone.get_current_timezone())


def active(filters: Filters) -> list[Task]:
    """What waits or runs, running first; always in view, whatever page is shown."""
    states = [state for state in ACTIVE if not filters.states() or state in filters.states()]
    found = filters.narrow(Task.objects.filter(state__in=states)).select_related("requested_by")
    rows = list(_light(found).order_by("created_at")[:ACTIVE_SHOWN])
    return sorted(rows, key=lambda task: (task.state != State.RUNNING, task.created_at))


def ended(filters: Filters) -> TaskQuerySet:
    """What has ended, newest first."""
    states = [state for state in FINAL if not filters.states() or state in filters.states()]
    return _light(filters.narrow(Task.objects.filter(state__in=states))).order_by("-created_at")


def _light(tasks: TaskQuerySet) -> TaskQuerySet:
    """Without what only the task's own page shows."""
    return tasks.defer("findings", "log_tail", "result", "params")


def counts(filters: Filters) -> list[tuple[State, int]]:
    """How many tasks there are in each state, from the database; states that nobody has are left out."""
    rows = filters.narrow(Task.objects.order_by()).values_list("state").annotate(number=Count("pk"))
    numbers: dict[str, int] = dict(rows)
    return [(state, numbers[state]) for state in State if numbers.get(state)]


def names(filters: Filters) -> dict[str, str]:
    """The names of the server, job and repository that the list is narrowed to."""
    models = {"server": "servers.Server", "job": "backups.BackupJob", "repository": "backups.Repository"}
    found = {}
    for what, label in models.items():
        pk = getattr(filters, what)
        if pk:
            named = apps.get_model(label)._default_manager.filter(pk=pk).values_list("name", flat=True).first()
            found[what] = named or str(pk)[:8]
    return found


def choices(filters: Filters) -> dict[str, Any]:
    """What the filters offer."""
    servers = apps.get_model("servers.Server")._default_manager.order_by("name")
    kinds = sorted(((one.name, str(one.label)) for one in registry.all_kinds()), key=lambda pair: pair[1].casefold())
    return {"kinds": kinds, "servers": named(servers, filters.server), "server": str(filters.server or "")}
