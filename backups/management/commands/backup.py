"""Run a backup job: `manage.py backup JOB [--wait] [--dry-run] [--here] [--json]`.

Exit codes: see phpborg/commands.py.
"""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from types import FrameType
from typing import Any

from django.core.management.base import CommandParser

from backups.models import BackupJob
from backups.services import runs
from backups.services.plan import BackupPlan, plan_backup
from phpborg import commands
from phpborg.commands import ExitCode
from phpborg.errors import PhpBorgError
from phpborg.tasks import queue, runner
from phpborg.tasks.errors import TaskNotCancellable
from phpborg.tasks.models import Task
from phpborg.tasks.states import Trigger


class Command(commands.Command):
    """Queue a backup, or show what it would do."""

    help = "Run a backup job now."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("job", help="name or id of the job")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--wait", action="store_true", help="wait until it has ended; the exit code tells how")
        how.add_argument("--here", action="store_true", help="run it in this process instead of a worker")
        how.add_argument("--dry-run", action="store_true", help="show the plan, change nothing")
        parser.add_argument("--timeout", type=float, default=None, help="with --wait: at most so many seconds")

    def handle(self, *args: Any, **options: Any) -> None:
        job = self.find(BackupJob.objects.select_related("server", "repository"), options["job"])
        if options["dry_run"]:
            plan = plan_backup(job=job)
            self.emit(plan.as_json(), _as_text(plan))
            return
        try:
            task = runs.start_backup(job=job, trigger=Trigger.COMMAND)
        except PhpBorgError as error:
            self.fail(error, ExitCode.NOT_QUEUED)
        if options["here"]:
            self._run_here(task)
        if options["wait"] or options["here"]:
            self.report([self.wait_for(task, timeout=options["timeout"])])
        self.emit(commands.task_json(task), str(task.pk))

    def _run_here(self, task: Task) -> None:
        """Without worker and Redis; waits while another run writes into the repository. Ctrl-C cancels."""

        def cancel(_number: int, _frame: FrameType | None) -> None:
            with suppress(TaskNotCancellable):
                queue.cancel(task)

        before = signal.signal(signal.SIGINT, cancel)
        try:
            runner.run(str(task.pk))
            while Task.objects.pending().filter(pk=task.pk).exists():
                time.sleep(1)
                runner.run(str(task.pk))
        finally:
            signal.signal(signal.SIGINT, before)


def _as_text(plan: BackupPlan) -> str:
    lines = []
    for number, step in enumerate(plan.steps, 1):
        lines.append(f"{number}. {step.title}: {step.sentence}")
        if step.argv:
            lines.append(f"     $ {step.command}")
        if step.undo:
            lines.append(f"     ↶ {step.undo}")
    return "\n".join(lines)
