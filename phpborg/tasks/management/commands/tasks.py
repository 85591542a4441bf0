"""List tasks: `tasks [--state failed] [--kind backup] [--limit 20] [--system] [--json]`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from phpborg.commands import Command as Base
from phpborg.commands import task_json
from phpborg.tasks import registry
from phpborg.tasks.models import Task
from phpborg.tasks.states import ACTIVE, BAD, State


class Command(Base):
    """Newest first; what the system does for itself only with --system."""

    help = "List tasks, newest first. Exit code 0."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--state", choices=[*State.values, "active", "bad"], help="only in this state")
        parser.add_argument("--kind", choices=[kind.name for kind in registry.all_kinds()], help="only of this kind")
        parser.add_argument("--limit", type=int, default=20, help="how many (default 20, at most 1000)")
        parser.add_argument("--system", action="store_true", help="also the system's own tasks")

    def handle(self, *args: Any, **options: Any) -> None:
        tasks = Task.objects.all() if options["system"] or options["kind"] else Task.objects.for_people()
        if options["kind"]:
            tasks = tasks.filter(kind=options["kind"])
        if options["state"]:
            states = {"active": ACTIVE, "bad": BAD}.get(options["state"], (options["state"],))
            tasks = tasks.filter(state__in=states)
        rows = list(tasks.order_by("-created_at")[: min(max(options["limit"], 0), 1000)])
        headers = [_("Id"), _("Kind"), _("About"), _("State"), _("Created"), _("Seconds")]
        text = self.table(headers, [self._row(task) for task in rows])
        self.emit([task_json(task) for task in rows], text)

    @staticmethod
    def _row(task: Task) -> list[str]:
        seconds = task.duration_seconds
        return [
            task.short_id,
            registry.label(task.kind),
            task.subject[:60],
            str(task.state_enum.label),
            task.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "" if seconds is None else f"{seconds:.0f}",
        ]
