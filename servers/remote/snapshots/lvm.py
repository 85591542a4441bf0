"""A snapshot of a logical volume: classic with a size of its own, or thin in its pool."""

import json
import re
from typing import Any, ContextManager, Dict, List, Optional, Tuple

from .. import validate, wire
from .tools import Place, act, act_until_gone, check, mount, mounts_of, parts, run, settle

# What LVM itself allows in a name (lvm(8)); a leading hyphen would be an option.
_NAME = re.compile(r"[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,126}")
_FIELDS = "vg_name,lv_name,lv_path,lv_attr,lv_layout,lv_size,vg_extent_size,vg_free,data_percent,origin"
Volume = Tuple[str, str]


def volume(args: Dict[str, Any], secrets: Dict[str, Any]) -> Volume:
    """Volume group and logical volume."""
    return validate.text(args.get("vg"), "vg", _NAME), validate.text(args.get("lv"), "lv", _NAME)


def make(
    place: Place, volume: Volume, args: Dict[str, Any], hold: ContextManager[Any], control: wire.Control
) -> Dict[str, Any]:
    """`size_bytes` for a classic snapshot; a thin one takes its room from the pool as it needs it.

    One volume: LVM cannot freeze several at one moment, so that what lies on several is not offered here.
    """
    vg, lv = volume
    origin = _look(vg, lv)
    if origin is None:
        raise wire.Refused("missing", "there is no logical volume {}/{}".format(vg, lv))
    mounted = mounts_of(origin["lv_path"])
    if not mounted:
        raise wire.Refused("missing", "{}/{} is not mounted".format(vg, lv))
    origins = [wire.shown(one.path) for one in mounted if one.root == b"/"]
    check(origins)
    words = ["lvcreate", *_how(origin, args), "--snapshot", "--name", place.name, "{}/{}".format(vg, lv)]
    settle(origins[0])
    with hold:
        act(words, place)
    kind = mounted[0].kind
    device = "/dev/{}/{}".format(vg, place.name)
    # A filesystem of which the kernel sees the identity twice: XFS refuses that unless told.
    mount(device, place, kind, ["nouuid"] if kind == "xfs" else [])
    return {"origins": origins, "parts": parts(mounted), "device": device, "type": kind}


def _how(origin: Dict[str, str], args: Dict[str, Any]) -> List[str]:
    if _is_thin(origin):
        return ["--setactivationskip", "n"]
    _check_alone(origin)
    size = validate.number(args.get("size_bytes"), "size_bytes", 1, 1 << 60)
    extent = int(origin["vg_extent_size"])
    extents = -(-size // extent)
    if extents * extent > int(origin["vg_free"]):
        text = "the volume group has {} bytes free, the snapshot needs {}".format(origin["vg_free"], extents * extent)
        raise wire.Refused("no-room", text, free_bytes=int(origin["vg_free"]), needed_bytes=extents * extent)
    return ["--extents", str(extents)]


def _check_alone(origin: Dict[str, str]) -> None:
    """A second classic snapshot of one volume is refused: each of them copies every block before it is written, so
    that two make all writes to the volume as slow as three, and both fill up twice as fast as was planned.
    """
    vg, lv = origin["vg_name"], origin["lv_name"]
    ours = [row["lv_name"] for row in _select('vg_name="{}" && origin="{}"'.format(vg, lv))]
    first = [name for name in ours if name.startswith("phpborg-")]
    if first:
        text = "{}/{} has a snapshot of another backup, {}: wait for its end; what was left behind is removed by itself"
        raise wire.Refused("snapshot", text.format(vg, lv, first[0]), name=first[0])


def _is_thin(found: Dict[str, str]) -> bool:
    return "thin" in found["lv_layout"].split(",")


def state(place: Place, volume: Volume) -> Dict[str, Any]:
    """A classic snapshot that overflowed is invalid: what was read from it since is not to be trusted."""
    found = _look(volume[0], place.name)
    if found is None:
        return {"exists": False, "valid": False, "used_percent": None}
    used = float(found["data_percent"]) if found["data_percent"] else None
    # The fifth letter: I = invalid snapshot, S = suspended and invalid (lvs(8)).
    valid = found["lv_attr"][4:5] not in ("I", "S") and (used is None or used < 100 or _is_thin(found))
    return {"exists": True, "valid": valid, "used_percent": used}


def remove(place: Place, volume: Volume) -> bool:
    """True when it was there. Who reads it still (borg has a view of its own) is waited for."""
    words = ["lvremove", "--yes", "--force", "{}/{}".format(volume[0], place.name)]
    return act_until_gone(words, place, lambda: _look(volume[0], place.name) is not None, " in use")


def _look(vg: str, lv: str) -> Optional[Dict[str, str]]:
    """One volume as `lvs` reports it, sizes in bytes; None when there is none of this name, or no such group."""
    found = _select('vg_name="{}" && lv_name="{}"'.format(vg, lv))
    return found[0] if found else None


def _select(condition: str) -> List[Dict[str, str]]:
    words = ["lvs", "--reportformat", "json", "--units", "b", "--nosuffix", "--options", _FIELDS]
    rows = json.loads(run([*words, "--select", condition]))
    return [row for report in rows["report"] for row in report["lv"]]
