"""How what a way to a repository makes outside is removed when its task cannot do it any more."""

from __future__ import annotations

from typing import Any

from phpborg.tasks.registry import lease_kind
from servers.models import Server
from servers.services.reach import host_for
from servers.transport import tunnel


@lease_kind("link")
def remove_link(data: dict[str, Any]) -> None:
    """The sockets of a way to a repository, on both sides. A server that was removed keeps nothing of ours alive."""
    tunnel.remove_local(data["token"])
    server = Server.objects.filter(pk=data["server"]).first()
    if server is not None and not server.is_local:
        tunnel.clean_up(host_for(server), data["token"])
