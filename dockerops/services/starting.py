"""One way into the queue for a Docker restore: the plan that was shown is fixed in the row, then carried out."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from backups.services import docker_turns
from dockerops.models import DockerRestore
from dockerops.run_errors import PlanChanged
from dockerops.services import planning
from phpborg.tasks.models import Task
from phpborg.tasks.queue import enqueue
from phpborg.tasks.states import Trigger

KIND = "docker_restore"


def exclusive(restore: DockerRestore) -> str:
    """One change at a time to the engine of a server, whatever else it does."""
    return docker_turns.exclusive_of(restore.server_id)


def start(*, restore: DockerRestore, plan_hash: str, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Fix the plan and queue it. A draft that was started meanwhile answers its task.

    `plan_hash` is what the person saw. Raises PlanChanged when the row gives another plan by now, ConflictsUnknown,
    ConflictsOpen, and what `planning.plan_of` does.
    """
    restore.refresh_from_db()
    if restore.state != DockerRestore.State.DRAFT and restore.task is not None:
        return restore.task
    planning.check_consents(restore)
    plan = planning.plan_of(restore)
    if plan.hash != plan_hash:
        raise PlanChanged(f"{plan_hash[:12]} → {plan.hash[:12]}")
    archive, server = restore.archive, restore.server
    assert archive is not None
    assert server is not None
    with transaction.atomic():
        claimed = DockerRestore.objects.filter(pk=restore.pk, state=DockerRestore.State.DRAFT).update(
            state=DockerRestore.State.STARTED, plan=plan.as_json(), plan_hash=plan.hash, server_name=server.name
        )
        if not claimed:
            restore.refresh_from_db()
            assert restore.task is not None
            return restore.task
        task = enqueue(
            KIND,
            params={"docker_restore": str(restore.pk)},
            subject=f"{archive.job_name or archive.name} → {server.name}",
            server=server,
            job=archive.job,
            repository=archive.repository,
            archive=archive,
            exclusive=exclusive(restore),
            by=by,
            trigger=trigger,
        )
        DockerRestore.objects.filter(pk=restore.pk).update(task_ref=task.pk)
    restore.refresh_from_db()
    return task
