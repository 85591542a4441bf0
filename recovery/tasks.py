"""Kinds of task of this room: open and close an archive, restore."""

from __future__ import annotations

from pathlib import Path

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from backups.borg import view
from phpborg.tasks.context import TaskContext
from phpborg.tasks.leases import new_token
from phpborg.tasks.registry import Finding, Outcome, kind
from phpborg.tasks.states import State
from recovery.models import BrowseSession
from recovery.services import browse, load_run, restore_run


@kind("browse_open", label=_("Open an archive"), queue="quick", is_system=True, retryable=False)
def run_browse_open(context: TaskContext) -> Outcome:
    """View, then mount; both outlive the task until nobody looks any more."""
    session = BrowseSession.objects.select_related("archive__repository__pool").get(pk=context.params["session"])
    archive = session.archive
    repository = archive.repository
    try:
        place = browse.view_path(archive, f"browse-{new_token()}")
        until = browse.keep_until()
        context.phase("preparing")
        context.hold(
            "repository_view", keep_until=until, path=str(place), repository=str(repository.pk), archive=archive.name
        )
        view.make_view(Path(repository.path), place)
        context.phase("mounting")
        mountpoint = browse.mounts_directory() / session.pk.hex
        base = browse.mounts_directory() / f"{session.pk.hex}-borg"
        context.hold(
            "archive_mount", keep_until=until, mountpoint=str(mountpoint), base_dir=str(base), session=str(session.pk)
        )
        base.mkdir(mode=0o700, exist_ok=True)
        view.mount_view(
            place,
            archive.name,
            mountpoint,
            encryption=repository.encryption,
            passphrase=repository.passphrase.reveal(),
            base_dir=base,
            options=("ignore_permissions",),
        )
        browse.opened(session=session, mountpoint=mountpoint)
    except BaseException:
        browse.fail(session=session)
        raise
    return Outcome(result={"session": str(session.pk)})


@kind("browse_close", label=_("Close an archive"), queue="quick", is_system=True, retryable=False)
def run_browse_close(context: TaskContext) -> Outcome:
    """Unmount and remove the view."""
    session = BrowseSession.objects.filter(pk=context.params["session"]).first()
    if session is None or browse.close(session=session):
        return Outcome()
    return Outcome(State.NOTES, (Finding("left", "something resists removal and is tried again"),))


@kind("restore", label=pgettext_lazy("a task", "Restore"), queue="restore", retryable=False)
def run_restore(context: TaskContext) -> Outcome:
    """Put chosen files back; see services/restore_run.py."""
    return restore_run.carry_out(context)


@kind("load", label=_("Load into a database server"), queue="restore", retryable=False)
def run_load(context: TaskContext) -> Outcome:
    """Load dumps into a running server; see services/load_run.py."""
    return load_run.carry_out(context)
