"""The containers of a drill are kept apart from everything else: looked at here, on the machine, before each is made.

Whoever asks is not relied upon: what a drill has made is what its own journal says.
"""

import os
from typing import Any, Dict, List, Set, Tuple

from .. import validate, wire
from . import harmless
from .engine import Engine
from .journal import Record
from .steps import Table


def check(name: str, body: Table, further: Table, base: bytes, records: List[Record]) -> Table:
    """The body as the engine may get it. Raises Refused "unsafe" for one that asks for what no drill may have."""
    found = harmless.problems(body, further, wire.shown(base), made(records))
    if found:
        text = "{} asks for what no container of a drill may have: {}"
        raise wire.Refused("unsafe", text.format(name, ", ".join(found)[:1000]))
    return check_inside(body, base)


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


def check_inside(body: Table, base: bytes) -> Table:
    """The body as the engine may get it: each path by its real name, so that no name is read in two ways.

    An engine shortens `a/../b` without a look at the disk, where `a` may be a link. Raises Refused: nothing leads out
    of the drill's directory, by whatever link or name.
    """
    host = dict(body.get("HostConfig") or {})
    real = os.path.realpath(base)
    if host.get("Binds"):
        host["Binds"] = [_bind(str(bind), real) for bind in host["Binds"]]
    if host.get("Mounts"):
        host["Mounts"] = [
            dict(one, Source=_inside(str(one.get("Source")), real)) if one.get("Type") == "bind" else one
            for one in host["Mounts"]
        ]
    return dict(body, HostConfig=host)


def _bind(bind: str, real: bytes) -> str:
    source, colon, rest = bind.partition(":")
    return _inside(source, real) + colon + rest if source.startswith("/") else bind


def _inside(source: str, real: bytes) -> str:
    """Raises Refused."""
    target = os.path.realpath(validate.absolute(source, "source"))
    # Behind a colon an engine would read what is not meant.
    if not target.startswith(real + b"/") or b":" in target:
        text = "{} leads out of the drill: nothing of this machine is shown to its containers"
        raise wire.Refused("unsafe", text.format(source), path=source)
    if not os.path.lexists(target):
        raise wire.Refused("missing", "{} was not in the archive".format(source), path=source)
    return wire.shown(target)


def check_start(engine: Engine, said: Table, records: List[Record]) -> None:
    """Nothing that a drill's containers have done since may lead the engine elsewhere. Raises Refused "unsafe"."""
    if not any(one.op == "make_private" and not one.undone for one in records):
        return
    begun = [str(one.undo["container"]["id"]) for one in records if one.op == "start" and not one.undone]
    others = [engine.container(identity) for identity in begun if identity != said["Id"]]
    written = [path for other in others if other is not None for path, writable in _shown(other) if writable]
    for path, _ in _shown(said):
        if os.path.realpath(path) != path or any(path.startswith(above.rstrip(b"/") + b"/") for above in written):
            text = "{} may have been changed by another container of the drill: it is not shown to the next"
            raise wire.Refused("unsafe", text.format(wire.shown(path)), path=wire.shown(path))


def _shown(said: Table) -> List[Tuple[bytes, bool]]:
    """(path of the machine, writable) that an inspected container sees."""
    mounts = [one for one in said.get("Mounts") or [] if one.get("Type") == "bind"]
    return [(wire.raw(str(one.get("Source"))), bool(one.get("RW"))) for one in mounts]
