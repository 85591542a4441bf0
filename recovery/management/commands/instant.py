"""Instant Recovery: `manage.py instant look|start|list|stop|extend …`."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import gettext as _

from backups.models import Archive
from phpborg import commands
from phpborg.commands import ExitCode
from phpborg.tasks import runner
from phpborg.tasks.models import Task
from phpborg.tasks.states import Trigger
from recovery.engines.base import Found
from recovery.forms_session import MOST_HOURS
from recovery.models import Session
from recovery.paths import shown
from recovery.services import looking, session_plan, sessions
from servers.models import Server


def _hours(text: str) -> int:
    """As many as a page allows."""
    hours = int(text)
    if not 1 <= hours <= MOST_HOURS:
        raise argparse.ArgumentTypeError(f"{hours} is not between 1 and {MOST_HOURS}")
    return hours


class Command(commands.Command):
    """A database runs straight out of an archive; nothing is copied."""

    help = "Instant Recovery: run a database out of an archive."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        actions = parser.add_subparsers(dest="action", required=True)

        def action(name: str, text: str) -> CommandParser:
            made: CommandParser = actions.add_parser(name, help=text)
            # SUPPRESS: given before the action, it counts too.
            made.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="machine-readable output")
            return made

        look, start = action("look", "which databases an archive holds"), action("start", "start one of them")
        for one in (look, start):
            one.add_argument("archive", help="name or id")
            one.add_argument("--here", action="store_true", help="look in this process, without a worker")
            one.add_argument("--timeout", type=float, default=300, help="seconds to wait")
        start.add_argument("--directory", default="", help="its data directory, as “look” shows it")
        start.add_argument("--server", default="", help="where it runs; default: this machine")
        start.add_argument("--docker", default="", metavar="SOCKET", help="the socket of the Docker engine there")
        start.add_argument("--image", default="", help="another image than the configured one")
        start.add_argument("--no-fetch", action="store_true", help="only with an image that is there already")
        start.add_argument("--any-version", action="store_true", help="although the image's version does not fit")
        start.add_argument("--writable", action="store_true", help="a sandbox that is thrown away")
        start.add_argument("--dry-run", action="store_true", help="show the plan and stop")
        start.add_argument("--hours", type=_hours, default=None, help="how long it lives")
        action("list", "sessions, the newest first").add_argument("--all", action="store_true", help="ended ones too")
        action("stop", "stop one").add_argument("session", help="id")
        extend = action("extend", "let one live so many hours from now on")
        extend.add_argument("session", help="id")
        extend.add_argument("hours", type=_hours)

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        getattr(self, f"_{action}")(options)

    # --- actions -----------------------------------------------------------------------------------

    def _look(self, options: dict[str, Any]) -> None:
        found = self._found(self._archive(options), options)
        rows = [
            {
                "directory": shown(one.path) or "/",
                "product": str(one.product),
                "version": one.version,
                "consistency": str(one.consistency),
                "notes": [note.sentence for note in one.notes],
            }
            for one in found
        ]
        headers = [_("Data directory"), _("Product"), _("Version"), _("State of the files")]
        lines = [[row["directory"], row["product"], row["version"], row["consistency"]] for row in rows]
        self.emit({"databases": rows}, self.table(headers, lines))

    def _start(self, options: dict[str, Any]) -> None:
        archive = self._archive(options)
        one = self._one(self._found(archive, options), options["directory"])
        server = self._server(options["server"])
        session = sessions.draft(
            archive=archive,
            found=one,
            server=server,
            docker=options["docker"],
            read_only=not options["writable"],
            image=options["image"],
            openly=options["any_version"],
            fetch=not options["no_fetch"],
        )
        if options["dry_run"]:
            self._show_plan(session)
            return
        session.save()
        sessions.start(session=session, hours=options["hours"], trigger=Trigger.COMMAND)
        self._until_ready(session, options["timeout"])
        data = self._row(session) | {"login": session.login, "password": session.password.reveal()}
        lines = [f"{name}: {data[name]}" for name in ("address", "port", "login", "password")]
        self.emit(data, "\n".join(lines))

    def _show_plan(self, session: Session) -> None:
        lines = []
        for step in session_plan.steps(session):
            lines += [step.sentence, *([f"    {step.command}"] if step.command else [])]
        self.emit({"steps": session_plan.as_json(session)}, "\n".join(lines))

    def _list(self, options: dict[str, Any]) -> None:
        rows = Session.objects.exclude(state=Session.State.DRAFT)
        found = [self._row(one) for one in (rows if options["all"] else rows.active())]
        headers = [_("Id"), _("Product"), _("Version"), _("State"), _("Port"), _("Archive")]
        keys = ("id", "product", "version", "state", "port", "archive")
        self.emit({"sessions": found}, self.table(headers, [[row[key] for key in keys] for row in found]))

    def _stop(self, options: dict[str, Any]) -> None:
        session = self.find(Session.objects.all(), options["session"])
        sessions.stop(session=session)
        task = Task.objects.filter(pk=session.task_ref).first() if session.task_ref else None
        if task is not None:
            self.wait_for(task, timeout=120)
        session.refresh_from_db()
        self.emit(self._row(session), str(session.get_state_display()))

    def _extend(self, options: dict[str, Any]) -> None:
        session = self.find(Session.objects.all(), options["session"])
        sessions.extend(session=session, hours=options["hours"])
        self.emit(self._row(session), str(session.expires_at))

    # --- what they share -----------------------------------------------------------------------------

    def _archive(self, options: dict[str, Any]) -> Archive:
        return self.find(Archive.objects.select_related("repository__pool", "job", "server"), options["archive"])

    def _found(self, archive: Archive, options: dict[str, Any]) -> tuple[Found, ...]:
        known = looking.answer_of(archive)
        if known is not None:
            return known
        task = looking.ask(archive=archive, trigger=Trigger.COMMAND)
        if options["here"]:
            runner.run(str(task.pk))
        task = self.wait_for(task, timeout=options["timeout"])
        if commands.exit_code_of(task) is not ExitCode.GOOD:
            self.report([task])
            sys.exit(commands.exit_code_of(task))
        return looking.found_by(task)

    def _one(self, found: tuple[Found, ...], directory: str) -> Found:
        matching = [one for one in found if not directory or (shown(one.path) or "/") == directory]
        if len(matching) != 1:
            known = ", ".join(shown(one.path) or "/" for one in found)
            raise CommandError(
                _("Name one of the data directories with --directory: {names}.").format(names=known),
                returncode=ExitCode.USAGE,
            )
        return matching[0]

    def _server(self, name: str) -> Server:
        if name:
            return self.find(Server.objects.all(), name)
        server = Server.objects.filter(kind=Server.Kind.LOCAL).first()
        if server is None:
            raise CommandError(_("This machine is no server of phpBorg yet: name one."), returncode=ExitCode.USAGE)
        return server

    def _until_ready(self, session: Session, seconds: float) -> None:
        until = time.monotonic() + seconds
        while session.state == Session.State.STARTING and time.monotonic() < until:
            time.sleep(0.1)
            session.refresh_from_db()
        if session.state == Session.State.READY:
            return
        assert session.task_ref is not None
        task = Task.objects.get(pk=session.task_ref)
        if session.state == Session.State.STARTING:
            raise CommandError(_("The session is not ready yet: is a worker running?"), returncode=ExitCode.NOT_QUEUED)
        self.report([self.wait_for(task, timeout=30)])
        sys.exit(ExitCode.FAILED)

    def _row(self, session: Session) -> dict[str, Any]:
        names = ("product", "version", "state", "image", "address", "port", "upper_bytes", "read_bytes", "connections")
        return {
            "id": str(session.pk),
            "archive": session.archive_name,
            "server": session.server_name,
            "directory": session.directory,
            "read_only": session.is_read_only,
            "expires_at": session.expires_at,
            **{name: getattr(session, name) for name in names},
        }
