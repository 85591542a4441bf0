"""One task: `task show|cancel|retry|log ID [--wait] [--timeout SECONDS] [--json]`."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from phpborg.commands import Command as Base
from phpborg.commands import ExitCode, task_json
from phpborg.tasks import queue
from phpborg.tasks.context import log_path
from phpborg.tasks.models import Task


class Command(Base):
    """Show a task, its log, cancel it or queue it again. ID may be the beginning of an id."""

    help = (
        "show, cancel, retry or log of one task. Exit codes: 0 good, 1 failed (or incomplete, lost, refused), "
        "2 wrong usage or not found, 3 cancelled, 4 not ended yet (--wait ran out of time)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("action", choices=["show", "cancel", "retry", "log"])
        parser.add_argument("id", help="the id of a task, or its beginning")
        parser.add_argument("--wait", action="store_true", help="wait for the end (show, cancel, retry)")
        parser.add_argument("--timeout", type=float, help="seconds to wait at most")

    def handle(self, *args: Any, **options: Any) -> None:
        task = self._find_task(options["id"])
        if options["action"] == "log":
            self._log(task)
            return
        if options["action"] == "cancel":
            queue.cancel(task)
        elif options["action"] == "retry":
            task = queue.retry(task)
        if options["wait"]:
            task = self.wait_for(task, timeout=options["timeout"])
            self.report([task])
        if options["action"] == "show":
            self.report([task])
        self.emit(task_json(task), _("Task {id}: {state}").format(id=task.pk, state=task.state_enum.label))

    def _find_task(self, text: str) -> Task:
        from phpborg.commands import by_id

        found = by_id(Task.objects.all(), text)
        if len(found) != 1:
            words = _("“{id}” means more than one task.") if found else _("There is no task “{id}”.")
            raise CommandError(words.format(id=text), returncode=ExitCode.USAGE)
        return found[0]

    def _log(self, task: Task) -> None:
        try:
            text = log_path(task).read_text(errors="replace")
        except OSError:
            text = task.log_tail
        if self.output_json:
            self.emit({"task": str(task.pk), "log": text}, "")
            sys.exit(ExitCode.GOOD)
        self.stdout.write(text, ending="")
