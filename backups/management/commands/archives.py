"""List archives: `manage.py archives [--job J] [--server S] [--repository R] [--limit N] [--json]`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils.translation import gettext as _

from backups.models import Archive, BackupJob, Repository
from backups.services import archives
from phpborg import commands
from phpborg.tasks.states import State
from phpborg.ui.format import byte_size
from servers.models import Server


class Command(commands.Command):
    """Newest first."""

    help = "List the archives, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--job", default="")
        parser.add_argument("--server", default="")
        parser.add_argument("--repository", default="")
        parser.add_argument("--place", choices=["present", "missing", "trash", "all"], default="all")
        parser.add_argument("--limit", type=int, default=100)

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = archives.ArchiveFilter(
            job=str(self.find(BackupJob.objects.all(), options["job"]).pk) if options["job"] else "",
            server=str(self.find(Server.objects.all(), options["server"]).pk) if options["server"] else "",
            repository=str(self.find(Repository.objects.all(), options["repository"]).pk)
            if options["repository"]
            else "",
            place="" if options["place"] == "all" else options["place"],
        )
        rows = list(archives.listing(wanted)[: max(options["limit"], 0)])
        headers = [_("Archive"), _("Server"), _("Point in time (UTC)"), _("Outcome"), _("Original size"), _("New data")]
        lines = [
            [
                archive.name,
                archive.server_name,
                f"{archive.started_at:%Y-%m-%d %H:%M}",
                _("Gone from Borg") if archive.missing_at else State(archive.grade).label if archive.grade else None,
                byte_size(archive.original_bytes) if archive.original_bytes is not None else None,
                byte_size(archive.deduplicated_bytes) if archive.deduplicated_bytes is not None else None,
            ]
            for archive in rows
        ]
        self.emit([archive_json(archive) for archive in rows], self.table(headers, lines))


def archive_json(archive: Archive) -> dict[str, Any]:
    """An archive for `--json`."""
    return {
        "id": str(archive.pk),
        "name": archive.name,
        "borg_id": archive.borg_id,
        "repository": archive.repository.name,
        "job": archive.job_name,
        "server": archive.server_name,
        "started_at": archive.started_at.isoformat(),
        "finished_at": archive.finished_at.isoformat() if archive.finished_at else None,
        "grade": archive.grade or None,
        "findings_count": archive.findings_count,
        "files": archive.files,
        "original_bytes": archive.original_bytes,
        "compressed_bytes": archive.compressed_bytes,
        "deduplicated_bytes": archive.deduplicated_bytes,
        "duration_seconds": archive.duration_seconds,
        "pinned": archive.pinned,
        "missing_at": archive.missing_at.isoformat() if archive.missing_at else None,
        "trashed_at": archive.trashed_at.isoformat() if archive.trashed_at else None,
    }
