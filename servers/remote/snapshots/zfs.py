"""A snapshot of a ZFS dataset."""

import re
from contextlib import suppress
from typing import Any, ContextManager, Dict, List

from .. import tree, validate, wire
from .tools import Place, act, act_until_gone, check, mount, parts, run

# zfs(8): components of letters, digits and _-:. — a leading hyphen would be an option.
_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*(?:/[A-Za-z0-9][A-Za-z0-9_.: -]*)*")
_SETTLE_SECONDS = 120.0


def volume(args: Dict[str, Any], secrets: Dict[str, Any]) -> str:
    """The dataset."""
    return validate.text(args.get("dataset"), "dataset", _DATASET, 255)


def make(
    place: Place, volume: str, args: Dict[str, Any], hold: ContextManager[Any], control: wire.Control
) -> Dict[str, Any]:
    """Of this dataset alone: those below it are datasets of their own."""
    mounted = _mounts(volume)
    origins = [wire.shown(one.path) for one in mounted if one.root == b"/"]
    check(origins)
    _settle(volume)
    with hold:
        act(["zfs", "snapshot", _name(place, volume)], place)
    mount(_name(place, volume), place, "zfs", [])
    return {"origins": origins, "parts": parts(mounted), "device": _name(place, volume), "type": "zfs"}


def state(place: Place, volume: str) -> Dict[str, Any]:
    """It takes its room from the pool: as long as it is there it is whole."""
    there = _exists(place, volume)
    return {"exists": there, "valid": there, "used_percent": None}


def remove(place: Place, volume: str) -> bool:
    """True when it was there. Who reads it still (borg has a view of its own) is waited for."""
    return act_until_gone(["zfs", "destroy", _name(place, volume)], place, lambda: _exists(place, volume), " busy")


def _settle(volume: str) -> None:
    """Write out what waits in memory for the pool: a snapshot waits for all of it, and who is held with it."""
    with suppress(wire.Refused):
        run(["zpool", "sync", volume.partition("/")[0]], timeout=_SETTLE_SECONDS)


def _mounts(volume: str) -> List[tree.Mounted]:
    """As the kernel knows it: a dataset with a “legacy” mount point says nothing itself."""
    return [one for one in tree.mounted() if one.kind == "zfs" and one.source == wire.raw(volume)]


def _name(place: Place, volume: str) -> str:
    return "{}@{}".format(volume, place.name)


def _exists(place: Place, volume: str) -> bool:
    """Is the snapshot there? With its dataset it is gone, too."""
    try:
        run(["zfs", "list", "-H", "-t", "snapshot", "-o", "name", _name(place, volume)])
    except wire.Refused as refusal:
        if "does not exist" in refusal.message:
            return False
        raise
    return True
