"""Archives that must not count: written down until they are gone, and left out of every comparison meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backups.borg.results import ArchiveFact
from backups.models import BackupJob, Repository
from backups.services import repositories
from phpborg.errors import PhpBorgError
from phpborg.tasks.context import TaskContext
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.registry import Finding

LEASE = "unproven_archive"


class Doubt:
    """The archive of one run, as long as it may turn out to be no restore point.

    `begin` before it is made when only a later look proves it, `end` when it counts, `remove` when it must not.
    """

    def __init__(self, context: TaskContext, job: BackupJob) -> None:
        self._context = context
        self._job = job
        self._lease: Lease | None = None

    def begin(self, archive: str) -> None:
        """From now on the archive of this name goes with the task, also when that is killed."""
        if self._lease is None:
            self._lease = self._context.hold(
                LEASE, repository=str(self._job.repository_id), archive=archive, task=str(self._context.task.pk)
            )

    def end(self) -> None:
        """It is a restore point after all."""
        if self._lease is not None:
            self._context.cross_out(self._lease)
        self._lease = None

    def remove(self, archive: ArchiveFact, reason: str) -> Finding | None:
        """Take it away now; what keeps it there is a finding, and it is tried again by the reaper."""
        self._context.log(f"removing {archive.name}: {reason}")
        self.begin(archive.name)
        try:
            repositories.delete_archives(self._job.repository, [archive.name])
        except PhpBorgError as error:
            self._context.log(f"it stays for now, and is tried again: {error}")
            return Finding("unproven", f"{archive.name}: {reason}; {error.code} {error}")
        self.end()
        return None


def names(repository: Repository) -> set[str]:
    """Archives of the repository that are still in doubt, or wait for their removal."""
    held = Lease.objects.held().filter(kind=LEASE, data__repository=str(repository.pk))
    return {str(data["archive"]) for data in held.values_list("data", flat=True)}


def remove(data: Mapping[str, Any]) -> None:
    """For the lease: idempotent. Raises what keeps the archive from going; a removed repository is not asked."""
    repository = Repository.objects.filter(pk=data["repository"]).first()
    if repository is None:
        return
    if repository.trashed_at is not None:
        raise OSError("the repository is in the trash")
    if Task.objects.beside(data["task"], repository.exclusive).exists():
        raise OSError("another task writes into the repository")
    repositories.delete_archives(repository, [data["archive"]])
