"""One archive: `manage.py archive show|pin|unpin|trash|untrash|purge NAME`. Exit codes: see phpborg/commands.py."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from backups.management.commands.archives import archive_json
from backups.models import Archive
from backups.services import archives
from phpborg import commands
from phpborg.commands import ExitCode
from phpborg.errors import PhpBorgError
from phpborg.tasks.states import Trigger

ACTIONS = ("show", "pin", "unpin", "trash", "untrash", "purge")


class Command(commands.Command):
    """Show, protect or remove an archive."""

    help = "Show, pin, unpin, trash, untrash or purge one archive."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("action", choices=ACTIONS)
        parser.add_argument("archive", help="name or id")
        parser.add_argument("--yes", action="store_true", help="purge: do not ask; it cannot be undone")
        parser.add_argument("--wait", action="store_true", help="purge: wait until it has ended")

    def handle(self, *args: Any, **options: Any) -> None:
        archive = self.find(Archive.objects.select_related("repository", "job", "server"), options["archive"])
        action: str = options["action"]
        if action == "purge":
            self._purge(archive, sure=options["yes"], wait=options["wait"])
            return
        if action in ("pin", "unpin"):
            archives.set_pinned(archive=archive, pinned=action == "pin")
        elif action == "trash":
            archives.move_to_trash(archives=[archive])
        elif action == "untrash":
            archives.take_from_trash(archives=[archive])
        archive.refresh_from_db()
        data = {**archive_json(archive), "backup_config": archive.backup_config}
        self.emit(data, "\n".join(f"{key}: {value}" for key, value in data.items()))

    def _purge(self, archive: Archive, *, sure: bool, wait: bool) -> None:
        if not sure:
            question = _("“{archive}” would be removed from the repository for good. Repeat with --yes.")
            raise CommandError(question.format(archive=archive.name), returncode=ExitCode.USAGE)
        try:
            tasks = archives.purge(archives=[archive], trigger=Trigger.COMMAND)
        except PhpBorgError as error:
            self.fail(error, ExitCode.NOT_QUEUED)
        if wait:
            self.report([self.wait_for(task) for task in tasks])
        self.emit(commands.task_json(tasks[0]), str(tasks[0].pk))
