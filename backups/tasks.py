"""The kinds of task of this app: what runs in the workers. The work itself is in the services."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from backups import tasks_storage  # noqa: F401  (registers the kinds of pools and repositories)
from backups.errors import ArchiveMissing
from backups.models import Archive, Repository
from backups.services import archives
from backups.services.backup_run import carry_out
from phpborg.tasks.context import TaskContext
from phpborg.tasks.registry import Outcome, kind


@kind("backup", label=_("Backup"), queue="backup")
def run_backup(context: TaskContext) -> Outcome:
    """One run of a job."""
    return carry_out(context)


@kind(archives.DELETE, label=_("Archive deletion"), queue="system")
def delete_archives(context: TaskContext) -> Outcome:
    """Remove archives from their repository by exact name."""
    context.phase("deleting")
    rows = list(Archive.objects.filter(pk__in=context.params["archives"]).order_by("started_at"))
    repository = Repository.objects.get(pk=str(context.task.repository_ref))
    with context.step("delete", _("Remove from the repository")) as row:
        deleted = archives.delete_now(repository=repository, archives=rows, stop=context.stop)
        row["detail"] = "\n".join(deleted.names[:50])
        for name in deleted.names:
            context.log(f"removed {name}")
        for name in deleted.missing:
            context.log(f"was already gone: {name}")
    return Outcome(result={"deleted": list(deleted.names), "missing": list(deleted.missing)})


@kind(archives.DETAILS, label=_("Sizes of an archive"), queue="system")
def load_archive_details(context: TaskContext) -> Outcome:
    """Ask Borg for what is not known of an archive."""
    context.phase("measuring")
    archive = Archive.objects.select_related("repository").filter(pk=context.params["archive"]).first()
    if archive is None:
        raise ArchiveMissing(archive=context.task.subject)
    archives.load_details(archive)
    return Outcome()
