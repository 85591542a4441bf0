"""The kinds of task of this app: set-up, capabilities, statistics and removal of a server."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from phpborg.tasks.context import TaskContext
from phpborg.tasks.registry import Outcome, kind
from phpborg.tasks.states import State, Trigger
from servers.models import Server
from servers.services import capabilities, capabilities_run, removal, removal_steps, setup, setup_steps, statistics
from servers.services.errors import ServerUnknown


def _server_of(context: TaskContext) -> Server:
    server = Server.objects.filter(pk=context.task.server_ref or context.task.pk).first()
    if server is None:
        raise ServerUnknown(name=context.task.subject)
    return server


@kind(setup.KIND, label=_("Server set-up"), queue="quick")
def run_setup(context: TaskContext) -> Outcome:
    """Connect, check, install what is missing, prove the way of the data; then look at what is there."""
    server = _server_of(context)
    outcome = setup_steps.run(context, server)
    capabilities.reload(server=server, by=context.task.requested_by, trigger=Trigger.SYSTEM)
    return outcome


@kind(capabilities.KIND, label=_("Capabilities"), queue="quick")
def run_capabilities(context: TaskContext) -> Outcome:
    """Ask the server what it is, has and runs."""
    return capabilities_run.run(context, _server_of(context))


@kind(removal.KIND, label=_("Server removal"), queue="quick", retryable=False)
def run_removal(context: TaskContext) -> Outcome:
    """Take what is ours off the server and off this host, then forget it."""
    params: dict[str, Any] = context.params
    return removal_steps.run(context, _server_of(context), archives=params["archives"], clean=bool(params["clean"]))


@kind(statistics.KIND, label=_("Server statistics"), queue="system", is_system=True)
def run_statistics(context: TaskContext) -> Outcome:
    """Ask one server, or all whose time has come. In a round, a server that is away is a line of the log."""
    context.phase("measuring")
    one = context.task.server_ref is not None
    servers = [_server_of(context)] if one else statistics.claim_due()
    told = statistics.gather(servers, stop=context.stop, say=context.log)
    errors = [seen.error for seen in told if seen.error is not None]
    if one and errors:
        raise errors[0]
    state = State.SUCCESS if len(told) == len(servers) else State.NOTES  # the log says what could not be written
    return Outcome(state, result={"asked": len(servers), "answered": len(told) - len(errors)})
