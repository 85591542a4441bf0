"""What lies on this machine while a session lives, found by its token: directories, mounts, containers, and their end.

/var/lib/phpborg/instant/TOKEN    archive (mounted), layers/NAME/upper, layers/NAME/merged (mounted), state.json, lock
/run/phpborg/instant-TOKEN        run, etc and adminer, in memory: sockets and secrets, settings

`remove` may be called at any time, by anybody who has the token, as often as wanted: it begins with the container
and never goes into a mount.
"""

import ctypes
import errno
import fcntl
import json
import os
import shutil
import signal
import stat
import time
from contextlib import suppress
from typing import Any, Dict, List, Optional

from .. import children, places, tree, wire
from . import cage
from .asked import ETC, IN_MEMORY, File

_MAKER_SECONDS = 120.0
_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


class Stack:
    """The places of one session."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.directory = os.path.join(places.INSTANT, token)
        self.archive = os.path.join(self.directory, "archive")
        self.layers = os.path.join(self.directory, "layers")
        self.memory = os.path.join(places.RUN, "instant-" + token)
        self.log = os.path.join(self.directory, "log")
        self._state = os.path.join(self.directory, "state.json")
        self._lock = os.path.join(self.directory, "lock")
        self._held: Optional[int] = None

    def upper(self, layer: str) -> str:
        """Where what was written in a layer lies, on the disk."""
        return os.path.join(self.layers, layer, "upper")

    def merged(self, layer: str) -> str:
        """Where the layer is seen: the archive's directory with what was written."""
        return os.path.join(self.memory, layer) if layer in IN_MEMORY else os.path.join(self.layers, layer, "merged")

    # --- its beginning ---------------------------------------------------------------------------

    def make(self, engine: str, layers: List[str], user: int, group: int) -> None:
        """The directories, and in writing what is needed to remove all that follows."""
        places.make_private(places.INSTANT)
        os.makedirs(places.RUN, mode=0o711, exist_ok=True)
        try:
            os.mkdir(self.directory, 0o700)
        except FileExistsError:
            raise wire.Refused("exists", "{} exists already".format(self.directory)) from None
        self._hold()
        with open(self._state, "w") as file:
            json.dump({"engine": engine, "pid": os.getpid(), "started": _started(os.getpid())}, file)
            file.flush()
            os.fsync(file.fileno())
        os.mkdir(self.archive, 0o700)
        for name in layers:
            os.makedirs(self.merged(name), 0o700)
            os.mkdir(self.upper(name), 0o700)
        os.mkdir(self.memory, 0o700)
        for name in IN_MEMORY:
            os.mkdir(self.merged(name), 0o700)
            os.chown(self.merged(name), user, group)
        settings = tree.open_directory(wire.raw(self.merged(ETC)))
        try:
            for name, content in cage.accounts(user, group).items():
                _write(settings, name.encode(), content, 0o444, 0, 0)
        finally:
            os.close(settings)

    def _hold(self) -> None:
        self._held = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)

    # --- files for the programs in the container --------------------------------------------------

    def place(self, file: File, user: int, group: int) -> None:
        """Write one file of a layer, with the directories above it, or remove it.

        No link is followed: a program in the container may have made it.
        """
        folder = tree.open_directory(wire.raw(self.merged(file.layer)))
        *above, name = file.path.split(b"/")
        try:
            for part in above:
                if file.content is not None:
                    _make_directory(folder, part, user, group)
                following = tree.open_directory(part, folder)
                os.close(folder)
                folder = following
            if file.content is None:
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=folder)
            else:
                _write(folder, name, file.content, file.mode, user, group)
        finally:
            os.close(folder)

    # --- its end ---------------------------------------------------------------------------------

    def remove(self) -> List[str]:
        """Take away what is there and name it, whoever made it. Raises Refused when something resists."""
        self._wait_for_maker(self._written())
        return [*self.detach(), *self.clear()]

    def detach(self) -> List[str]:
        """No container and no mount any more: who served them ends by itself now."""
        return [*self._remove_containers(self._written()), *self._unmount_all()]

    def clear(self) -> List[str]:
        """The directories go, and what was still mounted in them by then; no container is there any more."""
        removed = self._unmount_all()
        removed += [path for path in (self.memory, self.directory) if _remove_directory(path)]
        shutil.rmtree(places.restore_directory(self.token), ignore_errors=True)
        if self._held is not None:
            os.close(self._held)
            self._held = None
        return removed

    def _unmount_all(self) -> List[str]:
        return [path for path in [*self._merged_all(), self.archive] if _unmount(path)]

    def _written(self) -> Dict[str, Any]:
        try:
            with open(self._state) as file:
                found = json.load(file)
        except (OSError, ValueError):  # killed before it was written: then nothing followed
            return {}
        return found if isinstance(found, dict) else {}

    def _wait_for_maker(self, state: Dict[str, Any]) -> None:
        """The program that holds the session ends first, asked to and then made to: it would go on making."""
        try:
            lock = os.open(self._lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return
        try:
            deadline = time.monotonic() + _MAKER_SECONDS
            pid, started = state.get("pid"), state.get("started")
            number = signal.SIGTERM
            while time.monotonic() < deadline:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                except OSError:
                    pass
                if isinstance(pid, int) and started is not None and _started(pid) == started:
                    os.kill(pid, number)
                time.sleep(0.2)
                if time.monotonic() > deadline - _MAKER_SECONDS / 4:
                    number = signal.SIGKILL
            raise wire.Refused("busy", "the session {} is held by process {}".format(self.token, pid))
        finally:
            os.close(lock)

    def _remove_containers(self, state: Dict[str, Any]) -> List[str]:
        """By their label; an engine that is gone has none."""
        engine = state.get("engine")
        if not isinstance(engine, str) or not os.path.exists(engine):
            return []
        docker = cage.opened(engine)
        quiet = wire.Control(0)  # never asked to stop: a clean-up would leave what it is there for
        code, said = children.capture(cage.listing(docker, self.token), quiet, timeout=60)
        if code != 0:
            if b"Cannot connect" in said:  # the engine is down: its containers are, too
                return []
            raise wire.Refused("docker", said.decode("utf-8", "replace").strip()[-1500:])
        names = said.decode("utf-8", "replace").split()
        if names:
            code, said = children.capture(cage.remove(docker, names), quiet, timeout=120)
            if code != 0 and b"No such container" not in said and b"already in progress" not in said:
                raise wire.Refused("docker", said.decode("utf-8", "replace").strip()[-1500:])
        return names

    def _merged_all(self) -> List[str]:
        try:
            names = sorted(os.listdir(self.layers))
        except FileNotFoundError:
            return []
        return [self.merged(name) for name in names]


def _started(pid: int) -> Optional[int]:
    """When a process began, in the kernel's own count: tells it from a later one with its number."""
    try:
        with open("/proc/{}/stat".format(pid), "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _unmount(path: str) -> bool:
    """Whatever is mounted there, detached; True when there was something."""
    found = False
    for _ in range(10):  # a mount may lie upon another one
        if not tree.is_mounted(wire.raw(path)):
            return found
        found = True
        if _libc.umount2(wire.raw(path), 0) != 0 and _libc.umount2(wire.raw(path), _MNT_DETACH) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)


def _remove_directory(path: str) -> bool:
    """The directory with all that is in it, unless something is still mounted there."""
    if not os.path.lexists(path):
        return False
    if tree.mount_points(wire.raw(path)):
        raise wire.Refused("busy", "a filesystem is still mounted below {}".format(path))
    shutil.rmtree(path)
    return True


def _make_directory(folder: int, name: bytes, user: int, group: int) -> None:
    """The account's own, unless something has this name already."""
    try:
        os.mkdir(name, 0o700, dir_fd=folder)
    except FileExistsError:
        return
    os.chown(name, user, group, dir_fd=folder, follow_symlinks=False)


def _write(folder: int, name: bytes, content: bytes, mode: int, user: int, group: int) -> None:
    """Under another name first: what is there now may be a link, or open."""
    new = b".phpborg-new"
    with suppress(FileNotFoundError):
        os.unlink(new, dir_fd=folder)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchown(descriptor, user, group)
        os.fchmod(descriptor, stat.S_IMODE(mode))
    os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
