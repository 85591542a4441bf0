"""Removing a repository: into its pool's trash first, from the disk second. Never outside its pool."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from backups import errors as e
from backups.borg.config import read_id
from backups.models import Archive, Repository
from backups.services import pools
from backups.services.repositories import base_dir_of, ensure_unused
from backups.storage_errors import NotInTrash, OutsidePool, PlaceTaken, StillNeeded
from phpborg.errors import InvalidInput
from phpborg.mounts import mounts_below, remove_tree
from phpborg.tasks.models import Task
from phpborg.tasks.queue import enqueue
from phpborg.tasks.states import Trigger

log = logging.getLogger(__name__)
PURGE = "repository_purge"


def move_to_trash(*, repository: Repository, typed_name: str) -> None:
    """First step of removal: the directory goes to the pool's trash; its jobs must be gone or elsewhere.

    Raises InvalidInput (name not typed), StillNeeded, RepositoryInUse, PoolUnavailable, OutsidePool.
    """
    _check_typed(repository, typed_name)
    if repository.trashed_at is not None:
        return
    pools.ensure_there(repository.pool)
    source = Path(repository.path)
    _check_source(repository, source)
    trash = trash_of(repository)
    target = trash / f"{source.name}-{repository.pk.hex[:8]}-{timezone.now():%Y%m%dT%H%M%SZ}"
    with transaction.atomic():
        # Together: what starts later sees the mark, what runs already is seen here.
        _ensure_free(repository)
        # The row first: after a crash in between, the path in the row tells where to look.
        Repository.objects.filter(pk=repository.pk).update(trashed_at=timezone.now(), trash_path=str(target))
    try:
        if source.exists():
            trash.mkdir(mode=0o700, exist_ok=True)
            source.rename(target)
    except OSError as error:
        Repository.objects.filter(pk=repository.pk).update(trashed_at=None, trash_path="")
        raise OutsidePool(str(error), path=repository.path, pool=repository.pool.name) from error
    log.warning("repository %s (%s) was moved to the trash: %s", repository.name, repository.pk, target)
    repository.refresh_from_db()


def trash_of(repository: Repository) -> Path:
    """The trash of the repository's pool; a link in its place is refused by whoever uses it."""
    return Path(repository.pool.path) / pools.TRASH


def _check_typed(repository: Repository, typed_name: str) -> None:
    if typed_name != repository.name:
        raise InvalidInput(field=_("name"), problem=_("type the repository's name to confirm."))


def _ensure_free(repository: Repository) -> None:
    jobs = list(repository.jobs.values_list("name", flat=True)[:5])  # type: ignore[attr-defined]
    if jobs:
        raise StillNeeded(name=repository.name, jobs=", ".join(jobs))
    ensure_unused(repository)
    waiting = Task.objects.pending().about(repository=repository.pk).first()
    if waiting:
        raise e.RepositoryInUse(name=repository.name, users=str(waiting))


def _check_source(repository: Repository, source: Path) -> None:
    """The directory is a repository of ours inside its pool, no link, nothing mounted in it; or it is gone."""
    refused = OutsidePool(path=repository.path, pool=repository.pool.name)
    if not pools.inside(repository.pool, source) or trash_of(repository).is_symlink():
        raise refused
    if source.exists():
        found = read_id(source)
        if repository.borg_id and found != repository.borg_id:
            raise e.RepositoryIdentityChanged(expected=repository.borg_id, found=found)
        if mounts_below(source):
            raise refused


def take_from_trash(*, repository: Repository) -> None:
    """Undo `move_to_trash`. Raises NotInTrash, PlaceTaken, and RepositoryInUse while it is being purged."""
    if repository.trashed_at is None:
        raise NotInTrash(name=repository.name)
    purging = Task.objects.active().filter(kind=PURGE, repository_ref=repository.pk).first()
    if purging:
        raise e.RepositoryInUse(name=repository.name, users=str(purging))
    source, target = Path(repository.trash_path), Path(repository.path)
    _check_trashed(repository, source)
    if target.exists() or target.is_symlink():
        # Perhaps the move into the trash never happened: then the repository itself is there.
        if source.exists() or not _is_it(repository, target):
            raise PlaceTaken(path=repository.path)
    elif source.exists():
        if not pools.inside(repository.pool, target):
            raise OutsidePool(path=repository.path, pool=repository.pool.name)
        source.rename(target)
    Repository.objects.filter(pk=repository.pk).update(trashed_at=None, trash_path="")
    repository.refresh_from_db()


def _is_it(repository: Repository, path: Path) -> bool:
    try:
        return read_id(path) == repository.borg_id
    except e.BorgError:
        return False


def request_purge(
    *, repository: Repository, typed_name: str, by: Any = None, trigger: Trigger = Trigger.MANUAL
) -> Task:
    """Queue the second step. Cannot be undone. Raises NotInTrash, InvalidInput, AlreadyActive."""
    _check_typed(repository, typed_name)
    if repository.trashed_at is None:
        raise NotInTrash(name=repository.name)
    _check_trashed(repository, Path(repository.trash_path))
    return enqueue(
        PURGE,
        subject=repository.name,
        repository=repository,
        exclusive=repository.exclusive,
        by=by,
        trigger=trigger,
        unless_active=True,
    )


def purge(*, repository: Repository) -> int:
    """Remove a trashed repository from the disk, then its rows; answers how many archives went. Called by the task.

    Raises NotInTrash, PoolUnavailable, OutsidePool, RepositoryInUse.
    """
    if repository.trashed_at is None:
        raise NotInTrash(name=repository.name)
    path = Path(repository.trash_path)
    _check_trashed(repository, path)
    if path.exists():
        # A purge that was killed half-way has removed `config` perhaps: the name in the trash is ours alone.
        remove_tree(path)
    remove_tree(base_dir_of(repository))
    archives = Archive.objects.filter(repository=repository)
    count = archives.count()
    with transaction.atomic():
        archives.delete()
        repository.delete()
    log.warning("repository %s was removed for good, with %s archives", path, count)
    return count


def _check_trashed(repository: Repository, path: Path) -> None:
    """The path is exactly one directory of ours in its pool's trash, no link, nothing mounted in it."""
    refused = OutsidePool(path=str(path), pool=repository.pool.name)
    trash = trash_of(repository)
    if not Path(repository.pool.path).is_dir():
        pools.ensure_there(repository.pool)
    named = f"-{repository.pk.hex[:8]}-" in path.name
    if path.parent != trash or not named or trash.is_symlink() or path.is_symlink() or mounts_below(path):
        raise refused
    if trash.exists() and Path(trash).resolve() != trash:
        raise refused
