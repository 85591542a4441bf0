"""What every kind of snapshot needs: its private directory, the tools of the system, mounts."""

import errno
import fcntl
import json
import os
import signal
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from typing import Any, Callable, List, NamedTuple, Sequence, Tuple

from .. import children, confine, places, policy, tree, wire
from ..probes.base import Look

# A tool that changes volumes is waited for so long; it is never killed (see `act`).
ACT_SECONDS = 600.0
_IN_USE_SECONDS = 30.0
_UNMOUNT_SECONDS = 20.0
_MAKER_SECONDS = 60.0
_SETTLE_SECONDS = 120.0
_SAID_BYTES = 1500


class StillRunning(wire.Refused):
    """A tool has not ended in its time and goes on."""


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
        """Where root works on what lies below directories of others: a btrfs as a whole, a copy that is made."""
        return os.path.join(self.directory, "top")

    @property
    def source(self) -> str:
        """Where the live subvolume is seen while a btrfs is frozen."""
        return os.path.join(self.directory, "source")

    @property
    def lock(self) -> str:
        """Locked as long as somebody makes something of this snapshot."""
        return os.path.join(self.directory, "lock")

    @property
    def known(self) -> str:
        """A file that says of which places of the live system the view is the picture."""
        return os.path.join(self.directory, "origins.json")

    def remember(self, origins: List[str], parts: Sequence[List[str]] = ()) -> None:
        """Write them down. `parts`: [directory from the top of the view, where a bind mount shows it]."""
        descriptor = os.open(self.known, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump([*(["/", origin] for origin in origins), *parts], file)

    def live(self, inside: bytes) -> List[bytes]:
        """Where that directory of the view is in the live system.

        Raises Refused when there is no finished snapshot, or the directory is not root's.
        """
        found = []
        for part, path in self._remembered():
            if part == b"/" or inside == part or inside.startswith(part + b"/"):
                rest = inside if part == b"/" else inside[len(part) :]
                found.append((path.rstrip(b"/") + rest).rstrip(b"/") or b"/")
        return found

    def _remembered(self) -> List[Tuple[bytes, bytes]]:
        try:
            status = os.lstat(self.directory)
            with open(self.known) as file:
                found = [(wire.raw(part), wire.raw(path)) for part, path in json.load(file)]
        except (FileNotFoundError, ValueError):
            raise wire.Refused("missing", "there is no snapshot {}".format(self.name)) from None
        if status.st_uid or status.st_mode & 0o077 or not stat.S_ISDIR(status.st_mode):
            raise wire.Refused("unsafe", "{} is not a directory of root's alone".format(self.directory))
        return found

    def forget(self) -> None:
        """Take the directory away: nothing is mounted in it any more."""
        for remove, path in (
            (os.rmdir, self.mountpoint),
            (os.rmdir, self.top),
            (os.rmdir, self.source),
            (os.unlink, self.known),
            (os.unlink, self.lock),
            (os.rmdir, self.directory),
        ):
            try:
                remove(path)
            except FileNotFoundError:
                pass


class Lock:
    """Held by whoever makes a snapshot and by each tool that works on it, until the last of them has ended.

    A tool has the lock as its standard input, since LVM closes everything else that it was not to inherit; so
    it is held also by a tool whose helper was killed.
    """

    def __init__(self, place: Place) -> None:
        try:
            self.descriptor = os.open(place.lock, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            # The directory is gone (a restart, an earlier removal): nobody makes anything there.
            self.descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
            return
        fcntl.flock(self.descriptor, fcntl.LOCK_SH)

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: Any) -> None:
        os.close(self.descriptor)


def wait_for_maker(place: Place) -> None:
    """Before a removal: who still makes something there (a tool that outlived its helper) comes to its end."""
    try:
        descriptor = os.open(place.lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        deadline = time.monotonic() + _MAKER_SECONDS
        while not _lock(descriptor):
            if time.monotonic() > deadline:
                text = "something still works on {}: it is removed once that has ended".format(place.name)
                raise wire.Refused("snapshot", text)
            time.sleep(0.1)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def run(argv: List[str], timeout: float = 60) -> str:
    """Ask a tool of the system and return what it printed; its own words are the refusal when it fails."""
    ran = Look({}).run(argv, timeout=timeout)
    if not ran.ok:
        raise wire.Refused("snapshot", "{}: {}".format(argv[0], ran.err.strip()[-1500:] or "exit {}".format(ran.code)))
    return ran.out.strip()


def act(argv: List[str], place: Place, seconds: float = ACT_SECONDS) -> None:
    """Let a tool change something, to its very end. Raises Refused with its words, StillRunning after `seconds`.

    lvcreate and lvremove suspend the original volume for a moment: killed right then they would leave it
    suspended, with everybody who writes to it. So nothing ends such a tool: no time limit, no signal to a
    group, neither our own end nor a pipe that nobody reads any more. Who waits for it gives up waiting.
    """
    path = children.find(argv[0])
    if path is None:
        raise wire.Refused("snapshot", "{} is not installed".format(argv[0]))
    with Lock(place) as lock, tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [wire.raw(word) for word in [path, *argv[1:]]],
            env=children.environment(),
            cwd="/",
            stdin=lock.descriptor,
            stdout=said,
            stderr=said,
            start_new_session=True,
            preexec_fn=_as_usual,
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            text = "{} still runs after {:g} s and is left to end; what it makes is removed later"
            raise StillRunning("snapshot", text.format(argv[0], seconds)) from None
        if process.returncode:
            said.seek(max(0, said.tell() - _SAID_BYTES))
            words = said.read().decode("utf-8", "replace").strip()
            raise wire.Refused("snapshot", "{}: {}".format(argv[0], words or "exit {}".format(process.returncode)))


def act_until_gone(argv: List[str], place: Place, exists: Callable[[], bool], in_use: str) -> bool:
    """Let a tool remove something; True when it was there. Raises Refused and StillRunning as `act` does.

    Who reads it still (borg has a view of its own), so that the tool says `in_use`, is waited for.
    """
    deadline = time.monotonic() + _IN_USE_SECONDS
    was = False
    while exists():
        was = True
        try:
            act(argv, place)
        except StillRunning:
            raise
        except wire.Refused as refusal:
            gone = not exists()
            if not gone and (in_use not in refusal.message or time.monotonic() > deadline):
                raise
            time.sleep(0 if gone else 1)
    return was


def _as_usual() -> None:
    """Signals mean to the tool what they mean to everybody."""
    for number in (signal.SIGPIPE, signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def settle(path: str) -> None:
    """Write out what waits in memory for this filesystem: who is held while it is frozen waits for all of that."""
    with suppress(wire.Refused):
        run(["sync", "--file-system", "--", path], timeout=_SETTLE_SECONDS)


def check(origins: List[str]) -> None:
    """May all of the volume be read? Asked before anything is made, of every place where it is seen."""
    if not origins:
        raise wire.Refused("missing", "the volume is not mounted as a whole")
    for origin in origins:
        policy.check_read(wire.raw(origin), real=True)


def parts(mounted: List[tree.Mounted], top: str = "/") -> List[List[str]]:
    """[directory below `top`, path] of those mounts that show a part of it: bind mounts."""
    start = top.rstrip("/") + "/"
    known = [(wire.shown(one.root), wire.shown(one.path)) for one in mounted]
    return [[root[len(start) - 1 :], path] for root, path in known if root != "/" and root.startswith(start)]


def mount(source: str, place: Place, kind: str, options: List[str]) -> None:
    """Let the view be this filesystem, read-only; nothing on it is a device or gains rights by its mode."""
    words = ",".join(["ro", "nosuid", "nodev", *options])
    act(["mount", "-t", kind, "-o", words, "--", source, place.mountpoint], place)


def show(directory: bytes, place: Place) -> None:
    """Let the view be this directory, read-only: for what is frozen by a copy. No link on the way is followed."""
    source, _ = tree.walk_to(directory)
    try:
        confine.bind(source, wire.raw(place.mountpoint))
    finally:
        os.close(source)


def make_point(path: str, place: Place) -> None:
    """A directory in the private one, which is made anew after a restart: nobody else passes through it."""
    for folder, mode in ((places.RUN, 0o711), (place.directory, 0o700), (path, 0o700)):
        with suppress(FileExistsError):
            os.mkdir(folder, mode)


def make_own(name: bytes, above: int, place: Place) -> None:
    """Make a directory of root's alone in an open one of anybody's, seen at `place.top` whatever becomes of its name.

    Raises Refused when it was exchanged meanwhile.
    """
    os.mkdir(name, 0o700, dir_fd=above)
    opened = tree.open_directory(name, above)
    try:
        if not is_own(os.fstat(opened)) or tree.names(opened):
            raise wire.Refused("unsafe", "{} was exchanged meanwhile".format(wire.shown(name)))
        show_own(opened, place)
    finally:
        os.close(opened)


def show_own(opened: int, place: Place) -> None:
    """Let `place.top` be this open directory, above what is seen there already."""
    make_point(place.top, place)
    confine.bind(opened, wire.raw(place.top), writable=True)


def is_own(status: os.stat_result) -> bool:
    """A directory that root made for itself: nobody else can give one to root."""
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


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
