"""An archive made readable for a task: a view of its repository that holds no lock, and a mount of it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from backups.borg import view as views
from backups.models import Archive
from phpborg.tasks.context import TaskContext
from recovery.models import BrowseSession
from recovery.services.browse import mounts_directory, view_path


def make_view(context: TaskContext, archive: Archive, name: str, *, keep_until: datetime | None = None) -> Path:
    """The view's place. Written down first; it goes with the task, or lives until `keep_until`."""
    repository, place = archive.repository, view_path(archive, name)
    context.hold(
        "repository_view", keep_until=keep_until, path=str(place), repository=str(repository.pk), archive=archive.name
    )
    views.make_view(Path(repository.path), place)
    return place


def mount(
    context: TaskContext,
    archive: Archive,
    place: Path,
    name: str,
    *,
    session: BrowseSession | None = None,
    keep_until: datetime | None = None,
) -> Path:
    """Where the archive can be read, out of the view at `place`; as `make_view`. `session` is told when it goes."""
    repository, mounts = archive.repository, mounts_directory()
    mountpoint, base = mounts / name, mounts / f"{name}-borg"
    context.hold(
        "archive_mount",
        keep_until=keep_until,
        mountpoint=str(mountpoint),
        base_dir=str(base),
        session=str(session.pk) if session else None,
    )
    base.mkdir(mode=0o700, exist_ok=True)
    views.mount_view(
        place,
        archive.name,
        mountpoint,
        encryption=repository.encryption,
        passphrase=repository.passphrase.reveal(),
        base_dir=base,
        options=("ignore_permissions",),
    )
    return mountpoint
