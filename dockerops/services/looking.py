"""A look into an archive: what of Docker it holds. Names, sizes and origins reach the row, nothing else."""

from __future__ import annotations

from typing import Any

from dockerops.models import DockerRestore
from phpborg.tasks import queue
from phpborg.tasks.context import TaskContext
from phpborg.tasks.models import Task
from phpborg.tasks.registry import Outcome
from phpborg.tasks.states import Trigger

KIND = "docker_look"


def start(*, restore: DockerRestore, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """The look that fills `restore.contents`; the one that is going on when there is one."""
    known = task_of(restore)
    if known is not None and known.is_active:
        return known
    task = queue.enqueue(
        KIND,
        params={"docker_restore": str(restore.pk)},
        subject=restore.archive_name,
        server=restore.server,
        repository=restore.archive.repository if restore.archive else None,
        archive=restore.archive,
        by=by,
        trigger=trigger,
    )
    DockerRestore.objects.filter(pk=restore.pk).update(look_task=task.pk)
    restore.look_task = task.pk
    return task


def task_of(restore: DockerRestore) -> Task | None:
    """The last look."""
    return Task.objects.filter(pk=restore.look_task).first() if restore.look_task else None


def contents_of(restore: DockerRestore) -> Any:
    """manifest.Contents of the row. Raises NotLookedYet."""
    raise NotImplementedError


def carry_out(context: TaskContext) -> Outcome:
    """View, manifest or listing, analysis, row. Raises NothingOfDocker, ManifestDamaged."""
    raise NotImplementedError
