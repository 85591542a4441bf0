"""How we reach servers. `host_for(target)` is the door; the rest are its rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from servers.transport.base import Host, Target


def host_for(target: Target) -> Host:
    """The host that carries out verbs on this target."""
    from servers.transport.local import LocalHost
    from servers.transport.openssh import OpenSshHost

    return LocalHost(target) if target.kind == "local" else OpenSshHost(target)
