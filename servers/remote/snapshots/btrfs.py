"""A read-only snapshot of a btrfs subvolume, made at the top of its filesystem where no application looks."""

import os
import re
import stat
from typing import Any, ContextManager, Dict, List, Tuple

from .. import tree, validate, wire
from .tools import Place, act, check, mount, run, settle, unmount

_DEVICE = re.compile(r"/dev/[A-Za-z0-9+_.:/-]{1,200}")
_TOP = 5  # the id of a filesystem's top subvolume
Volume = Tuple[str, str]


def volume(args: Dict[str, Any], secrets: Dict[str, Any]) -> Volume:
    """A device of the filesystem, as it is mounted, and the subvolume's path from the top ("/" is the top itself)."""
    device = validate.text(args.get("device"), "device", _DEVICE)
    try:
        block = stat.S_ISBLK(os.stat(os.path.realpath(device)).st_mode)
    except OSError:
        block = False
    if not block or not _mounts(device):
        # A file would be attached and mounted by root, with whatever is in it.
        raise wire.Refused("missing", "{} is no mounted btrfs".format(device))
    return device, wire.shown(validate.absolute(args.get("subvolume"), "subvolume"))


def make(
    place: Place, volume: Volume, args: Dict[str, Any], hold: ContextManager[Any], control: wire.Control
) -> Dict[str, Any]:
    """Answers `left_out` too: subvolumes below this one, which a snapshot does not hold."""
    device, subvolume = volume
    origins = [_seen_at(found, subvolume) for found in _mounts(device) if _holds(wire.shown(found.root), subvolume)]
    if not origins:
        raise wire.Refused("missing", "the subvolume {} of {} is not mounted".format(subvolume, device))
    check(origins)
    _open_top(place, device)
    _check_way(place, subvolume)
    below = run(["btrfs", "subvolume", "list", "-o", "--", _at(place, subvolume)])
    settle(place.top)
    with hold:
        act(["btrfs", "subvolume", "snapshot", "-r", "--", _at(place, subvolume), _snapshot(place)], place)
    unmount(place.top)
    mount(device, place, "btrfs", ["subvol=/." + place.name])
    left_out = [line.partition(" path ")[2] for line in below.splitlines() if " path " in line]
    return {"origins": origins, "device": device, "type": "btrfs", "left_out": left_out}


def state(place: Place, volume: Volume) -> Dict[str, Any]:
    """It takes its room from the filesystem: as long as it is there it is whole."""
    there = tree.is_mounted(wire.raw(place.mountpoint))
    return {"exists": there, "valid": there, "used_percent": None}


def remove(place: Place, volume: Volume) -> bool:
    """True when it was there."""
    _open_top(place, volume[0])
    try:
        if not os.path.isdir(_snapshot(place)) or os.path.islink(_snapshot(place)):
            return False
        act(["btrfs", "subvolume", "delete", "--commit-after", "--", _snapshot(place)], place)
        return True
    finally:
        unmount(place.top)


def _check_way(place: Place, subvolume: str) -> None:
    """No link on the way to it: the subvolume that is frozen is the one whose place was checked."""
    opened, _ = tree.walk_to(wire.raw(_at(place, subvolume)))
    os.close(opened)


def _at(place: Place, subvolume: str) -> str:
    return place.top + subvolume.rstrip("/")


def _snapshot(place: Place) -> str:
    return os.path.join(place.top, "." + place.name)


def _open_top(place: Place, device: str) -> None:
    """The whole filesystem, for root alone: the directory above is private."""
    if tree.is_mounted(wire.raw(place.top)):
        return
    os.makedirs(place.top, mode=0o700, exist_ok=True)
    options = "nosuid,nodev,noexec,subvolid={}".format(_TOP)
    act(["mount", "-t", "btrfs", "-o", options, "--", device, place.top], place)


def _mounts(device: str) -> List[tree.Mounted]:
    """Where the filesystem of this device is mounted: btrfs has no device number of its own in mountinfo."""
    real = os.path.realpath(wire.raw(device))
    return [one for one in tree.mounted() if one.kind == "btrfs" and os.path.realpath(one.source) == real]


def _holds(root: str, subvolume: str) -> bool:
    return root == "/" or subvolume == root or subvolume.startswith(root + "/")


def _seen_at(found: tree.Mounted, subvolume: str) -> str:
    """The subvolume's own path in the live system."""
    root = wire.shown(found.root)
    rest = subvolume if root == "/" else subvolume[len(root) :]
    return (wire.shown(found.path).rstrip("/") + rest).rstrip("/") or "/"
