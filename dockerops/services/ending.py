"""The end of a restore whose task could not write it: cancelled before its turn, killed, crashed."""

from __future__ import annotations

from django.utils import timezone

from dockerops.models import DockerRestore
from dockerops.services import undoing
from phpborg.tasks.models import Lease, Task

KIND = "docker_restore"


def follow(task: Task) -> None:
    """The row ends as its task did. What the task owes is undone by its lease, which writes `rolled_back` then."""
    if task.kind != KIND:
        return
    for restore in DockerRestore.objects.filter(task_ref=task.pk, state=DockerRestore.State.STARTED):
        owes = Lease.objects.held().filter(task=task, kind=undoing.RESTORE).exists()
        report = {**restore.report, "error": task.error_code, "ended": task.state, "touched": owes}
        if owes:
            report["rollback"] = {"complete": False, "pending": True, "undone": [], "problems": [], "notes": []}
        DockerRestore.objects.filter(pk=restore.pk, state=DockerRestore.State.STARTED).update(
            state=DockerRestore.State.FAILED, finished_at=timezone.now(), report=report
        )
