"""Nothing changes its place under somebody who uses it, and nothing is put where it would not be seen.

Hours lie between the plan and the exchange: who uses the target is asked once more, right before it.
"""

import os
from typing import Any, Dict, List

from .. import tree, wire
from . import holding, keeping
from .engine import Engine, part

_ACTIVE = ("running", "paused", "restarting")
Table = Dict[str, Any]


def check(engine: Engine, target: bytes, token: str = "") -> None:
    """Raises Refused when what is put at the target would not be in its volume, or when a container uses it now.

    That of this token which holds the volume mounted does not use it.
    """
    _check_mounted(engine, target)
    empty = _is_empty(target)
    for listed in engine.get("/containers/json", all=True):
        ours = (listed.get("Labels") or {}).get(holding.LABEL, "") == token != ""
        if ours or str(listed.get("State")).lower() not in _ACTIVE:
            continue
        for mount in listed.get("Mounts") or []:
            if any(_meet(place, target, empty) for place in _places(engine, mount)):
                name = str((listed.get("Names") or [listed.get("Id")])[0]).lstrip("/")
                text = "the container {} runs and uses {}: it was started since the plan was made"
                raise wire.Refused("engine", text.format(name, wire.shown(target)), container=name)


def _check_mounted(engine: Engine, target: bytes) -> None:
    """What would be put below the place of a mount, while nothing is mounted, is not in the volume. Raises Refused."""
    above, name = keeping.split(target)
    volume = wire.shown(keeping.split(above)[1])
    if name != b"_data" or keeping.split(keeping.split(above)[0])[1] != b"volumes":
        return
    said = engine.find("/volumes/" + part(volume))
    if said and said.get("Options") and wire.raw(str(said.get("Mountpoint"))) == target and not tree.is_mounted(target):
        text = "the volume {} is mounted only while a container uses it: what is put at {} now would not be in it"
        raise wire.Refused("engine", text.format(volume, wire.shown(target)))


def _places(engine: Engine, mount: Table) -> List[bytes]:
    """Where the files of a mount are: the place that is named, what it leads to, and the directory of a volume."""
    found = [str(mount.get("Source") or "")]
    if mount.get("Type") == "volume" and mount.get("Name"):
        said = engine.find("/volumes/" + part(str(mount["Name"]))) or {}
        found += [str(said.get("Mountpoint") or ""), str((said.get("Options") or {}).get("device") or "")]
    # Who sees the whole machine (a monitor, for instance) would forbid every restore.
    named = [wire.raw(path).rstrip(b"/") for path in found if path.startswith("/") and path != "/"]
    return [*named, *(os.path.realpath(path) for path in named)]


def _is_empty(target: bytes) -> bool:
    """Is nothing there that would be replaced? So it is with what was just made, also for a drill."""
    try:
        return not os.listdir(target)
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        return False


def _meet(place: bytes, target: bytes, empty: bool) -> bool:
    """Is the place the target, or below it, or, unless nothing is there, above it?"""
    first, second = place + b"/", target.rstrip(b"/") + b"/"
    return first.startswith(second) or (not empty and second.startswith(first))
