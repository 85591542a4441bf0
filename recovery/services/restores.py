"""Restores: a draft that the wizard fills, one way into the queue, and the record of what was done."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from backups.models import Archive
from phpborg.tasks.models import Task
from phpborg.tasks.queue import enqueue
from phpborg.tasks.states import Trigger
from recovery.models import Restore
from recovery.services.plan import RestorePlan, plan_restore
from servers.models import Server


def plan_of(restore: Restore) -> RestorePlan:
    """The plan as the row stands now. Raises what `plan_restore` raises."""
    assert restore.archive is not None
    assert restore.server is not None
    return plan_restore(
        archive=restore.archive,
        server=restore.server,
        selection=restore.selection,
        destination=restore.destination,
        target_path=restore.target_path,
        conflict=restore.conflict,
    )


def draft(*, archive: Archive, selection: list[str], by: Any = None) -> Restore:
    """A restore that is being prepared: to the archive's own server unless another one is chosen."""
    return Restore.objects.create(
        archive=archive,
        archive_name=archive.name,
        server=archive.server,
        server_name=archive.server_name,
        selection=selection,
        requested_by=by if getattr(by, "pk", None) else None,
    )


def start(*, restore: Restore, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Fix the plan in the row and queue it. Only a draft can be started; raises what the plan raises."""
    plan = plan_of(restore)
    archive, server = restore.archive, restore.server
    assert archive is not None
    assert server is not None
    with transaction.atomic():
        claimed = Restore.objects.filter(pk=restore.pk, state=Restore.State.DRAFT).update(
            state=Restore.State.STARTED, plan=plan.as_json(), server_name=server.name
        )
        if not claimed:
            restore.refresh_from_db()
            assert restore.task_ref is not None
            return Task.objects.get(pk=restore.task_ref)
        task = enqueue(
            "restore",
            params={"restore": str(restore.pk)},
            subject=f"{archive.job_name or archive.name} → {server.name}",
            server=server,
            job=archive.job,
            repository=archive.repository,
            archive=archive,
            by=by,
            trigger=trigger,
        )
        Restore.objects.filter(pk=restore.pk).update(task_ref=task.pk)
    restore.refresh_from_db()
    return task


def create_and_start(
    *,
    archive: Archive,
    server: Server,
    selection: list[str],
    destination: str,
    target_path: str = "",
    conflict: str = Restore.Conflict.KEEP,
    by: Any = None,
    trigger: Trigger = Trigger.MANUAL,
) -> tuple[Restore, Task]:
    """All at once, for the command line."""
    plan_restore(
        archive=archive,
        server=server,
        selection=selection,
        destination=destination,
        target_path=target_path,
        conflict=conflict,
    )
    restore = draft(archive=archive, selection=selection, by=by)
    restore.server, restore.destination = server, destination
    restore.target_path, restore.conflict = target_path, conflict
    restore.save()
    return restore, start(restore=restore, by=by, trigger=trigger)
