"""Check, compact, measure, accept an older state: queued here, carried out by the tasks with what is here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db.models import Q
from django.utils import timezone

from backups import errors as e
from backups.borg import rollback, sizes
from backups.borg.argv import CheckMode
from backups.borg.config import read_id
from backups.borg.events import Event
from backups.borg.repository import Checked, Compacted
from backups.borg.runner import Access
from backups.borg.sizes import DiskUse
from backups.models import Repository, StoragePool
from backups.services import pools, repositories
from backups.storage_errors import NotRolledBack
from phpborg.errors import InvalidInput
from phpborg.process import Stop
from phpborg.tasks.errors import AlreadyActive
from phpborg.tasks.models import Task
from phpborg.tasks.queue import enqueue
from phpborg.tasks.states import Trigger

log = logging.getLogger(__name__)
OnEvent = Callable[[Event], None]
CHECK_MODES: tuple[CheckMode, ...] = ("repository", "archives", "data")
POOL_EVERY, REPOSITORY_EVERY = timedelta(minutes=55), timedelta(hours=24)


def request_check(
    *, repository: Repository, mode: str = "repository", by: Any = None, trigger: Trigger = Trigger.MANUAL
) -> Task:
    """Queue a check. Raises InvalidInput for an unknown mode, AlreadyActive."""
    if mode not in CHECK_MODES:
        raise InvalidInput(field="mode", problem=mode)
    return _request("check", repository, by=by, trigger=trigger, params={"mode": mode})


def request_compact(*, repository: Repository, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Queue a compaction. Raises AlreadyActive."""
    return _request("compact", repository, by=by, trigger=trigger)


def request_measure(*, repository: Repository, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Queue a full measurement: the disk, and Borg's own account of all archives. Raises AlreadyActive."""
    return _request("measure", repository, by=by, trigger=trigger)


def request_accept_older(*, repository: Repository, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Queue the acceptance of a repository that was put back from an older copy. Raises AlreadyActive."""
    return _request("accept_older", repository, by=by, trigger=trigger)


def _request(
    kind: str, repository: Repository, *, by: Any, trigger: Trigger, params: dict[str, Any] | None = None
) -> Task:
    return enqueue(
        kind,
        params=params or {},
        subject=repository.name,
        repository=repository,
        exclusive=repository.exclusive,
        by=by,
        trigger=trigger,
        unless_active=True,
    )


def check(
    *, repository: Repository, mode: CheckMode, on_event: OnEvent | None = None, stop: Stop | None = None
) -> Checked:
    """Verify, never repair; the result is recorded. Damage is an answer, also when Borg cannot open it."""
    try:
        borg = repositories.verified_borg_of(repository)
        checked = borg.check(mode, on_event=on_event, stop=stop)
    except e.RepositoryDamaged as error:
        checked = Checked(False, (str(error),))
    Repository.objects.filter(pk=repository.pk).update(checked_at=timezone.now(), check_good=checked.ok)
    return checked


def compact(*, repository: Repository, on_event: OnEvent | None = None, stop: Stop | None = None) -> Compacted:
    """Give freed space back to the disk, measured before and after."""
    compacted = repositories.verified_borg_of(repository).compact(on_event=on_event, stop=stop)
    now = timezone.now()
    Repository.objects.filter(pk=repository.pk).update(
        compacted_at=now, unfreed=False, size_bytes=compacted.after.bytes_used, measured_at=now
    )
    return compacted


def measure_disk(*, repository: Repository) -> DiskUse:
    """The size on the disk, without Borg and without its lock. What cannot be read is unknown, not old."""
    now = timezone.now()
    try:
        read_id(Path(repository.path))
        used = sizes.measure(Path(repository.path))
    except e.BorgError:
        Repository.objects.filter(pk=repository.pk).update(size_bytes=None, measured_at=now)
        raise
    Repository.objects.filter(pk=repository.pk).update(size_bytes=used.bytes_used, measured_at=now)
    return used


def measure(*, repository: Repository) -> DiskUse:
    """The size on the disk, and the original size of all archives from Borg's own account."""
    used = measure_disk(repository=repository)
    stats = repositories.verified_borg_of(repository).cache_stats(timeout=None)
    Repository.objects.filter(pk=repository.pk).update(original_bytes=stats.total_size)
    return used


def accept_older(*, repository: Repository) -> None:
    """Accept that the repository is older than what Borg remembers. Raises NotRolledBack when it is not."""
    borg = repositories.borg_of(repository)
    if not rollback.is_older(borg):
        raise NotRolledBack(name=repository.name)
    access = Access(borg.binary, borg.mode.value, repository.passphrase.reveal(), repositories.base_dir_of(repository))
    rollback.accept_older(borg, access)
    log.warning("repository %s (%s): its older state was accepted", repository.name, repository.pk)


def analyse_due() -> int:
    """For the clock: queue the analysis of pools that were not looked at for an hour; answers how many."""
    due = StoragePool.objects.filter(Q(analysed_at__isnull=True) | Q(analysed_at__lt=timezone.now() - POOL_EVERY))
    return sum(_quietly(pools.request_analysis, pool=pool) for pool in due)


def measure_due(*, at_most: int = 20) -> int:
    """For the clock: measure the disk use of repositories that nothing measured for a day; answers how many."""
    late = timezone.now() - REPOSITORY_EVERY
    due = Repository.objects.live().filter(Q(measured_at__isnull=True) | Q(measured_at__lt=late))
    return sum(_quietly(_request_disk, repository=repository) for repository in due.order_by("measured_at")[:at_most])


def _request_disk(*, repository: Repository, trigger: Trigger) -> Task:
    return enqueue("measure_disk", subject=repository.name, repository=repository, trigger=trigger, unless_active=True)


def _quietly(request: Callable[..., Task], **what: Any) -> bool:
    try:
        request(trigger=Trigger.SYSTEM, **what)
    except AlreadyActive:
        return False
    return True
