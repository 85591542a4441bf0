"""Reading a repository without its lock: a hard-linked view, and archives mounted from it.

Borg 1.x never changes a segment file in place and unlinks instead of truncating a file that has
another link, so a hard-linked copy of the directory is a free snapshot: a mount of the view neither
blocks a backup nor breaks when archives are deleted and the original is compacted. Only the small
files that borg rewrites (`config`, `nonce`, `README`) are copied.

Every function may be called again after a crash in its middle; the caller owns the leases.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from backups import errors as e
from backups.borg import argv, specs
from backups.borg.explain import Where
from backups.borg.locks import started_at
from backups.borg.outcome import require_ok
from backups.borg.report import Report
from backups.borg.runner import Access
from phpborg import process
from phpborg.mounts import is_mounted, remove_tree

_COPIED = {"config", "nonce", "README"}
_INDEXES = ("index.", "hints.", "integrity.")
_TRIES = 8
MOUNT_SECONDS = 300.0


def make_view(repository: Path, target: Path) -> None:
    """Make `target` a view of `repository`; both on one file system. A finished view is left as it is.

    A backup may write meanwhile: the copy is taken again until nothing was committed or removed
    under it. Raises ViewImpossible when links cannot be made or the repository does not hold still.
    """
    if (target / "config").is_file():
        return
    if not repository.is_dir():
        raise e.RepositoryMissing(path=str(repository))
    partial = _partial(target)
    for attempt in range(_TRIES):
        remove_tree(partial)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = _transactions(repository)
        try:
            _link_tree(repository, partial)
        except FileNotFoundError:
            time.sleep(0.2 * (attempt + 1))
            continue
        except OSError as error:
            remove_tree(partial)
            raise e.ViewImpossible(str(error), reason=os.strerror(error.errno or errno.EIO)) from error
        if _transactions(repository) == before:
            os.rename(partial, target)
            return
    remove_tree(partial)
    raise e.ViewImpossible(reason=str(_("the repository is being changed")))


def held_bytes(views: Sequence[Path], seconds: float = 1.0) -> int | None:
    """What is on the disk for these views alone: the repository has removed it, and no other link is left.

    A page waits for it: None when the disk needs longer than so many seconds.
    """
    deadline = time.monotonic() + seconds
    links: dict[tuple[int, int], list[int]] = {}
    for place in views:
        for folder, _folders, names in os.walk(place):
            for name in filter(_is_linked, names):
                if time.monotonic() > deadline:
                    return None
                with suppress(FileNotFoundError):  # a view that goes away meanwhile holds nothing
                    seen = os.lstat(os.path.join(folder, name))
                    row = links.setdefault((seen.st_dev, seen.st_ino), [0, 0, 0])
                    row[:] = [row[0] + 1, seen.st_nlink, seen.st_blocks * 512]
    return sum(size for found, all_links, size in links.values() if found >= all_links)


def _is_linked(name: str) -> bool:
    """What a view shares with its repository: segments and their indexes; not copies, nor a reader's own lock."""
    return name.isdigit() or name.startswith(_INDEXES)


def _partial(target: Path) -> Path:
    return target.with_name(target.name + ".partial")


def _transactions(repository: Path) -> frozenset[str]:
    return frozenset(name for name in os.listdir(repository) if name.startswith(_INDEXES))


def _link_tree(source: Path, target: Path) -> None:
    target.mkdir(mode=0o700)
    for entry in os.scandir(source):
        place = target / entry.name
        if entry.name in _COPIED:
            shutil.copy2(entry.path, place, follow_symlinks=False)
        elif entry.name == "data" and entry.is_dir(follow_symlinks=False):
            _link_data(Path(entry.path), place)
        elif entry.name.startswith(_INDEXES) and not entry.name.endswith(".tmp"):
            os.link(entry.path, place, follow_symlinks=False)


def _link_data(source: Path, target: Path) -> None:
    target.mkdir(mode=0o700)
    for folder in os.scandir(source):
        if not folder.is_dir(follow_symlinks=False):
            continue
        place = target / folder.name
        place.mkdir(mode=0o700)
        for segment in os.scandir(folder.path):
            os.link(segment.path, place / segment.name, follow_symlinks=False)


def remove_view(target: Path) -> None:
    """Remove a view; gone already is fine. Raises OSError (EBUSY) while something is mounted in it."""
    remove_tree(_partial(target))
    remove_tree(target)


def mount_view(
    view: Path,
    archive: str,
    mountpoint: Path,
    *,
    encryption: str,
    passphrase: str,
    base_dir: Path,
    options: Sequence[str] = (),
    binary: str = "",
    timeout: float = MOUNT_SECONDS,
) -> int:
    """Mount one archive of a view and answer the pid of the borg that serves it.

    A living mount is kept, a dead one replaced. Options as `ignore_permissions`, `allow_other`,
    `uid=…` (borg 1.2 wants a uid that has a name). Raises MountFailed or the error that explains it.
    """
    program = binary or settings.BORG_BINARY
    if is_mounted(mountpoint):
        pid = mount_pid(mountpoint)
        if pid is not None and is_alive(mountpoint):
            return pid
        unmount(mountpoint, lazy=True)
    mountpoint.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(mountpoint.iterdir()):
        raise e.MountFailed(f"{mountpoint}: {os.strerror(errno.ENOTEMPTY)}")
    command = argv.mount(program, str(view), archive, str(mountpoint.absolute()), options=options)
    access = Access(program, specs.encryption(encryption).value, passphrase, base_dir)
    try:
        return _start(command, access, Where(repository=str(view), archive=archive), mountpoint, timeout)
    except BaseException:
        unmount(mountpoint, lazy=True)
        raise


def _start(command: argv.Argv, access: Access, where: Where, mountpoint: Path, timeout: float) -> int:
    report = Report()
    deadline = time.monotonic() + timeout
    with ExitStack() as stack:
        values, descriptors = access.environment(stack)
        try:
            ended = process.stream(
                command,
                env=values,
                on_stderr=lambda line: (report.stderr(line), None)[1],
                timeout=timeout,
                pass_fds=descriptors,
            )
        except OSError as error:
            raise e.BorgMissing(str(error), host="localhost") from error
    try:
        require_ok(ended, report, where, timed_out=ended.stopped, seconds=int(timeout))
    except e.BorgError as error:
        raise (e.MountFailed(error.detail) if type(error) is e.BorgError else error) from error
    while time.monotonic() < deadline:
        pid = mount_pid(mountpoint)
        if is_mounted(mountpoint) and pid is not None:
            return pid
        if pid is None:
            break
        time.sleep(0.05)
    raise e.MountFailed(report.words())


def mount_pid(mountpoint: Path) -> int | None:
    """The borg that serves this mount point, found by its own command line; None when there is none."""
    place = os.fsencode(mountpoint.absolute())
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            words = Path(entry.path, "cmdline").read_bytes().split(b"\0")
            if b"mount" in words and place in words and any(b"borg" in os.path.basename(word) for word in words[:3]):
                return int(entry.name)
    return None


def is_alive(mountpoint: Path, *, seconds: float = 10.0) -> bool:
    """The mount answers. Asked by a child with a time limit: a FUSE that hangs would hang us."""
    if not is_mounted(mountpoint):
        return False
    quick = process.Graces(interrupt=0.5, terminate=0.5)
    ended = process.stream(("stat", "--file-system", "--", str(mountpoint)), timeout=seconds, graces=quick)
    return ended.ok


def unmount(mountpoint: Path, *, lazy: bool = False, wait_seconds: float = 10.0) -> None:
    """Unmount and wait until its borg has ended; not mounted is fine.

    A dead mount (its borg was killed) is detached. With `lazy` a busy one is too, and the borg of a
    mount that does not answer is killed first. Raises UnmountFailed when it is still there.
    """
    pid = mount_pid(mountpoint)
    started = None if pid is None else started_at(pid)
    if lazy and pid is not None and is_mounted(mountpoint) and not is_alive(mountpoint, seconds=5):
        _signal(pid, started, signal.SIGKILL)
    for _attempt in range(10):  # a mount may lie upon another one
        if not is_mounted(mountpoint):
            break
        _unmount_once(mountpoint, lazy=lazy)
    if pid is not None:
        _end(pid, started, wait_seconds)


def _unmount_once(mountpoint: Path, *, lazy: bool) -> None:
    ended = process.stream(_unmount_argv(mountpoint, lazy=False), timeout=15)
    if ended.ok:
        return
    if lazy or mount_pid(mountpoint) is None:
        ended = process.stream(_unmount_argv(mountpoint, lazy=True), timeout=15)
    if not ended.ok and is_mounted(mountpoint):
        raise e.UnmountFailed(ended.stderr_tail, path=str(mountpoint))


def _unmount_argv(mountpoint: Path, *, lazy: bool) -> tuple[str, ...]:
    if os.geteuid() == 0:
        return ("umount", *(("--lazy",) if lazy else ()), "--", str(mountpoint))
    tool = next((name for name in ("fusermount3", "fusermount") if shutil.which(name)), "fusermount3")
    return (tool, "-u", *(("-z",) if lazy else ()), "--", str(mountpoint))


def _signal(pid: int, started: float | None, number: signal.Signals) -> None:
    """Only ever the process that was found: a number may have been given again."""
    if started is not None and started_at(pid) == started:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _end(pid: int, started: float | None, wait_seconds: float) -> None:
    """Borg ends by itself once unmounted; help it when it does not."""
    for number, seconds in ((None, wait_seconds), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
        if number is not None:
            _signal(pid, started, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if started is None or started_at(pid) != started:
                return
            time.sleep(0.05)
