"""Restore: `manage.py restore ARCHIVE PATH… --to DIR|--in-place [--server S] [--on-conflict R] [--wait] [--json]`."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from backups.models import Archive
from phpborg import commands
from phpborg.commands import ExitCode
from phpborg.tasks import runner
from phpborg.tasks.states import Trigger
from recovery import paths
from recovery.models import Restore
from recovery.services import restores
from recovery.services.plan import plan_restore
from servers.models import Server


class Command(commands.Command):
    """Plan a restore, show it (--dry-run) or carry it out."""

    help = "Restore files and folders of an archive."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("archive", help="name or id; “latest:JOB” for the newest good archive of a job")
        parser.add_argument("paths", nargs="*", metavar="PATH", help="as /etc/nginx; none with --whole")
        parser.add_argument("--whole", action="store_true", help="the whole archive")
        where = parser.add_mutually_exclusive_group(required=True)
        where.add_argument("--to", default="", metavar="DIR", help="an absolute directory on the server")
        where.add_argument("--in-place", action="store_true")
        parser.add_argument("--server", default="", help="another server than the one the archive is of")
        parser.add_argument("--on-conflict", choices=Restore.Conflict.values, default="keep")
        parser.add_argument("--dry-run", action="store_true", help="show the plan and stop")
        parser.add_argument("--wait", action="store_true", help="wait for the end")
        parser.add_argument("--timeout", type=float, default=None, help="seconds for --wait")
        parser.add_argument("--here", action="store_true", help="run in this process, without a worker")

    def handle(self, *args: Any, **options: Any) -> None:
        archive = self._archive(options["archive"])
        server = self.find(Server.objects.all(), options["server"]) if options["server"] else archive.server
        if server is None:
            raise CommandError(_("Name a server: the archive belongs to none."), returncode=ExitCode.USAGE)
        if options["whole"] == bool(options["paths"]):
            raise CommandError(_("Give paths, or --whole."), returncode=ExitCode.USAGE)
        tokens = [""] if options["whole"] else [paths.token(os.fsencode(path).strip(b"/")) for path in options["paths"]]
        choices = {
            "archive": archive,
            "server": server,
            "selection": tokens,
            "destination": "in_place" if options["in_place"] else "other_path",
            "target_path": options["to"],
            "conflict": options["on_conflict"],
        }
        plan = plan_restore(**choices)
        if options["dry_run"]:
            lines = [f"{item.shown_source} → {item.shown_final}" for item in plan.items]
            self.emit(plan.as_json(), "\n".join([*lines, "", *(step.sentence for step in plan.steps)]))
            return
        _row, task = restores.create_and_start(**choices, trigger=Trigger.COMMAND)
        if options["here"]:
            runner.run(str(task.pk))
            task.refresh_from_db()
        elif options["wait"]:
            task = self.wait_for(task, timeout=options["timeout"])
        else:
            self.emit({"task": str(task.pk)}, str(task.pk))
            return
        self.report([task])

    def _archive(self, text: str) -> Archive:
        rows = Archive.objects.select_related("repository__pool", "server", "job")
        if text.startswith("latest:"):
            job = text.removeprefix("latest:")
            found = rows.good().filter(job_name=job).first()  # type: ignore[attr-defined]
            if found is None:
                raise CommandError(
                    _("There is no good archive of the job “{job}”.").format(job=job), returncode=ExitCode.USAGE
                )
            return found  # type: ignore[no-any-return]
        return self.find(rows, text)
