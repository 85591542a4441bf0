"""Restore files: `manage.py restore ARCHIVE PATH… --to DIR|--in-place [--server S] [--on-conflict R] [--wait]`.

Or load dumps: `manage.py restore ARCHIVE --database NAME --into SERVER --instance ID [--as NAME] [--replace]`.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from backups.models import Archive
from backups.services.credentials import login
from phpborg import commands
from phpborg.commands import ExitCode
from phpborg.tasks import runner
from phpborg.tasks.models import Task
from phpborg.tasks.states import Trigger
from recovery import paths
from recovery.models import Restore
from recovery.services import restores
from recovery.services.dumps import record_of
from recovery.services.load_plan import plan_load
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
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--to", default="", metavar="DIR", help="an absolute directory on the server")
        where.add_argument("--in-place", action="store_true")
        parser.add_argument(
            "--database", action="append", default=[], metavar="NAME", help="a dump to load; may be repeated"
        )
        parser.add_argument("--accounts", action="store_true", help="load roles or users too")
        parser.add_argument(
            "--into", default="", metavar="SERVER", help="the server that gets it; default: the archive's"
        )
        parser.add_argument(
            "--instance", default="", metavar="ID", help="its database server, as “server capabilities” says"
        )
        parser.add_argument("--as", default="", dest="new_name", metavar="NAME", help="load it under another name")
        parser.add_argument("--replace", action="store_true", help="what is in it now is lost")
        parser.add_argument("--user", default="", help="a login; its password is read from standard input")
        parser.add_argument("--server", default="", help="another server than the one the archive is of")
        parser.add_argument("--on-conflict", choices=Restore.Conflict.values, default="keep")
        parser.add_argument("--dry-run", action="store_true", help="show the plan and stop")
        parser.add_argument("--wait", action="store_true", help="wait for the end")
        parser.add_argument("--timeout", type=float, default=None, help="seconds for --wait")
        parser.add_argument("--here", action="store_true", help="run in this process, without a worker")

    def handle(self, *args: Any, **options: Any) -> None:
        archive = self._archive(options["archive"])
        if options["database"] or options["accounts"]:
            self._load(archive, options)
            return
        if not options["to"] and not options["in_place"]:
            raise CommandError(_("Say where to: --to DIR, --in-place, or --database."), returncode=ExitCode.USAGE)
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
        self._follow(task, options)

    def _load(self, archive: Archive, options: dict[str, Any]) -> None:
        """Dumps into a running server."""
        if any(options[name] for name in ("server", "to", "in_place", "paths", "whole")):
            text = _("--server, --to, --in-place, --whole and paths are for files; a dump goes --into a server.")
            raise CommandError(text, returncode=ExitCode.USAGE)
        server = self.find(Server.objects.all(), options["into"]) if options["into"] else archive.server
        if server is None or not options["instance"]:
            raise CommandError(_("Name the server (--into) and its database server (--instance)."), returncode=2)
        choices: dict[str, Any] = {
            "archive": archive,
            "server": server,
            "instance": options["instance"],
            "chosen": self._chosen(archive, options),
            "replace": options["replace"],
            "new_name": options["new_name"],
        }
        if options["dry_run"]:
            plan = plan_load(**choices, user=options["user"])
            lines = [f"{item.dump.name} → {item.target}" for item in plan.items]
            steps = [
                text
                for step in plan.steps
                for text in (step.sentence, step.command and f"    $ {step.command}")
                if text
            ]
            self.emit(plan.as_json(), "\n".join([*lines, "", *steps]))
            return
        given = login(options["user"], sys.stdin.readline().rstrip("\n")) if options["user"] else None
        _row, task = restores.load_and_start(**choices, login=given, trigger=Trigger.COMMAND)
        self._follow(task, options)

    def _chosen(self, archive: Archive, options: dict[str, Any]) -> list[str]:
        record = record_of(archive)
        dumps = record.dumps if record is not None else ()
        found = [dump.key for dump in dumps if dump.kind == "database" and dump.name in options["database"]]
        missing = set(options["database"]) - {dump.name for dump in dumps if dump.kind == "database"}
        if missing:
            text = _("The archive has no dump of “{name}”.").format(name=min(missing))
            raise CommandError(text, returncode=ExitCode.USAGE)
        return found + [dump.key for dump in dumps if dump.kind != "database" and options["accounts"]]

    def _follow(self, task: Task, options: dict[str, Any]) -> None:
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
