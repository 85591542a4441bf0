"""Archives: listed, pinned, put into the trash, taken out of it, removed for good by exact name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from backups.borg.repository import Deleted
from backups.job_errors import ArchiveInUse, ArchiveNotInTrash, ArchivePinned, RepositoryTrashed
from backups.models import Archive, Repository
from backups.services.repositories import borg_of, delete_archives
from phpborg.process import Stop
from phpborg.tasks.models import Task
from phpborg.tasks.queue import enqueue
from phpborg.tasks.states import Trigger

DELETE = "archive_delete"
DETAILS = "archive_details"
UNGRADED = "outside"
# What a list may be sorted by, and the columns behind it. Unknown sizes come last either way.
SORTS = ("started_at", "name", "original_bytes", "deduplicated_bytes", "files", "duration_seconds")


@dataclass(frozen=True)
class ArchiveFilter:
    """What a person looks for. `place`: present, missing or trash; empty for what can be restored or is gone."""

    text: str = ""
    server: str = ""
    job: str = ""
    repository: str = ""
    grade: str = ""
    since: date | None = None
    until: date | None = None
    place: str = ""
    sort: str = "-started_at"


def listing(wanted: ArchiveFilter | None = None) -> QuerySet[Archive]:
    """The archives that match, sorted, with what a list shows of their surroundings."""
    wanted = wanted or ArchiveFilter()
    rows = _placed(Archive.objects.select_related("job", "server", "repository"), wanted.place)
    for column in ("server", "job", "repository"):
        if value := getattr(wanted, column):
            rows = rows.filter(**{f"{column}_id": value})
    if wanted.text:
        rows = rows.filter(
            Q(name__icontains=wanted.text) | Q(job_name__icontains=wanted.text) | Q(server_name__icontains=wanted.text)
        )
    if wanted.grade:
        rows = rows.filter(grade="" if wanted.grade == UNGRADED else wanted.grade)
    zone = timezone.get_current_timezone()
    if wanted.since:
        rows = rows.filter(started_at__gte=datetime.combine(wanted.since, time(), tzinfo=zone))
    if wanted.until:
        rows = rows.filter(started_at__lt=datetime.combine(wanted.until + timedelta(days=1), time(), tzinfo=zone))
    return rows.order_by(*_order(wanted.sort))


def _placed(rows: QuerySet[Archive], place: str) -> QuerySet[Archive]:
    if place == "trash":
        return rows.filter(trashed_at__isnull=False)
    rows = rows.filter(trashed_at__isnull=True, repository__trashed_at__isnull=True)
    if place == "missing":
        return rows.filter(missing_at__isnull=False)
    return rows.filter(missing_at__isnull=True) if place == "present" else rows


def _order(sort: str) -> tuple[Any, ...]:
    name = sort.removeprefix("-")
    if name not in SORTS:
        name, sort = "started_at", "-started_at"
    if name == "started_at":
        return (sort, "pk")
    column = F(name).desc(nulls_last=True) if sort.startswith("-") else F(name).asc(nulls_last=True)
    return (column, "-started_at")


def set_pinned(*, archive: Archive, pinned: bool) -> None:
    """A pinned archive is never removed, by nobody, until it is unpinned."""
    Archive.objects.filter(pk=archive.pk).update(pinned=pinned)
    archive.pinned = pinned


def request_details(*, archive: Archive, by: Any = None) -> Task:
    """Queue the question for the sizes of an archive that was not made by a run of ours. Raises AlreadyActive."""
    return enqueue(
        DETAILS,
        params={"archive": str(archive.pk)},
        subject=archive.name,
        repository=archive.repository,
        archive=archive,
        exclusive=archive.repository.exclusive,
        by=by,
        unless_active=True,
    )


def load_details(archive: Archive) -> None:
    """Ask Borg for the sizes of one archive and keep them. Raises the errors of borg."""
    info = borg_of(archive.repository).info(archive.name)
    seconds = info.duration_seconds
    Archive.objects.filter(pk=archive.pk, borg_id=info.id).update(
        finished_at=info.ended_at,
        original_bytes=info.original_size,
        compressed_bytes=info.compressed_size,
        deduplicated_bytes=info.deduplicated_size,
        files=info.nfiles,
        duration_seconds=seconds,
        rate_average=info.original_size / seconds if seconds > 0 else None,
    )


def users_of(archive: Archive) -> list[str]:
    """Who reads the archive now: open browsers, restores and tasks, in words."""
    sessions = archive.browse_sessions.filter(state__in=("opening", "open")).count()  # type: ignore[attr-defined]
    restores = archive.restores.filter(state="started").count()  # type: ignore[attr-defined]
    tasks = Task.objects.active().filter(archive_ref=archive.pk).exclude(kind__in=(DELETE, DETAILS))
    return ["browse"] * bool(sessions) + ["restore"] * bool(restores) + [task.kind for task in tasks[:3]]


def ensure_removable(archive: Archive) -> None:
    """Raise ArchivePinned or ArchiveInUse."""
    if archive.pinned:
        raise ArchivePinned(archive=archive.name)
    users = users_of(archive)
    if users:
        raise ArchiveInUse(", ".join(dict.fromkeys(users)), archive=archive.name)


def move_to_trash(*, archives: Iterable[Archive]) -> int:
    """First step of removal; nothing leaves the repository yet. All or none. Raises ArchivePinned, ArchiveInUse."""
    rows = list(archives)
    with transaction.atomic():
        for archive in rows:
            ensure_removable(archive)
        return Archive.objects.filter(pk__in=[row.pk for row in rows], pinned=False, trashed_at__isnull=True).update(
            trashed_at=timezone.now()
        )


def take_from_trash(*, archives: Iterable[Archive]) -> int:
    """Undo `move_to_trash`: nothing was lost."""
    return Archive.objects.filter(pk__in=[row.pk for row in archives]).update(trashed_at=None)


def purge(*, archives: Iterable[Archive], by: Any = None, trigger: Trigger = Trigger.MANUAL) -> list[Task]:
    """Second step: queue the removal, one task for each repository. Cannot be undone.

    Raises ArchiveNotInTrash, ArchivePinned, ArchiveInUse, AlreadyActive; then nothing is queued.
    """
    rows = list(archives)
    by_repository: dict[Repository, list[Archive]] = {}
    for archive in rows:
        if archive.trashed_at is None:
            raise ArchiveNotInTrash(archive=archive.name)
        ensure_removable(archive)
        by_repository.setdefault(archive.repository, []).append(archive)
    with transaction.atomic():
        return [
            enqueue(
                DELETE,
                params={"archives": sorted(str(archive.pk) for archive in group)},
                subject=group[0].name if len(group) == 1 else repository.name,
                repository=repository,
                archive=group[0] if len(group) == 1 else None,
                server=group[0].server if len(group) == 1 else None,
                exclusive=repository.exclusive,
                by=by,
                trigger=trigger,
                unless_active=True,
            )
            for repository, group in by_repository.items()
        ]


def delete_now(*, repository: Repository, archives: Sequence[Archive], stop: Stop | None = None) -> Deleted:
    """Remove from Borg by exact name, see that they are gone, then drop the rows. Called by the task.

    What came out of the trash, was pinned or opened meanwhile stays. Raises the errors of borg.
    """
    if repository.trashed_at is not None:
        raise RepositoryTrashed(repository=repository.name)
    rows = [archive for archive in archives if archive.trashed_at is not None and not archive.pinned]
    for archive in rows:
        if users := users_of(archive):
            raise ArchiveInUse(", ".join(dict.fromkeys(users)), archive=archive.name)
    if not rows:
        return Deleted((), ())
    deleted = delete_archives(repository, [archive.name for archive in rows], stop=stop)
    gone = {*deleted.names, *deleted.missing}
    Archive.objects.filter(pk__in=[archive.pk for archive in rows if archive.name in gone]).delete()
    return deleted
