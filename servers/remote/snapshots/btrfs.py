"""A read-only snapshot of a btrfs subvolume, in a directory of root's alone at the top of its filesystem.

That top may be mounted, and be anybody's: who owns it can exchange each name in it, also that of our directory. So
what is frozen and where the snapshot goes are opened once, and the tool is given mounts of them that only root sees.
"""

import os
import re
import stat
from typing import Any, ContextManager, Dict, List, Tuple

from .. import confine, places, tree, validate, wire
from .tools import Place, act, check, is_own, make_own, make_point, parts, run, settle, show, show_own, unmount

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
    mounted = [one for one in _mounts(device) if not one.path.startswith(wire.raw(places.RUN) + b"/")]
    origins = [_seen_at(found, subvolume) for found in mounted if _holds(wire.shown(found.root), subvolume)]
    if not origins:
        raise wire.Refused("missing", "the subvolume {} of {} is not mounted".format(subvolume, device))
    check(origins)
    _open_top(place, device)
    _check_way(place, subvolume)
    _own_directory(place)
    below = run(["btrfs", "subvolume", "list", "-o", "--", place.source])
    settle(place.source)
    with hold:
        act(["btrfs", "subvolume", "snapshot", "-r", "--", place.source, _snapshot(place)], place)
    show(wire.raw(_snapshot(place)), place)
    unmount(place.top)
    unmount(place.source)
    left_out = [line.partition(" path ")[2] for line in below.splitlines() if " path " in line]
    inner = parts(mounted, subvolume)
    return {"origins": origins, "parts": inner, "device": device, "type": "btrfs", "left_out": left_out}


def state(place: Place, volume: Volume) -> Dict[str, Any]:
    """It takes its room from the filesystem: as long as it is there it is whole."""
    there = tree.is_mounted(wire.raw(place.mountpoint))
    return {"exists": there, "valid": there, "used_percent": None}


def remove(place: Place, volume: Volume) -> bool:
    """True when it was there. Our directory goes too; what has its name and is not root's alone is left."""
    unmount(place.source)
    unmount(place.top)
    _open_top(place, volume[0])
    top = tree.open_directory(wire.raw(place.top))
    try:
        status = tree.look(_name(place), top)
        if status is None:
            return False
        if not is_own(status):
            text = "{} at the top of {} is not a directory of ours"
            raise wire.Refused("unsafe", text.format(wire.shown(_name(place)), volume[0]))
        return _delete(place, top)
    finally:
        os.close(top)
        unmount(place.top)


def _delete(place: Place, top: int) -> bool:
    """What is in our directory, and the directory."""
    opened = tree.open_directory(_name(place), top)
    try:
        if not is_own(os.fstat(opened)):
            raise wire.Refused("unsafe", "{} was exchanged meanwhile".format(wire.shown(_name(place))))
        show_own(opened, place)
    finally:
        os.close(opened)
    there = os.path.isdir(_snapshot(place))
    if there:
        act(["btrfs", "subvolume", "delete", "--commit-after", "--", _snapshot(place)], place)
    run(["umount", "--", place.top])
    os.rmdir(_name(place), dir_fd=top)
    return there


def _check_way(place: Place, subvolume: str) -> None:
    """No link on the way to it: the subvolume that is frozen is the one whose place was checked."""
    opened, _ = tree.walk_to(wire.raw(place.top + subvolume.rstrip("/")))
    try:
        make_point(place.source, place)
        confine.bind(opened, wire.raw(place.source))
    finally:
        os.close(opened)


def _own_directory(place: Place) -> None:
    """Where the snapshot goes; from here on `place.top` is that directory."""
    top = tree.open_directory(wire.raw(place.top))
    try:
        make_own(_name(place), top, place)
    finally:
        os.close(top)


def _name(place: Place) -> bytes:
    """Our directory at the top."""
    return wire.raw("." + place.name)


def _snapshot(place: Place) -> str:
    """In our directory, which is seen at `place.top`."""
    return os.path.join(place.top, place.name)


def _open_top(place: Place, device: str) -> None:
    """The whole filesystem, for root alone: the directory above is private."""
    if tree.is_mounted(wire.raw(place.top)):
        return
    make_point(place.top, place)
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
