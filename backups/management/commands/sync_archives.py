"""Compare repositories with Borg: `manage.py sync_archives [REPOSITORY… | --all] [--wait] [--json]`.

Archives that only Borg knows are recorded, those that are gone are marked. Exit codes: see phpborg/commands.py.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from backups.models import Repository
from backups.services import sync
from phpborg import commands
from phpborg.commands import ExitCode
from phpborg.errors import PhpBorgError
from phpborg.tasks.errors import AlreadyActive
from phpborg.tasks.models import Task
from phpborg.tasks.states import Trigger


class Command(commands.Command):
    """Orphan recovery on demand."""

    help = "Record archives that only Borg knows, and mark those that are gone."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("repository", nargs="*", help="name or id")
        parser.add_argument("--all", action="store_true", help="every repository that is not in the trash")
        parser.add_argument("--wait", action="store_true", help="wait until all have ended; the exit code tells how")
        parser.add_argument("--timeout", type=float, default=None, help="with --wait: at most so many seconds for each")

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["repository"]) == options["all"]:
            raise CommandError(_("Name repositories, or give --all."), returncode=ExitCode.USAGE)
        rows = Repository.objects.live()
        chosen = list(rows) if options["all"] else [self.find(rows, name) for name in options["repository"]]
        tasks = [self._request(repository, all_of_them=options["all"]) for repository in chosen]
        queued = [task for task in tasks if task is not None]
        if options["wait"]:
            self.report([self.wait_for(task, timeout=options["timeout"]) for task in queued])
        self.emit([commands.task_json(task) for task in queued], "\n".join(str(task.pk) for task in queued))

    def _request(self, repository: Repository, *, all_of_them: bool) -> Task | None:
        try:
            return sync.request_sync(repository=repository, trigger=Trigger.COMMAND)
        except AlreadyActive as error:
            if not all_of_them:
                self.fail(error, ExitCode.NOT_QUEUED)
        except PhpBorgError as error:
            self.fail(error, ExitCode.NOT_QUEUED)
        return None
