"""A snapshot of a ZFS dataset."""

import re
from typing import Any, ContextManager, Dict, List

from .. import tree, validate, wire
from .tools import Place, act, check, mount, run

# zfs(8): components of letters, digits and _-:. — a leading hyphen would be an option.
_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]*(?:/[A-Za-z0-9][A-Za-z0-9_.: -]*)*")


def volume(args: Dict[str, Any], secrets: Dict[str, Any]) -> str:
    """The dataset."""
    return validate.text(args.get("dataset"), "dataset", _DATASET, 255)


def make(
    place: Place, volume: str, args: Dict[str, Any], hold: ContextManager[Any], control: wire.Control
) -> Dict[str, Any]:
    """Of this dataset alone: those below it are datasets of their own."""
    origins = _mounted_at(volume)
    check(origins)
    with hold:
        act(["zfs", "snapshot", _name(place, volume)], place)
    mount(_name(place, volume), place, "zfs", [])
    return {"origins": origins, "device": _name(place, volume), "type": "zfs"}


def state(place: Place, volume: str) -> Dict[str, Any]:
    """It takes its room from the pool: as long as it is there it is whole."""
    there = _exists(place, volume)
    return {"exists": there, "valid": there, "used_percent": None}


def remove(place: Place, volume: str) -> bool:
    """True when it was there."""
    if not _exists(place, volume):
        return False
    act(["zfs", "destroy", _name(place, volume)], place)
    return True


def _mounted_at(volume: str) -> List[str]:
    """As the kernel knows it: a dataset with a “legacy” mount point says nothing itself."""
    known = [one for one in tree.mounted() if one.kind == "zfs" and one.source == wire.raw(volume)]
    return [wire.shown(one.path) for one in known]


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
