"""What is kept aside of the former state: until its window ends, or until somebody lets it go."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from backups.services import docker_turns
from dockerops.models import DockerRestore
from dockerops.plan import DockerPlan
from dockerops.run_errors import ForgetFailed, NothingKept, StillUndoing
from dockerops.services import safety_end
from dockerops.services.engine_at import EngineAt
from phpborg.tasks import leases
from phpborg.tasks.context import TaskContext
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.queue import enqueue
from phpborg.tasks.registry import Outcome
from phpborg.tasks.states import State, Trigger
from servers.models import Server
from servers.services.reach import host_for

KIND = "docker_forget"
KEPT = "docker_kept"
UNDONE_BY = "docker_restore"  # the lease of a restore that is being undone


def keep(context: TaskContext, restore: DockerRestore, plan: DockerPlan) -> datetime | None:
    """Write down that the journal stays until its window ends; None when it goes at once, with the task."""
    data: dict[str, Any] = {
        "server": str(restore.server_id),
        "socket": plan.socket,
        "token": plan.token,
        "restore": str(restore.pk),
    }
    if plan.protect == "none":
        context.hold(KEPT, **data)
        return None
    until = timezone.now() + timedelta(hours=plan.window_hours)
    context.hold(KEPT, keep_until=until, **data)
    safety_end.keep_until(restore, until)
    return until


def kept(restore: DockerRestore) -> list[Lease]:
    """The lease of what is kept; none when nothing is."""
    return list(Lease.objects.held().filter(kind=KEPT, data__restore=str(restore.pk)))


def check_kept(restore: DockerRestore) -> None:
    """Raises NothingKept, and StillUndoing while another task works on it."""
    check_idle(restore)
    if not restore.is_protected or not kept(restore):
        raise NothingKept()


def check_idle(restore: DockerRestore) -> None:
    """Raises StillUndoing."""
    known = [restore.task_ref, restore.rollback_task]
    if Task.objects.active().filter(pk__in=[task for task in known if task]).exists():
        raise StillUndoing()


def start_forget(*, restore: DockerRestore, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Queue the removal of what is kept. Raises NothingKept, StillUndoing."""
    check_kept(restore)
    with transaction.atomic():
        return enqueue(
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


def carry_out(context: TaskContext) -> Outcome:
    """Forget on the server, and in the row."""
    restore = DockerRestore.objects.get(pk=context.params["docker_restore"])
    context.phase("cleaning")
    with context.step("forget", gettext_noop("Remove what was kept aside")):
        found = kept(restore)
        for lease in found:
            let_go(lease.data)
            leases.cross_out(lease)
        safety_end.end(restore)
    return Outcome(State.SUCCESS, result={"docker_restore": str(restore.pk)})


def let_go(data: Mapping[str, Any]) -> None:
    """Idempotent; a removed server is not asked. Raises what keeps it from going."""
    if Lease.objects.held().filter(kind=UNDONE_BY, data__token=data["token"]).exists():
        raise ValueError("it is still needed: the restore is being undone")
    server = Server.objects.filter(pk=data["server"]).first()
    if server is not None:
        said = EngineAt(server, data["socket"], data["token"], host=host_for(server)).forget()
        if problems := [str(one) for one in said.get("problems") or []]:
            raise ForgetFailed("\n".join(problems[:50]), server=server.name)
    DockerRestore.objects.filter(pk=data["restore"]).update(protected_until=None)


def let_go_archive(data: Mapping[str, Any]) -> None:
    """The safety archive, once its window has ended. Raises StillUndoing while its restore goes on."""
    restore = DockerRestore.objects.filter(pk=data["restore"]).first()
    if restore is not None:
        check_idle(restore)
    safety_end.let_go(data)
