"""The end of a safety archive: it goes with the protection that it belongs to, unless somebody has come to want it.

It is written down, with the end of its window, before borg makes it. It goes by the same door as every archive: into
the trash and then by a task that removes it, with their guards.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from backups.job_errors import ArchiveInUse, ArchivePinned
from backups.models import Archive
from backups.services import archives
from dockerops.models import DockerRestore
from phpborg.tasks import leases
from phpborg.tasks.context import TaskContext
from phpborg.tasks.models import Lease
from phpborg.tasks.states import Trigger

LEASE = "docker_safety"


def name_of(token: str) -> str:
    """What it is called as long as nobody gives it another name."""
    return f"before-{token[:8]}"


def hold(context: TaskContext, restore: DockerRestore, name: str, until: datetime) -> None:
    """Write down that it is about to be made, and until when it stays."""
    assert restore.archive is not None
    repository = str(restore.archive.repository_id)
    context.hold(LEASE, keep_until=until, restore=str(restore.pk), repository=repository, archive=name)


def held(restore: DockerRestore) -> list[Lease]:
    """What says that it will go."""
    return list(Lease.objects.held().filter(kind=LEASE, data__restore=str(restore.pk)))


def keep_until(restore: DockerRestore, until: datetime) -> None:
    """It stays as long as what is kept aside."""
    Lease.objects.held().filter(kind=LEASE, data__restore=str(restore.pk)).update(keep_until=until)


def end(restore: DockerRestore) -> None:
    """The protection has ended: so has it."""
    for lease in held(restore):
        let_go(lease.data)
        leases.cross_out(lease)


def let_go(data: Mapping[str, Any]) -> None:
    """Queue its removal. One that somebody pinned, proved, renamed or uses stays, and so does one in the trash."""
    for archive in _made(data):
        if why_it_stays(archive):
            continue
        try:
            # Together: it never lies in the trash without the task that takes it out of the repository.
            with transaction.atomic():
                archives.move_to_trash(archives=[archive])
                archive.refresh_from_db()
                archives.purge(archives=[archive], trigger=Trigger.SYSTEM)
        except (ArchivePinned, ArchiveInUse):
            continue


def _made(data: Mapping[str, Any]) -> QuerySet[Archive]:
    """By our record; or by its name, where the task was killed before it was recorded and it was found later."""
    ours = Q(backup_config__before_docker_restore=data["restore"])
    restore = DockerRestore.objects.filter(pk=data["restore"]).first()
    if restore is not None:
        ours |= Q(name=data["archive"], job=None, backup_config={}, started_at__gte=restore.created_at)
    found = Archive.objects.filter(ours, repository=data["repository"], repository__trashed_at=None)
    return found.filter(missing_at=None, trashed_at=None)


def why_it_stays(archive: Archive) -> str:
    """In words; "" for one that goes with its window."""
    expected = name_of(_token_of(archive)) if _token_of(archive) else archive.name
    if archive.pinned:
        return _("it is pinned.")
    if archive.proven_at is not None:
        return _("it is proven.")
    if archive.name != expected:
        return _("somebody gave it another name.")
    if archives.users_of(archive) or archive.docker_restores.filter(state__in=_USING).exists():  # type: ignore[attr-defined]
        return _("it is in use.")
    return ""


_USING = (DockerRestore.State.DRAFT, DockerRestore.State.STARTED)


def _token_of(archive: Archive) -> str:
    key = archive.backup_config.get("before_docker_restore")
    restore = DockerRestore.objects.filter(pk=key).first() if key else None
    return restore.token if restore is not None else ""
