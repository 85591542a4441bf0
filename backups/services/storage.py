"""What the pages and commands show of pools and repositories: read in a constant number of queries."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Q, QuerySet, Sum

from backups.borg.locks import LockState
from backups.models import Archive, BackupJob, Repository, StoragePool
from backups.services import repositories as services
from phpborg.tasks import live
from phpborg.tasks.models import Lease, Task

# What the last task about a repository may have met that somebody must decide on.
_GRAVE = ("BRG-02", "BRG-03", "BRG-10", "BRG-12", "BRG-13", "BRG-14", "BRG-23", "BRG-26", "KEY-01")


@dataclass
class RepositoryRow:
    """One repository with what surrounds it. Unknown is None."""

    repository: Repository
    archives: int = 0
    last_archive_at: datetime | None = None
    jobs: int = 0
    tasks: list[Task] = field(default_factory=list)
    open_archives: int = 0
    lock: LockState = field(default_factory=LockState)

    @property
    def is_used(self) -> bool:
        return bool(self.tasks or self.open_archives)


@dataclass
class PoolRow:
    """One pool with the repositories of this page."""

    pool: StoragePool
    repositories: list[RepositoryRow] = field(default_factory=list)


@dataclass(frozen=True)
class Filters:
    """What a person looks for."""

    text: str = ""
    pool: str = ""

    @property
    def is_set(self) -> bool:
        return bool(self.text or self.pool)


def listing(wanted: Filters) -> QuerySet[Repository]:
    """The repositories that are not in the trash, by pool and name."""
    rows = Repository.objects.live().select_related("pool").order_by("pool__name", "name")
    if wanted.pool:
        rows = rows.filter(pool=uuid.UUID(wanted.pool))
    if wanted.text:
        rows = rows.filter(Q(name__icontains=wanted.text) | Q(path__icontains=wanted.text))
    return rows


def rows_of(repositories: Sequence[Repository]) -> list[RepositoryRow]:
    """Counts, users and locks of these repositories: four queries for any number."""
    rows = {repository.pk: RepositoryRow(repository) for repository in repositories}
    keys = list(rows)
    present = Archive.objects.present().filter(repository__in=keys).order_by().values("repository_id")
    for found in present.annotate(number=Count("pk"), newest=Max("started_at")):
        row = rows[found["repository_id"]]
        row.archives, row.last_archive_at = found["number"], found["newest"]
    jobs = BackupJob.objects.filter(repository__in=keys).order_by().values("repository_id")
    for counted in jobs.annotate(number=Count("pk")):
        rows[counted["repository_id"]].jobs = counted["number"]
    for task in Task.objects.running().filter(repository_ref__in=keys):
        rows[uuid.UUID(str(task.repository_ref))].tasks.append(task)
    for key, number in _open_archives().items():
        if key in rows:
            rows[key].open_archives = number
    for row in rows.values():
        row.lock = services.lock_state(row.repository)
    return list(rows.values())


def _open_archives() -> dict[uuid.UUID, int]:
    counted: dict[uuid.UUID, int] = defaultdict(int)
    for data in Lease.objects.held().filter(kind="repository_view").values_list("data", flat=True)[:1000]:
        counted[uuid.UUID(str(data["repository"]))] += 1
    return counted


def by_pool(rows: Sequence[RepositoryRow], *, also_empty: bool) -> list[PoolRow]:
    """Grouped by pool; with the pools that hold nothing on this page when `also_empty`."""
    pools = {pool.pk: PoolRow(pool) for pool in StoragePool.objects.all()}
    for row in rows:
        pools[row.repository.pool_id].repositories.append(row)
    return [pool for pool in pools.values() if also_empty or pool.repositories]


def totals() -> dict[str, Any]:
    """For the figures on top: sizes that are known, and how many repositories are in the trash."""
    live_ones = Q(trashed_at__isnull=True)
    return Repository.objects.aggregate(
        number=Count("pk", filter=live_ones),
        size=Sum("size_bytes", filter=live_ones),
        original=Sum("original_bytes", filter=live_ones),
        unfreed=Count("pk", filter=live_ones & Q(unfreed=True)),
        damaged=Count("pk", filter=live_ones & Q(check_good=False)),
        trashed=Count("pk", filter=~live_ones),
    )


@dataclass(frozen=True)
class Overview:
    """All that the page of one repository shows beside its own fields."""

    row: RepositoryRow
    missing: int
    active: list[dict[str, Any]]
    recent: list[dict[str, Any]]
    jobs: list[BackupJob]
    problem: Task | None
    held_bytes: int | None  # on the disk for open archives alone; None when that was not to be counted in time

    @property
    def is_older(self) -> bool:
        """The last contact said that an older copy was put back."""
        return self.problem is not None and self.problem.error_code == "BRG-12"


def overview(repository: Repository) -> Overview:
    """The page of one repository, read afresh."""
    (row,) = rows_of([repository])
    tasks = Task.objects.about(repository=repository.pk)
    # In whatever order they were asked for: the one that ended last tells how things are.
    ended = tasks.final().exclude(finished_at=None).order_by("-finished_at")
    last = ended.filter(exclusive=repository.exclusive).first()
    return Overview(
        row=row,
        missing=Archive.objects.filter(repository=repository, missing_at__isnull=False, trashed_at=None).count(),
        active=live.current(tasks.active().order_by("created_at")[:20]),
        recent=live.current(ended.filter(is_system=False)[:8]),
        jobs=list(BackupJob.objects.filter(repository=repository).select_related("server").order_by("name")[:50]),
        problem=last if last is not None and last.error_code in _GRAVE else None,
        held_bytes=services.held_by(services.views_of(repository)),
    )


def trashed() -> QuerySet[Repository]:
    """What lies in the trash, newest first, with the number of archives that would go."""
    return (
        Repository.objects.filter(trashed_at__isnull=False)
        .select_related("pool")
        .annotate(archive_count=Count("archives"))
        .order_by("-trashed_at")
    )
