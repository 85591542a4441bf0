"""On which volume a path lies, and where it is inside a snapshot of that volume. Pure, from a report's facts.

Paths are real paths (links resolved), as the probes give them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from servers.capabilities.report import Report
from servers.capabilities.storage import BtrfsFilesystem, Dataset, LogicalVolume, Mount, VolumeGroup, normal

# What lies there is gone after a restart anyway: nobody misses it in a snapshot.
_VOLATILE = {"tmpfs", "ramfs"}


class Kind(StrEnum):
    """What a volume is; PLAIN has no snapshots."""

    LVM = "lvm"
    BTRFS = "btrfs"
    ZFS = "zfs"
    PLAIN = "plain"


@dataclass(frozen=True)
class Volume:
    """The volume below a mount point. Only the facts of its kind are there.

    `root` is the part of the volume that is mounted ("/", or a bind mount's source), counted from the top of
    what a snapshot holds.
    """

    kind: Kind
    name: str  # for people: vg/lv, dataset, subvolume on a device, or the device
    mount: Mount
    root: str = "/"
    lv: LogicalVolume | None = None
    group: VolumeGroup | None = None
    pool: LogicalVolume | None = None
    filesystem: BtrfsFilesystem | None = None
    subvolume: str = ""  # from the top of its filesystem, "/" is the top itself
    dataset: Dataset | None = None

    @property
    def mount_point(self) -> str:
        return self.mount.target or "/"

    @property
    def is_thin(self) -> bool:
        return self.lv is not None and self.lv.kind == "thin"

    def inside(self, path: str) -> str:
        """Where `path` lies in a mounted snapshot of this volume, from its root: "/" is the root itself."""
        return _below(self.root, _rest(path, self.mount_point))

    def arguments(self) -> dict[str, str]:
        """What names this volume to the helper's verb `snapshot`; empty when there is no snapshot of it."""
        if self.kind is Kind.LVM and self.lv is not None:
            return {"kind": "lvm", "vg": self.lv.vg or "", "lv": self.lv.name or ""}
        if self.kind is Kind.BTRFS:
            return {"kind": "btrfs", "device": self.mount.source or "", "subvolume": self.subvolume}
        if self.kind is Kind.ZFS:
            return {"kind": "zfs", "dataset": self.name}
        return {}


@dataclass(frozen=True)
class Common:
    """Where several paths lie. `volume` is the one for all of them, None when there is no such one."""

    volumes: tuple[Volume, ...]
    unknown: tuple[str, ...]  # paths whose volume is not known

    @property
    def volume(self) -> Volume | None:
        return self.volumes[0] if len(self.volumes) == 1 and not self.unknown else None


def holds(directory: str, path: str) -> bool:
    """Is `path` this directory, or below it?"""
    return directory in ("/", path) or path.startswith(directory + "/")


def mount_of(report: Report, path: str) -> Mount | None:
    """The filesystem that holds a path: the one with the longest mount point."""
    points = _points(report)
    return next((points[place] for place in _upwards(normal(path)) if place in points), None)


def mount_below(report: Report, path: str) -> Mount | None:
    """Another filesystem inside a directory, which a snapshot of its volume does not hold; None when there is none."""
    points = _points(report)
    below = _inside(list(points), normal(path))
    return next((points[place] for place in below if points[place].fstype not in _VOLATILE), None)


def subvolume_below(volume: Volume, path: str) -> str | None:
    """A btrfs subvolume inside a directory, by its path from the top: a snapshot has an empty directory there."""
    if volume.filesystem is None:
        return None
    return next(_inside(volume.filesystem.paths, _below(volume.subvolume, volume.inside(path))), None)


def locate(report: Report, path: str) -> Volume | None:
    """The volume of a path; None when the mounts are not known."""
    mount = mount_of(report, path)
    if mount is None:
        return None
    if mount.fstype == "btrfs":
        return _btrfs(report, mount, path)
    root = mount.root or "/"
    if mount.fstype == "zfs":
        dataset = _first(report.zfs.datasets if report.zfs else (), mount.source)
        return Volume(Kind.ZFS, mount.source or "", mount, root, dataset=dataset)
    lv = _lv_of(report, mount)
    if lv is None or report.lvm is None:
        return Volume(Kind.PLAIN, mount.source or mount.fstype or "", mount, root)
    group = _first(report.lvm.vgs, lv.vg)
    pool = next((one for one in report.lvm.lvs if one.vg == lv.vg and one.name == lv.pool), None)
    return Volume(Kind.LVM, f"{lv.vg}/{lv.name}", mount, root, lv=lv, group=group, pool=pool)


def common_volume(report: Report, paths: Sequence[str]) -> Common:
    """The volume of several paths: only what lies on one volume can be frozen at one moment."""
    volumes: dict[tuple[Kind, str], Volume] = {}
    unknown = []
    for path in paths:
        volume = locate(report, path)
        if volume is None:
            unknown.append(path)
        else:
            volumes.setdefault((volume.kind, volume.name), volume)
    return Common(tuple(volumes.values()), tuple(unknown))


def can_be_reached(report: Report, volume: Volume) -> bool:
    """Is the subvolume itself mounted somewhere, or what holds it? Through a part of it, it cannot be frozen."""
    mounts = [mount for mount in _points(report).values() if mount.fstype == "btrfs"]
    same = [mount for mount in mounts if mount.source == volume.mount.source]
    return any(holds(mount.root or "/", volume.subvolume) for mount in same)


def _points(report: Report) -> dict[str, Mount]:
    return report.mounts.points if report.mounts else {}


def _upwards(path: str) -> Iterator[str]:
    """The path, its parent, and so on to "/"."""
    while path != "/":
        yield path
        path = path.rpartition("/")[0] or "/"
    yield "/"


def _inside(places: list[str], directory: str) -> Iterator[str]:
    """Those of the sorted places that lie below a directory: a report may hold thousands of them."""
    prefix = directory.rstrip("/") + "/"
    for place in places[bisect_left(places, prefix) :]:
        if not place.startswith(prefix):
            return
        if place != directory:
            yield place


def _first(rows: Iterable[VolumeGroup] | Iterable[Dataset], name: str | None) -> Any:
    return next((row for row in rows if row.name == name), None)


def _lv_of(report: Report, mount: Mount) -> LogicalVolume | None:
    """By any of its names; by its minor number only when the source says that it is a mapped device."""
    names, source = report.lvm.names if report.lvm else {}, mount.source or ""
    minor = (mount.device or "").partition(":")[2]
    is_mapped = minor and source.startswith(("/dev/mapper/", "/dev/dm-"))
    return names.get(source) or (names.get(f"/dev/dm-{minor}") if is_mapped else None)


def _btrfs(report: Report, mount: Mount, path: str) -> Volume:
    """The innermost subvolume on the way to the path, counted from the top of the filesystem."""
    filesystems = report.btrfs.filesystems if report.btrfs else ()
    found = next((one for one in filesystems if mount.source in one.devices or mount.target in one.mountpoints), None)
    root = mount.root or "/"
    whole = _below(root, _rest(path, mount.target or "/"))
    known = set(found.paths) if found else set()
    subvolume = next((place for place in _upwards(whole) if place in known), "/")
    # A bind mount may begin above the subvolume, at it, or somewhere inside.
    if holds(subvolume, root):
        point, inside = mount, _below("/", _rest(root, subvolume))
    else:
        point, inside = _moved(mount, subvolume, root), "/"
    name = f"{subvolume} ({mount.source})"
    return Volume(Kind.BTRFS, name, point, inside, filesystem=found, subvolume=subvolume)


def _moved(mount: Mount, subvolume: str, root: str) -> Mount:
    """The mount as if it were the subvolume's own: a subvolume inside a mounted one has no mount point of its own."""
    return replace(mount, target=_below(mount.target or "/", _rest(subvolume, root)), root=subvolume)


def _rest(path: str, directory: str) -> str:
    """`path` as seen from the directory that holds it: "" or "/…"."""
    return normal(path)[len(directory.rstrip("/")) :].rstrip("/")


def _below(directory: str, rest: str) -> str:
    return normal(f"{directory}/{rest}")
