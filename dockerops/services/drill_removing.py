"""The end of a drill, whatever it was: everything that its journal knows is undone, and nothing of it stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_noop

from dockerops.drill_errors import DrillLeft
from dockerops.services import undoing
from dockerops.services.engine_at import EngineAt
from phpborg.tasks.context import TaskContext
from servers.models import Server
from servers.services.reach import host_for

KIND = "docker_drill"
REMOVE = gettext_noop("Remove everything that the drill has made")


def hold(context: TaskContext, engine: EngineAt) -> None:
    """Write down that there will be something to remove, before there is."""
    context.hold(KIND, server=str(engine.server.pk), socket=engine.socket, token=engine.token)


def remove(data: Mapping[str, Any]) -> None:
    """For the lease; idempotent. A removed server is not asked. Raises DrillLeft."""
    server = Server.objects.filter(pk=data["server"]).first()
    if server is not None:
        _remove(EngineAt(server, data["socket"], data["token"], host=host_for(server)))


def remove_now(context: TaskContext, engine: EngineAt) -> int:
    """How many steps were undone. Nothing ends it early. Raises DrillLeft; then the lease tries again."""
    context.phase("cleaning")
    for lease in undoing.held(context, undoing.STAGING):
        context.release(lease)
    with context.step("drill-remove", REMOVE) as row:
        undone = _remove(engine)
        row["detail"] = str(undone)
    for lease in undoing.held(context, KIND):
        context.cross_out(lease)
    return undone


def _remove(engine: EngineAt) -> int:
    said = undoing.undo(engine)
    if said["problems"]:
        raise DrillLeft(undoing.words(said), server=engine.server.name)
    return len(said["undone"])
