"""The kinds of task of this app: set-up and removal of a server."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from phpborg.tasks.context import TaskContext
from phpborg.tasks.registry import Outcome, kind
from servers.models import Server
from servers.services import removal, removal_steps, setup, setup_steps
from servers.services.errors import ServerUnknown


def _server_of(context: TaskContext) -> Server:
    server = Server.objects.filter(pk=context.task.server_ref or context.task.pk).first()
    if server is None:
        raise ServerUnknown(name=context.task.subject)
    return server


@kind(setup.KIND, label=_("Server set-up"), queue="quick")
def run_setup(context: TaskContext) -> Outcome:
    """Connect, check, install what is missing, prove the way of the data."""
    return setup_steps.run(context, _server_of(context))


@kind(removal.KIND, label=_("Server removal"), queue="quick", retryable=False)
def run_removal(context: TaskContext) -> Outcome:
    """Take what is ours off the server and off this host, then forget it."""
    params: dict[str, Any] = context.params
    return removal_steps.run(context, _server_of(context), archives=params["archives"], clean=bool(params["clean"]))
