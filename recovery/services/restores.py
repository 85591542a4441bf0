"""Restores: a draft that the wizard fills, one way into the queue, and the record of what was done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from backups.models import Archive
from backups.services.credentials import Login
from phpborg.errors import InvalidInput
from phpborg.tasks.models import Task
from phpborg.tasks.queue import enqueue
from phpborg.tasks.states import Trigger
from recovery.models import Restore
from recovery.services import physical
from recovery.services.load_plan import LoadPlan, plan_load
from recovery.services.plan import RestorePlan, plan_restore
from servers.models import Server


def load_plan_of(restore: Restore) -> LoadPlan:
    """The plan of a load as the row stands now. Raises what `plan_load` raises; InvalidInput without a password."""
    assert restore.archive is not None
    assert restore.server is not None
    if restore.login_user and not restore.credentials:
        raise InvalidInput(field=_("Password"), problem=_("Write its password."))
    return plan_load(
        archive=restore.archive,
        server=restore.server,
        instance=restore.instance,
        chosen=restore.dumps,
        replace=restore.replace,
        new_name=restore.new_name,
        user=restore.login_user,
    )


def plan_of(restore: Restore) -> RestorePlan:
    """The plan of files as the row stands now. Raises what `plan_restore` raises."""
    assert restore.archive is not None
    assert restore.server is not None
    plan = plan_restore(
        archive=restore.archive,
        server=restore.server,
        selection=restore.selection,
        destination=restore.destination,
        target_path=restore.target_path,
        conflict=restore.conflict,
    )
    if restore.destination == Restore.Destination.IN_PLACE:
        physical.check_in_place(restore.archive, restore.server, plan)
    return plan


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


def load_draft(*, archive: Archive, by: Any = None) -> Restore:
    """The user's draft of a load of this archive, made when there is none."""
    owner = by if getattr(by, "pk", None) else None
    if owner is not None:
        known = Restore.objects.filter(
            archive=archive, requested_by=owner, state=Restore.State.DRAFT, kind=Restore.Kind.LOAD
        ).first()
        if known is not None:
            return known
    made = draft(archive=archive, selection=[], by=by)
    made.kind = Restore.Kind.LOAD
    made.save(update_fields=["kind"])
    return made


def forget_login(restore: str) -> None:
    """The login that was given for a load is not kept."""
    Restore.objects.filter(pk=restore).update(credentials="")


def forget_unused_logins() -> None:
    """Of loads that ended without ever running (cancelled while they waited, or lost), and of drafts a day old."""
    old = timezone.now() - timedelta(days=1)
    Restore.objects.filter(state=Restore.State.DRAFT, created_at__lt=old).exclude(credentials="").update(credentials="")
    rows = Restore.objects.exclude(credentials="").exclude(state=Restore.State.DRAFT)
    for restore in rows.only("pk", "task_ref"):
        task = Task.objects.filter(pk=restore.task_ref).first() if restore.task_ref else None
        if task is None or (not task.is_active and not task.leases.held().exists()):  # type: ignore[attr-defined]
            forget_login(str(restore.pk))


def start(*, restore: Restore, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task:
    """Fix the plan in the row and queue it. Only a draft can be started; raises what the plan raises."""
    loads = restore.kind == Restore.Kind.LOAD
    plan: RestorePlan | LoadPlan = load_plan_of(restore) if loads else plan_of(restore)
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
            "load" if loads else "restore",
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


def load_and_start(
    *,
    archive: Archive,
    server: Server,
    instance: str,
    chosen: list[str],
    replace: bool = False,
    new_name: str = "",
    login: Login | None = None,
    by: Any = None,
    trigger: Trigger = Trigger.MANUAL,
) -> tuple[Restore, Task]:
    """A load, all at once, for the command line."""
    restore = draft(archive=archive, selection=[], by=by)
    restore.kind, restore.server, restore.instance = Restore.Kind.LOAD, server, instance
    restore.dumps, restore.replace, restore.new_name = chosen, replace, new_name
    if login is not None:
        restore.login_user, restore.credentials = login.user, login.sealed()
    try:
        load_plan_of(restore)
    except BaseException:
        restore.delete()
        raise
    restore.save()
    return restore, start(restore=restore, by=by, trigger=trigger)


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
