"""Can what lies at these paths be frozen in a snapshot, how large must that be, and why (not). Pure.

An answer is a code with facts; its sentence is made for its reader. Among the facts a whole number is bytes, a
fraction is a share, a text is itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from phpborg.ui.format import byte_size, percent
from servers.capabilities import volumes
from servers.capabilities.report import Report
from servers.capabilities.volumes import Kind, Volume

GIB, GB = 1 << 30, 10**9
LEAST_BYTES = GIB
SHARE, LARGE_SHARE, LARGE_BYTES = 20, 10, 100 * GB  # percent of the data; above LARGE_BYTES the smaller share
LEFT_FREE = 5  # percent of the volume group's free space that a snapshot leaves alone
LEAST_SHARE = 10  # percent of the data below which a snapshot would overflow
FULL_POOL = 95.0  # percent: from here on a thin pool is about to stop everything that it holds
_EXTENT = 4 << 20  # LVM's own default
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "9p")
# Origins, mirrors, RAID, cached: LVM makes classic snapshots of all of these (the first letter of lv_attr).
_SNAPSHOTABLE = tuple("-ormMRC")

WORDS: dict[str, str | Promise] = {
    # possible
    "lvm": _(
        "LVM keeps {size} for what changes meanwhile: {share} of the data ({data}), at least 1 GiB. "
        "When more changes during the backup, the snapshot overflows and the backup fails."
    ),
    "lvm-tight": _(
        "LVM keeps {size} for what changes meanwhile: less than the {wanted} that would be usual, because the volume "
        "group {vg} has {free} free and 5 % of that are left alone. When more changes, the backup fails."
    ),
    "lvm-thin": _("A thin volume needs no size: a snapshot takes its room from the pool {pool} as it needs it."),
    "btrfs": _("A snapshot of the subvolume {subvolume} takes no room at first and needs no size."),
    "zfs": _("A snapshot of the dataset {dataset} takes no room at first and needs no size."),
    # not possible
    "no-path": _("Where the data lies is not known. Start the server, or give us a login, and look again."),
    "contained": _("It runs in a container: its volumes are saved with Docker, or its data by a dump."),
    "no-mount": _("It is not known on which filesystem {path} lies. Look again; the mounts could not be read."),
    "several": _(
        "It lies on several volumes ({volumes}), which cannot be frozen at one moment. Use the method that streams, "
        "or move it all to one volume."
    ),
    "network": _("{path} lies on a network filesystem ({fstype}). Make snapshots where the disk is, or stream."),
    "plain": _(
        "{path} lies on {source} ({fstype}), where there are no snapshots. Use the method that streams, or move the "
        "data to a logical volume, a btrfs subvolume or a ZFS dataset."
    ),
    "below": _(
        "Another filesystem is mounted inside it, at {below}, and would be missing from a snapshot. Use the method "
        "that streams, or bring it to the same volume."
    ),
    "subvolume-below": _(
        "The subvolume {below} lies inside it and would be empty in a snapshot. Use the method that streams, or make "
        "it a plain directory."
    ),
    "lvm-kernel": _("The kernel cannot make LVM snapshots. Load its module: modprobe dm_snapshot"),
    "lvm-kind": _(
        "LVM makes no snapshot of {name}, which is a snapshot or a pool itself. Use the method that streams."
    ),
    "lvm-unknown": _("How much room the volume group of {name} has left is not known. Look again."),
    "lvm-size": _("How much data there is is not known, so the size of a snapshot cannot be told. Look again."),
    "lvm-full": _(
        "The volume group {vg} has {free} free; a snapshot of {data} needs at least {least} besides 5 % left alone. "
        "Make room in it (vgextend, lvreduce), or use the method that streams."
    ),
    "pool-full": _("The thin pool {pool} is {used} full: a snapshot could stop everything in it. Extend it first."),
    "btrfs-unknown": _("The subvolumes of {source} are not known. Install btrfs-progs on the server and look again."),
    "btrfs-part": _(
        "Only a part of the subvolume {subvolume} is mounted. Mount the subvolume itself, then look again."
    ),
}


@dataclass(frozen=True)
class Advice:
    """What to expect of a snapshot. `inside` says where each path lies in it; `size_bytes` only where one is needed."""

    possible: bool
    code: str
    facts: dict[str, Any] = field(default_factory=dict)
    volume: Volume | None = None
    size_bytes: int | None = None
    inside: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The rule, or the reason why not and what to do, in the active language."""
        return str(WORDS[self.code]).format_map({name: _worded(value) for name, value in self.facts.items()})

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "possible": self.possible,
            "code": self.code,
            "facts": self.facts,
            "text": self.text,
            "volume": self.volume.name if self.volume else None,
            "kind": str(self.volume.kind) if self.volume else None,
            "size_bytes": self.size_bytes,
            "inside": self.inside,
        }


def advise(report: Report, paths: Sequence[str], data_bytes: int | None) -> Advice:
    """About one snapshot that holds all these paths; `data_bytes` is what they occupy together, None when unknown."""
    if not paths:
        return Advice(False, "no-path")
    common = volumes.common_volume(report, paths)
    if common.unknown:
        return Advice(False, "no-mount", {"path": common.unknown[0]})
    volume = common.volume
    if volume is None:
        return Advice(False, "several", {"volumes": ", ".join(one.name for one in common.volumes)})
    refusal = _refusal(report, volume, paths)
    if refusal is not None:
        return Advice(False, *refusal, volume)
    seen = {path: where.inside(path) for path in paths if (where := volumes.locate(report, path))}
    if volume.kind is Kind.LVM and not volume.is_thin:
        return _classic(volume, data_bytes, seen)
    code = "lvm-thin" if volume.is_thin else str(volume.kind)
    return Advice(True, code, _facts(volume), volume, inside=seen)


def classic_bytes(data_bytes: int, free_bytes: int, extent_bytes: int) -> tuple[int, int]:
    """(the size of a classic LVM snapshot, the size that it would have with room) in whole extents; (0, …): no room."""
    share = LARGE_SHARE if data_bytes > LARGE_BYTES else SHARE
    wanted = max(LEAST_BYTES, data_bytes * share // 100)
    wanted = -(-wanted // extent_bytes) * extent_bytes
    most = free_bytes * (100 - LEFT_FREE) // 100 // extent_bytes * extent_bytes
    size = min(wanted, most)
    return (size if size * 100 >= data_bytes * LEAST_SHARE else 0), wanted


Refusal = tuple[str, dict[str, Any]]


def _refusal(report: Report, volume: Volume, paths: Sequence[str]) -> Refusal | None:
    """Why there is no snapshot of this volume with these paths whole in it, before any question of size."""
    facts = _facts(volume)
    fstype = volume.mount.fstype or ""
    if volume.kind is Kind.PLAIN:
        remote = fstype in _NETWORK or fstype.startswith("fuse.")
        return "network" if remote else "plain", {**facts, "path": paths[0]}
    for path in paths:
        if mounted := volumes.mount_below(report, path):
            return "below", {"below": mounted.target or ""}
        if inner := volumes.subvolume_below(volume, path):
            return "subvolume-below", {"below": inner}
    if volume.kind is Kind.LVM:
        return _lvm_refusal(report, volume, facts)
    if volume.kind is Kind.BTRFS:
        # A list that was cut may lack the very subvolume: its place in another one's snapshot is empty.
        if volume.filesystem is None or report.cut:
            return "btrfs-unknown", facts
        if not volumes.can_be_reached(report, volume):
            return "btrfs-part", facts
    return None


def _lvm_refusal(report: Report, volume: Volume, facts: dict[str, Any]) -> Refusal | None:
    if report.lvm is None or volume.lv is None:
        return "lvm-unknown", facts
    if volume.is_thin:
        used = volume.pool.data_percent if volume.pool else None
        return ("pool-full", {**facts, "used": used / 100}) if used is not None and used >= FULL_POOL else None
    if report.lvm.snapshots_possible is False:
        return "lvm-kernel", facts
    other = volume.lv.kind == "other" and (volume.lv.attr or "-").startswith(_SNAPSHOTABLE)
    return None if volume.lv.kind == "linear" or other else ("lvm-kind", facts)


def _classic(volume: Volume, data_bytes: int | None, inside: dict[str, str]) -> Advice:
    """With a size of its own. What the filesystem holds in all stands in for data that could not be counted."""
    facts = _facts(volume)
    data = data_bytes if data_bytes is not None else volume.mount.used_bytes
    if volume.group is None or volume.group.free_bytes is None:
        return Advice(False, "lvm-unknown", facts, volume)
    if data is None or data < 0:
        return Advice(False, "lvm-size", facts, volume)
    size, wanted = classic_bytes(data, volume.group.free_bytes, _extent(volume))
    facts |= {"data": data, "free": volume.group.free_bytes, "wanted": wanted, "size": size}
    if not size:
        return Advice(False, "lvm-full", {**facts, "least": max(data * LEAST_SHARE // 100, _extent(volume))}, volume)
    facts["share"] = (LARGE_SHARE if data > LARGE_BYTES else SHARE) / 100
    return Advice(True, "lvm" if size == wanted else "lvm-tight", facts, volume, size, inside)


def _extent(volume: Volume) -> int:
    found = volume.group.extent_bytes if volume.group else None
    return found if found and found > 0 else _EXTENT


def _facts(volume: Volume) -> dict[str, Any]:
    """What the sentences of this volume may name."""
    facts: dict[str, Any] = {"name": volume.name, "source": volume.mount.source or "", "fstype": volume.mount.fstype}
    facts["fstype"] = facts["fstype"] or "?"
    if volume.lv is not None:
        facts |= {"vg": volume.lv.vg or "", "pool": f"{volume.lv.vg}/{volume.lv.pool}"}
    if volume.kind is Kind.BTRFS:
        facts["subvolume"] = volume.subvolume
    if volume.kind is Kind.ZFS:
        facts["dataset"] = volume.name
    return facts


def _worded(value: Any) -> str:
    if isinstance(value, float):
        return percent(value)
    return byte_size(value) if isinstance(value, int) else str(value)
