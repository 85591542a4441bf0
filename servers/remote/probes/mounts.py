"""What is mounted where, and how full it is."""

import json
import os
import re
from typing import Any, Dict, Iterable, Iterator, List, Optional

from .. import space, tree, wire
from . import base

Mount = Dict[str, Any]

_COLUMNS = "TARGET,SOURCE,FSTYPE,OPTIONS,MAJ:MIN,FSROOT"
_PSEUDO = set(
    "autofs binfmt_misc bpf cgroup cgroup2 configfs debugfs devfs devpts devtmpfs efivarfs fuse.gvfsd-fuse fuse.lxcfs "
    "fuse.portal fuse.snapfuse fusectl hugetlbfs mqueue nfsd nsfs proc pstore ramfs rootfs rpc_pipefs securityfs "
    "selinuxfs sysfs tracefs".split()
)
_KERNEL_PLACES = ("/run", "/dev", "/sys", "/proc")
# What container engines mount for their containers, wherever their data was moved.
_CONTAINERS = re.compile(r"/(docker|containerd|containers/storage|kubelet|crio|overlay2)/|/merged$")


def probe(look: base.Look) -> Dict[str, Any]:
    """Every real filesystem's mounts; sizes are None, with `problem`, where one does not answer."""
    mounts = [mount for mount in visible(table(look)) if is_real(mount)]
    sizes = space.measure([(mount["target"], mount["fstype"]) for mount in mounts])
    kept = ("size_bytes", "used_bytes", "available_bytes", "problem")
    return {"mounts": [dict(mount, **{key: sizes[mount["target"]][key] for key in kept}) for mount in mounts]}


def table(look: base.Look) -> List[Mount]:
    """All mounts in the order in which they were made.

    From findmnt, or from the kernel where it is missing or cannot write JSON (busybox, util-linux
    before 2.27). Sizes are not asked of findmnt: one dead file server would hang it.
    """
    ran = look.run(["findmnt", "--json", "--list", "--bytes", "--nofsroot", "--output", _COLUMNS])
    try:
        return [_resolved(mount) for mount in from_findmnt(ran.out)] if ran.ok else kernel_table()
    except (ValueError, KeyError, TypeError, AttributeError):
        return kernel_table()


def kernel_table() -> List[Mount]:
    """The same from the kernel alone."""
    with open("/proc/self/mountinfo", "rb") as file:
        return [_resolved(mount) for mount in from_mountinfo(file.read())]


def from_findmnt(text: str) -> List[Mount]:
    """The answer of `findmnt --json --list`; as a tree too. Raises ValueError or KeyError for anything else."""
    return [
        {
            "target": entry["target"],
            "source": entry["source"],
            "fstype": entry["fstype"],
            "options": (entry["options"] or "").split(","),
            "device": entry["maj:min"].strip(),
            "root": entry["fsroot"],
        }
        for entry in _flat(json.loads(text, strict=False)["filesystems"])
    ]


def _flat(entries: List[Dict[str, Any]]) -> Iterator[Dict[str, Any]]:
    for entry in entries:
        yield entry
        for below in _flat(entry.get("children", [])):
            yield below


def from_mountinfo(data: bytes) -> List[Mount]:
    """The lines of /proc/self/mountinfo; blanks, tabs, line ends and backslashes are octal in them."""
    mounts = []
    for line in data.split(b"\n"):
        left, dash, right = line.partition(b" - ")
        fields, more = left.split(b" "), right.split(b" ")
        if not dash or len(fields) < 6 or len(more) < 3:
            continue
        mounts.append(
            {
                "target": _plain(fields[4]),
                "source": _plain(more[1]),
                "fstype": _plain(more[0]),
                "options": _options(_plain(fields[5]).split(","), _plain(more[2]).split(",")),
                "device": _plain(fields[2]),
                "root": _plain(fields[3]),
            }
        )
    return mounts


def _plain(word: bytes) -> str:
    return wire.shown(tree.unescape(word))


def _options(own: List[str], filesystem: List[str]) -> List[str]:
    """The mount's own options, then its filesystem's; what is read-only on either side is read-only."""
    access = "ro" if "ro" in own or "ro" in filesystem else "rw"
    return [access] + [option for option in dict.fromkeys(own + filesystem) if option not in ("ro", "rw")]


def _resolved(mount: Mount) -> Mount:
    """`/dev/root` is the kernel's word for the device that it started from: its real name instead."""
    if mount["source"] == "/dev/root":
        node = os.path.realpath("/sys/dev/block/" + mount["device"])
        if os.path.isdir(node):
            mount["source"] = "/dev/" + os.path.basename(node)
    return mount


def visible(mounts: Iterable[Mount]) -> List[Mount]:
    """Without those that a later mount at the same place hides."""
    last = {mount["target"]: mount for mount in mounts}
    return list(last.values())


def is_real(mount: Mount) -> bool:
    """Does it hold somebody's data? Not the kernel's filesystems, containers' layers, packages' images, archives."""
    kind, target = mount["fstype"], mount["target"]
    if kind in _PSEUDO or (kind.startswith("fuse") and mount["source"] == "borgfs"):
        return False
    if kind == "tmpfs":
        return not _CONTAINERS.search(target) and not any(_below(target, place) for place in _KERNEL_PLACES)
    if kind == "overlay":
        return target == "/" or not _CONTAINERS.search(target)
    if kind == "zfs" and "@" in mount["source"]:
        return False  # a snapshot: the kernel mounts one for minutes below `.zfs` when somebody looks into it
    if kind == "squashfs":
        return not target.startswith(("/snap/", "/var/lib/snapd/", "/var/snap/"))
    return True


def _below(path: str, place: str) -> bool:
    return path == place or path.startswith(place + "/")


def filesystems(mounts: Iterable[Mount]) -> List[Mount]:
    """Each real filesystem on a device or a server once, by its plainest mount: bind mounts show it again."""
    found: Dict[str, Mount] = {}
    for mount in visible(mounts):
        if not is_real(mount) or mount["fstype"] in ("tmpfs", "squashfs"):
            continue
        if mount["fstype"] == "overlay" and mount["target"] != "/":
            continue
        other: Optional[Mount] = found.get(mount["device"])
        if other is None or _plainness(mount) < _plainness(other):
            found[mount["device"]] = mount
    return sorted(found.values(), key=lambda mount: mount["target"])


def _plainness(mount: Mount) -> List[Any]:
    """The filesystem's own root before a directory of it, then the shorter path."""
    return [mount["root"] != "/", len(mount["target"]), mount["target"]]
