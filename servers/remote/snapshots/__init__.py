"""The verb `snapshot`: a frozen view of one volume, mounted read-only in a private directory, and its end.

Everything about it follows from the token and the volume's name, so whoever has these can remove it, also
when the process that made it was killed at any point. A tool of the system that was started is not stopped
half-way: each has a time limit. Nothing here decides whether a snapshot is wise or
how large it must be: that is the plan's (backups/snapshots). One file a kind, with `make`, `remove`, `state`.
"""

import errno
import os
import stat
import time
from importlib import import_module
from typing import Any, Dict, List, NamedTuple

from .. import places, policy, tree, validate, wire
from ..probes.base import Look

KINDS = ["lvm", "btrfs", "zfs"]
_UNMOUNT_SECONDS = 20.0


class Place(NamedTuple):
    """The private directory of one snapshot and what lies in it."""

    token: str

    @property
    def name(self) -> str:
        """How the snapshot itself is called: unique for each task, and recognisable as ours."""
        return "phpborg-" + self.token

    @property
    def directory(self) -> str:
        """Root's alone."""
        return os.path.join(places.RUN, "snapshot-" + self.token)

    @property
    def mountpoint(self) -> str:
        """Where the frozen view is seen."""
        return os.path.join(self.directory, "view")

    @property
    def top(self) -> str:
        """Where a btrfs filesystem is seen as a whole while its snapshot lives."""
        return os.path.join(self.directory, "top")


def snapshot(request: wire.Request, control: wire.Control) -> None:
    """Make, look at or remove a snapshot. Arguments: `action`, `token`, `kind` and what names the volume.

    `make` answers {"name", "mountpoint", "origins": [where the volume is mounted], "device", "type"};
    `state` {"exists", "valid", "used_percent"}; `remove` {"removed": [what was there]} and is always safe.
    """
    if os.geteuid():
        raise wire.Refused("invalid", "a snapshot can only be made by root")
    place = Place(validate.token(request.args.get("token")))
    action = validate.choice(request.args.get("action"), "action", ["make", "state", "remove"])
    kind = import_module("." + validate.choice(request.args.get("kind"), "kind", KINDS), __package__)
    volume = kind.volume(request.args)
    if action == "make":
        wire.answer(_make(kind, place, volume, request.args))
    elif action == "state":
        wire.answer(kind.state(place, volume))
    else:
        wire.answer({"removed": _remove(kind, place, volume)})


def _make(kind: Any, place: Place, volume: Any, args: Dict[str, Any]) -> Dict[str, Any]:
    os.makedirs(places.RUN, mode=0o711, exist_ok=True)
    try:
        os.mkdir(place.directory, 0o700)
    except FileExistsError:
        raise wire.Refused("exists", "{} exists already".format(place.directory)) from None
    try:
        os.mkdir(place.mountpoint, 0o700)
        made: Dict[str, Any] = kind.make(place, volume, args)
        return dict(made, name=place.name, mountpoint=place.mountpoint)
    except BaseException as error:
        try:
            _remove(kind, place, volume)
        except (wire.Refused, OSError) as second:
            if isinstance(error, wire.Refused):
                text = "{}; and what was half made could not be removed: {}".format(error.message, second)
                raise wire.Refused(error.code, text) from None
        raise


def _remove(kind: Any, place: Place, volume: Any) -> List[str]:
    """In reverse: the view, the snapshot, the directory. Raises what keeps one of them from going."""
    removed = []
    for path in (place.mountpoint, place.top):
        if unmount(path):
            removed.append(path)
        if path == place.mountpoint and kind.remove(place, volume):
            removed.append(place.name)
    for path in (place.mountpoint, place.top, place.directory):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            pass
    return removed


def run(argv: List[str], timeout: float = 60) -> str:
    """Run a tool of the system to its end and return what it printed; its own words are the refusal when it fails."""
    ran = Look({}).run(argv, timeout=timeout)
    if not ran.ok:
        raise wire.Refused("snapshot", "{}: {}".format(argv[0], ran.err.strip()[-1500:] or "exit {}".format(ran.code)))
    return ran.out.strip()


def check(origins: List[str]) -> None:
    """May all of the volume be read? Asked before anything is made, of every place where it is seen."""
    if not origins:
        raise wire.Refused("missing", "the volume is not mounted as a whole")
    for origin in origins:
        policy.check_read(wire.raw(origin), real=True)


def mount(source: str, mountpoint: str, kind: str, options: List[str]) -> None:
    """Mount read-only; nothing on it is a device or gains rights by its mode."""
    words = ",".join(["ro", "nosuid", "nodev", *options])
    run(["mount", "-t", kind, "-o", words, "--", source, mountpoint])


def unmount(path: str) -> bool:
    """Nothing is mounted there any more; True when something was. Somebody may still be reading: for 20 s we ask."""
    was = False
    deadline = time.monotonic() + _UNMOUNT_SECONDS
    while tree.is_mounted(wire.raw(path)):
        was = True
        try:
            run(["umount", "--", path])
        except wire.Refused:
            if time.monotonic() > deadline:
                run(["umount", "--lazy", "--", path])
            time.sleep(0.3)
    return was


def mounts_of(device: str) -> List[tree.Mounted]:
    """All places where this block device is mounted. Device numbers count: /dev has many names for one thing."""
    wanted = os.stat(device)
    if not stat.S_ISBLK(wanted.st_mode):
        raise OSError(errno.ENOTBLK, os.strerror(errno.ENOTBLK), device)
    number = "{}:{}".format(os.major(wanted.st_rdev), os.minor(wanted.st_rdev))
    return [mount for mount in tree.mounted() if mount.device == number]
