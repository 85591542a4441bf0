"""Look into an archive: `manage.py browse ARCHIVE [PATH] [--close] [--page N] [--json]`."""

from __future__ import annotations

import os
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
from recovery import paths, tree
from recovery.models import BrowseSession
from recovery.services import browse


class Command(commands.Command):
    """Open the archive when it is closed, and list one folder of it."""

    help = "List a folder of an archive."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("archive", help="name or id")
        parser.add_argument("path", nargs="?", default="")
        parser.add_argument("--page", type=int, default=1)
        parser.add_argument("--size", type=int, default=1000, help="entries a page")
        parser.add_argument("--close", action="store_true", help="close it afterwards")
        parser.add_argument("--here", action="store_true", help="open it in this process, without a worker")
        parser.add_argument("--timeout", type=float, default=120, help="seconds to wait until it is open")

    def handle(self, *args: Any, **options: Any) -> None:
        archive = self.find(Archive.objects.select_related("repository__pool", "job", "server"), options["archive"])
        session = browse.open_archive(archive=archive, trigger=Trigger.COMMAND)
        if options["here"] and session.state == BrowseSession.State.OPENING:
            runner.run(str(session.task_ref))
        self._wait(session, options["timeout"])
        path = paths.parse(paths.token(os.fsencode(options["path"])))
        folder = tree.list_folder(browse.mountpoint_of(session), path, page=options["page"], size=options["size"])
        rows = [
            {
                "path": entry.token,
                "name": entry.shown_name,
                "kind": entry.kind,
                "size_bytes": entry.size_bytes,
                "modified_at": entry.modified_at,
                "permissions": entry.permissions,
                "uid": entry.uid,
                "gid": entry.gid,
            }
            for entry in folder.entries
        ]
        lines = [[row["permissions"], row["uid"], row["gid"], row["size_bytes"], row["name"]] for row in rows]
        headers = [_("Rights"), _("Owner"), _("Group"), _("Size"), _("Name")]
        data = {"archive": archive.name, "page": folder.page, "pages": folder.pages, "total": folder.total}
        self.emit({**data, "entries": rows}, self.table(headers, lines))
        if options["close"]:
            browse.close(session=session)

    def _wait(self, session: BrowseSession, seconds: float) -> None:
        until = time.monotonic() + seconds
        while session.state == BrowseSession.State.OPENING and time.monotonic() < until:
            time.sleep(0.2)
            session.refresh_from_db()
        session.refresh_from_db()
        if session.state == BrowseSession.State.OPENING:
            raise CommandError(_("The archive is not open yet: is a worker running?"), returncode=ExitCode.NOT_QUEUED)
        if session.state != BrowseSession.State.OPEN and session.task_ref is not None:
            self.report([Task.objects.get(pk=session.task_ref)])
