"""The containers of a drill are kept apart from everything else: looked at here, on the machine, before each is made.

Whoever asks is not relied upon: what a drill has made is what its own journal says.
"""

import os
from typing import Any, Dict, List, Set

from .. import wire
from . import harmless
from .journal import Record
from .steps import Table


def check(name: str, body: Table, further: Table, base: bytes, records: List[Record]) -> None:
    """Raises Refused "unsafe" for a body that asks for what no drill may have."""
    found = harmless.problems(body, further, wire.shown(base), made(records))
    if found:
        text = "{} asks for what no container of a drill may have: {}"
        raise wire.Refused("unsafe", text.format(name, ", ".join(found)[:1000]))
    check_inside(body, base)


def made(records: List[Record]) -> Dict[str, Set[str]]:
    """Names of the networks, volumes and containers that these steps have made anew."""
    found: Dict[str, Set[str]] = {"networks": set(), "volumes": set(), "containers": set()}
    for record in records:
        undo: Dict[str, Any] = record.undo
        if record.undone or not record.done or undo.get("existed"):
            continue
        kind = {"create_network": "networks", "create_volume": "volumes", "create_container": "containers"}
        if record.op in kind:
            found[kind[record.op]].add(str(undo["name"]))
    return found


def check_inside(body: Table, base: bytes) -> None:
    """No path that the container is to see leads out of the drill's directory, by whatever link. Raises Refused."""
    host = body.get("HostConfig") or {}
    sources = [str(bind).partition(":")[0] for bind in host.get("Binds") or []]
    sources += [str(one.get("Source")) for one in host.get("Mounts") or [] if one.get("Type") == "bind"]
    real = os.path.realpath(base)
    for source in sources:
        if not source.startswith("/"):
            continue
        target = os.path.realpath(wire.raw(source))
        if not target.startswith(real + b"/"):
            text = "{} leads out of the drill: nothing of this machine is shown to its containers"
            raise wire.Refused("unsafe", text.format(source), path=source)
        if not os.path.lexists(target):
            raise wire.Refused("missing", "{} was not in the archive".format(source), path=source)
