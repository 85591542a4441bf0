"""Open archives: mounted from a lock-free view by a worker, read by the pages, closed when idle."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from backups.borg import view
from backups.models import Archive
from backups.services import pools
from phpborg.mounts import is_mounted
from phpborg.tasks import leases
from phpborg.tasks.models import Lease, LeaseQuerySet, Task
from phpborg.tasks.queue import enqueue
from phpborg.tasks.states import Trigger
from recovery.errors import ArchiveGone, MountUnavailable, NotOpen
from recovery.models import BrowseSession

State = BrowseSession.State
TOUCH_EVERY = timedelta(seconds=30)


def keep_until() -> Any:
    """When an archive that nobody looks at is closed."""
    return timezone.now() + timedelta(seconds=settings.BROWSE_IDLE_SECONDS)


def active(archive: Archive) -> BrowseSession | None:
    """The session that is opening or open, if any."""
    return BrowseSession.objects.filter(archive=archive, state__in=[State.OPENING, State.OPEN]).first()


def open_archive(*, archive: Archive, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> BrowseSession:
    """The archive's open session; a new one is queued when there is none. Raises ArchiveGone."""
    if archive.missing_at or archive.trashed_at or archive.repository.trashed_at:
        raise ArchiveGone(name=archive.name)
    session = active(archive)
    if session and not _is_dead(session):
        touch(session=session)
        return session
    if session:
        fail(session=session)
    try:
        with transaction.atomic():
            session = BrowseSession.objects.create(archive=archive)
            task = enqueue(
                "browse_open",
                params={"session": str(session.pk)},
                subject=archive.name,
                server=archive.server,
                job=archive.job,
                repository=archive.repository,
                archive=archive,
                by=by,
                trigger=trigger,
            )
            BrowseSession.objects.filter(pk=session.pk).update(task_ref=task.pk)
            session.task_ref = task.pk
    except IntegrityError:  # somebody else opened it in the same moment
        session = active(archive)
        if session is None:
            raise
    return session


def _is_dead(session: BrowseSession) -> bool:
    if session.state == State.OPEN:
        return not view.is_alive(Path(session.mountpoint))
    return session.task_ref is None or not Task.objects.active().filter(pk=session.task_ref).exists()


def mounts_directory() -> Path:
    """Where archives are mounted on this host."""
    return leases.private_directory("mounts")


def opened(*, session: BrowseSession, mountpoint: Path) -> None:
    """The mount is there. A session that was closed meanwhile stays closed."""
    BrowseSession.objects.filter(pk=session.pk, state=State.OPENING).update(
        state=State.OPEN, mountpoint=str(mountpoint), opened_at=timezone.now(), last_used_at=timezone.now()
    )


def mountpoint_of(session: BrowseSession) -> Path:
    """Where an open archive can be read. Raises NotOpen, MountUnavailable."""
    if session.state != State.OPEN:
        raise NotOpen()
    path = Path(session.mountpoint)
    if not view.is_alive(path):
        if not is_mounted(path) and view.mount_pid(path) is not None:
            raise MountUnavailable(str(path))
        fail(session=session)
        raise NotOpen()
    touch(session=session)
    return path


def leases_of(session: BrowseSession) -> LeaseQuerySet:
    """What the session still holds: its view and its mount."""
    return Lease.objects.held().filter(task_id=session.task_ref) if session.task_ref else Lease.objects.none()


def touch(*, session: BrowseSession) -> None:
    """Somebody looks: keep it open. Written at most twice a minute."""
    now = timezone.now()
    if session.state == State.OPEN and now - session.last_used_at < TOUCH_EVERY:
        return
    session.last_used_at = now
    BrowseSession.objects.filter(pk=session.pk).update(last_used_at=now)
    leases_of(session).filter(keep_until__isnull=False).update(keep_until=keep_until())


def request_close(*, session: BrowseSession, by: Any = None) -> Task:
    """Queue the closing of an open archive."""
    return enqueue(
        "browse_close",
        params={"session": str(session.pk)},
        subject=session.archive.name,
        repository=session.archive.repository,
        archive=session.archive,
        by=by,
    )


def close(*, session: BrowseSession) -> bool:
    """Unmount and remove the view, in any order of what is already gone. False when something resists."""
    BrowseSession.objects.filter(pk=session.pk, state__in=[State.OPENING, State.OPEN]).update(state=State.CLOSED)
    return leases.release_all(leases_of(session))


def fail(*, session: BrowseSession) -> None:
    """The mount died: mark it, and let the clean-up take what is left."""
    BrowseSession.objects.filter(pk=session.pk, state__in=[State.OPENING, State.OPEN]).update(state=State.FAILED)
    leases_of(session).update(keep_until=timezone.now())
    session.state = State.FAILED


def view_path(archive: Archive, name: str) -> Path:
    """A place for a view: in the repository's own pool, because hard links do not cross filesystems."""
    parent = Path(archive.repository.pool.path) / pools.VIEWS
    parent.mkdir(mode=0o700, exist_ok=True)
    return parent / name


def check_open() -> int:
    """For the clock: sessions whose mount has died are marked within its period."""
    dead = [session for session in BrowseSession.objects.filter(state=State.OPEN) if _is_dead(session)]
    for session in dead:
        fail(session=session)
    return len(dead)
