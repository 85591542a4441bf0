"""Undoing a Docker restore by one click, while its former state is kept."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext_noop

from backups.services import docker_turns
from dockerops.models import DockerRestore
from dockerops.plan import DockerPlan
from dockerops.run_errors import RollbackFailed
from dockerops.services import protection, undoing
from dockerops.services.engine_at import EngineAt
from phpborg.tasks import leases
from phpborg.tasks.context import TaskContext
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.queue import enqueue
from phpborg.tasks.registry import Outcome
from phpborg.tasks.states import Trigger

KIND = "docker_rollback"


def start(*, restore: DockerRestore, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Queue the rollback. Raises NothingKept, StillUndoing."""
    restore.refresh_from_db()
    if restore.is_half_undone:
        protection.check_idle(restore)
    else:
        protection.check_kept(restore)
    with transaction.atomic():
        task = enqueue(
            KIND,
            params={"docker_restore": str(restore.pk)},
            subject=f"{restore.archive_name} → {restore.server_name}",
            server=restore.server,
            archive=restore.archive,
            exclusive=docker_turns.exclusive_of(restore.server_id),
            by=by,
            trigger=trigger,
            unless_active=True,
        )
        DockerRestore.objects.filter(pk=restore.pk).update(rollback_task=task.pk)
    restore.refresh_from_db()
    return task


def task_of(restore: DockerRestore) -> Task | None:
    """The last rollback that somebody asked for."""
    return Task.objects.filter(pk=restore.rollback_task).first() if restore.rollback_task else None


def carry_out(context: TaskContext) -> Outcome:
    """Everything back in reverse. Raises RollbackFailed with what is left; that is kept, and tried again by itself."""
    restore = DockerRestore.objects.select_related("server").get(pk=context.params["docker_restore"])
    assert restore.server is not None
    plan = DockerPlan.from_json(restore.plan)
    engine = EngineAt(restore.server, plan.socket, plan.token)
    context.phase("connecting")
    docker_turns.await_backups(context, restore.server.pk)
    # A server that cannot be reached is no promise: nothing may be undone by itself hours later.
    engine.state()
    # From here on, killed in the middle, it is brought to its end by the clean-up.
    undoing.hold(context, restore, plan)
    with context.step("rollback", gettext_noop("Undo everything, the last step first")) as row:
        # Nothing ends it half way: what has begun is brought to its end.
        said = undoing.undo(engine)
        row["detail"] = undoing.shown(said)
        if said["problems"]:
            undoing.record(str(restore.pk), said, **_later(restore))
            raise RollbackFailed(undoing.words(said), server=restore.server.name)
    undoing.record(str(restore.pk), said, **_later(restore))
    # What earlier ones owe is paid with it.
    for lease in Lease.objects.held().filter(kind=undoing.RESTORE, data__restore=str(restore.pk)):
        leases.cross_out(lease)
    return Outcome(result={"docker_restore": str(restore.pk), "undone": len(said["undone"])})


def _later(restore: DockerRestore) -> dict[str, bool]:
    """Did the restore itself come to its good end, so that only somebody's wish undoes it?"""
    return {"undone_later": restore.state == DockerRestore.State.DONE or bool(restore.report.get("undone_later"))}
