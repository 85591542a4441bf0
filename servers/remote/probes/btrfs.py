"""btrfs filesystems with their subvolumes."""

import os
import re
from typing import Any, Callable, Dict, List, Optional

from .. import wire
from . import base, mounts

_HEAD = re.compile(r"Label: (?:none|'(.*)')\s+uuid: ([0-9a-fA-F-]{36})\s*$")
_USED = re.compile(r"\s*Total devices \d+ FS bytes used (\d+)")
_DEVICE = re.compile(r"\s*devid\s+\d+ size (\d+) used \d+ path (.*)$")
_MISSING = re.compile(r"devid .*MISSING$|\*\*\* Some devices missing", re.MULTILINE)
_SUBVOLUME = re.compile(r"ID (\d+) gen \d+ top level (\d+) path (.*)$")
_TOP = 5


def probe(look: base.Look) -> Dict[str, Any]:
    """Every btrfs that the kernel knows; subvolumes of those that are mounted."""
    if look.find("btrfs") is None:
        return {"installed": False, "version": None, "problem": None, "filesystems": []}
    facts: Dict[str, Any] = {"installed": True, "problem": None, "filesystems": []}
    facts["version"] = version(look.run(["btrfs", "--version"]).out)
    ran = look.run(["btrfs", "filesystem", "show", "--raw"])
    if not ran.ok:
        return dict(facts, problem="btrfs filesystem show failed: {}".format(_words(ran)))
    if _MISSING.search(ran.out):
        facts["problem"] = "a device of a btrfs filesystem is missing"
    mounted = [mount for mount in mounts.visible(mounts.kernel_table()) if mount["fstype"] == "btrfs"]
    mounted = [mount for mount in mounted if os.path.isdir(wire.raw(mount["target"]))]  # not a file that is bound
    for filesystem in filesystems(ran.out):
        own = mounts_of(filesystem["devices"], mounted, _real)
        filesystem["mountpoints"] = [mount["target"] for mount in own]
        if own:
            ran = look.run(["btrfs", "subvolume", "list", own[0]["target"]])
            filesystem["subvolumes"] = subvolumes(ran.out, own)
            if not ran.ok:
                facts["problem"] = "btrfs subvolume list {} failed: {}".format(own[0]["target"], _words(ran))
        facts["filesystems"].append(filesystem)
    return facts


def _real(path: str) -> str:
    return wire.shown(os.path.realpath(wire.raw(path)))


def _words(ran: base.Ran) -> str:
    return (ran.err or ran.out).strip()[-500:] or "exit status {}".format(ran.code)


def version(text: str) -> Optional[str]:
    """`btrfs-progs v6.2` -> "6.2"."""
    words = text.split()
    return words[1].lstrip("v") if len(words) > 1 and words[0] == "btrfs-progs" else None


def filesystems(text: str) -> List[Dict[str, Any]]:
    """The answer of `btrfs filesystem show --raw`; mount points and subvolumes are still empty.

    `size_bytes` is what the devices hold together: two in RAID 1 store half of it.
    """
    found: List[Dict[str, Any]] = []
    for line in text.split("\n"):
        head, used, device = _HEAD.match(line), _USED.match(line), _DEVICE.match(line)
        if head:
            found.append({"uuid": head.group(2), "label": head.group(1), "size_bytes": None, "used_bytes": None})
            found[-1].update(devices=[], mountpoints=[], subvolumes=[])
        elif found and used:
            found[-1]["used_bytes"] = int(used.group(1))
        elif found and device:
            # A device that is missing has size 0, and words in or behind the place of its path.
            found[-1]["size_bytes"] = (found[-1]["size_bytes"] or 0) + int(device.group(1))
            if not device.group(2).endswith("MISSING"):
                found[-1]["devices"].append(device.group(2))
    return found


def mounts_of(devices: List[str], mounted: List[mounts.Mount], real: Callable[[str], str]) -> List[mounts.Mount]:
    """Those mounts whose source is one of the devices, whatever name of it they use."""
    known = {real(device) for device in devices}
    return [mount for mount in mounted if real(mount["source"]) in known]


def subvolumes(text: str, mounted: List[mounts.Mount]) -> List[Dict[str, Any]]:
    """The answer of `btrfs subvolume list` for the first mount; `mountpoint` where one is mounted itself.

    The tool writes paths below the subvolume that is mounted without that one's own path, all others
    from the top of the filesystem.
    """
    places: Dict[str, str] = {}
    for mount in mounted:
        places.setdefault(mount["root"], mount["target"])
    lines = [match.groups() for match in map(_SUBVOLUME.match, text.split("\n")) if match]
    above = {int(number): int(top) for number, top, _ in lines}
    shown = {int(number): path for number, _, path in lines}
    asked = _mounted_id(mounted[0])
    found = []
    for number, written in shown.items():
        is_relative = asked in shown and _is_below(number, asked, above)
        path = "{}/{}".format(shown[asked], written) if is_relative else written
        found.append({"id": number, "path": path, "mountpoint": places.get("/" + path)})
    return found


def _mounted_id(mount: mounts.Mount) -> int:
    for option in mount["options"]:
        if option.startswith("subvolid="):
            return int(option[len("subvolid=") :])
    return _TOP


def _is_below(number: int, other: int, above: Dict[int, int]) -> bool:
    seen = set()
    while number in above and number not in seen:
        seen.add(number)
        number = above[number]
        if number == other:
            return True
    return False
