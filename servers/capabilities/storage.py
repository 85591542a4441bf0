"""What a report says of filesystems and of what lies below them."""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from functools import cached_property

_TREE = "<FS_TREE>/"  # how btrfs may begin a path that is counted from the top


def normal(path: str) -> str:
    """A path without double slashes, dots and a slash at its end."""
    return "/" + os.path.normpath(path).lstrip("/")


def mapper_name(vg: str, lv: str) -> str:
    """The device-mapper's path of a logical volume: it doubles the hyphens inside a name."""
    return f"/dev/mapper/{vg.replace('-', '--')}-{lv.replace('-', '--')}"


@dataclass(frozen=True)
class Mount:
    """One mounted filesystem. `root` is which part of it: "/", or a subvolume or the source of a bind mount."""

    target: str | None = None
    source: str | None = None
    fstype: str | None = None
    options: tuple[str, ...] = ()
    device: str | None = None  # "major:minor"
    root: str | None = None
    size_bytes: int | None = None
    used_bytes: int | None = None
    available_bytes: int | None = None
    problem: str | None = None  # why its sizes are not known: it hangs, or may not be asked


@dataclass(frozen=True)
class Mounts:
    """All real filesystems, in the order in which they were mounted."""

    mounts: tuple[Mount, ...]

    @cached_property
    def points(self) -> dict[str, Mount]:
        """By mount point, in its order; of several at one place the last one hides the others."""
        found = {mount.target: mount for mount in self.mounts if mount.target and mount.target.startswith("/")}
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class VolumeGroup:
    name: str | None = None
    size_bytes: int | None = None
    free_bytes: int | None = None
    extent_bytes: int | None = None


@dataclass(frozen=True)
class LogicalVolume:
    """`device` is the real node, /dev/dm-3. `kind`: linear, thin, thin-pool, snapshot or other."""

    vg: str | None = None
    name: str | None = None
    path: str | None = None
    device: str | None = None
    size_bytes: int | None = None
    attr: str | None = None
    origin: str | None = None
    pool: str | None = None
    kind: str | None = None
    data_percent: float | None = None


@dataclass(frozen=True)
class Lvm:
    installed: bool | None
    version: str | None
    problem: str | None
    vgs: tuple[VolumeGroup, ...]
    lvs: tuple[LogicalVolume, ...]
    snapshots_possible: bool | None  # the kernel has the target, or can load it

    @cached_property
    def names(self) -> dict[str, LogicalVolume]:
        """By every name that a mount may have for it."""
        found: dict[str, LogicalVolume] = {}
        for lv in self.lvs:
            if lv.vg and lv.name:
                names = (lv.path, lv.device, mapper_name(lv.vg, lv.name), f"/dev/{lv.vg}/{lv.name}")
                found.update({name: lv for name in names if name})
        return found


@dataclass(frozen=True)
class Subvolume:
    """`path` is from the top of the filesystem, without a slash before it."""

    id: int | None = None
    path: str | None = None
    mountpoint: str | None = None


@dataclass(frozen=True)
class BtrfsFilesystem:
    uuid: str | None = None
    label: str | None = None
    devices: tuple[str, ...] = ()
    mountpoints: tuple[str, ...] = ()
    size_bytes: int | None = None
    used_bytes: int | None = None
    subvolumes: tuple[Subvolume, ...] = ()

    @cached_property
    def paths(self) -> list[str]:
        """The subvolumes' paths from the top, with a slash before, in order; the top itself ("/") is not among them."""
        return sorted(normal(one.path.removeprefix(_TREE)) for one in self.subvolumes if one.path)


@dataclass(frozen=True)
class Btrfs:
    installed: bool | None
    version: str | None
    problem: str | None
    filesystems: tuple[BtrfsFilesystem, ...]


@dataclass(frozen=True)
class Dataset:
    name: str | None = None
    mountpoint: str | None = None
    mounted: bool | None = None
    used_bytes: int | None = None
    available_bytes: int | None = None


@dataclass(frozen=True)
class Zfs:
    installed: bool | None
    version: str | None
    problem: str | None
    datasets: tuple[Dataset, ...]
