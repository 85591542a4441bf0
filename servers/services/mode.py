"""The way of the data: tunnel or direct."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from phpborg.errors import InvalidInput
from phpborg.tasks.models import Task
from phpborg.tasks.states import Trigger
from servers.models import Server
from servers.services import direct, setup
from servers.services.errors import LocalOnly, ServerBusy
from servers.services.removal import blockers


def set_mode(*, server: Server, mode: str, by: Any = None, trigger: Trigger = Trigger.MANUAL) -> Task | None:
    """Choose the way; set-up then prepares and tests it. None when it is that way already.

    Raises LocalOnly, BackupHostUnknown, ServerBusy, InvalidInput.
    """
    if server.is_local:
        raise LocalOnly(server=server.name)
    if mode not in Server.Mode.values:
        raise InvalidInput(field="mode", problem=mode[:40])
    if mode == server.mode:
        return None
    if mode == Server.Mode.DIRECT:
        direct.backup_host()
    busy = blockers(server)
    if busy:
        raise ServerBusy(server=server.name, count=len(busy))
    with transaction.atomic():
        server.mode = mode
        server.save(update_fields=["mode"])
        transaction.on_commit(direct.converge)
        return setup.enqueue_setup(server=server, by=by, trigger=trigger)
