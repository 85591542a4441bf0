"""Kinds of task of this room: open and close an archive, restore, Instant Recovery."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from phpborg.tasks.context import TaskContext
from phpborg.tasks.leases import new_token
from phpborg.tasks.registry import Finding, Outcome, kind
from phpborg.tasks.states import State
from recovery.models import BrowseSession
from recovery.services import browse, load_run, looking, opening, proof_run, restore_run, session_run


@kind("browse_open", label=_("Open an archive"), queue="quick", is_system=True, retryable=False)
def run_browse_open(context: TaskContext) -> Outcome:
    """View, then mount; both outlive the task until nobody looks any more."""
    session = BrowseSession.objects.select_related("archive__repository__pool").get(pk=context.params["session"])
    try:
        until = browse.keep_until()
        context.phase("preparing")
        place = opening.make_view(context, session.archive, f"browse-{new_token()}", keep_until=until)
        context.phase("mounting")
        mountpoint = opening.mount(context, session.archive, place, session.pk.hex, session=session, keep_until=until)
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


@kind("instant_look", label=_("Look for databases in an archive"), queue="quick", is_system=True)
def run_look(context: TaskContext) -> Outcome:
    """What can be started from an archive; see services/looking.py."""
    return looking.carry_out(context)


@kind("instant_recovery", label=_("Instant Recovery"), queue="sessions", retryable=False, page="session-of-task")
def run_session(context: TaskContext) -> Outcome:
    """A database that runs out of an archive, until it is stopped; see services/session_run.py."""
    return session_run.carry_out(context)


@kind("proof", label=_("Proof of restore"), queue="proofs", retryable=False)
def run_proof(context: TaskContext) -> Outcome:
    """An archive is read, and its databases are started; see services/proof_run.py."""
    return proof_run.carry_out(context)
