"""Leases: written down before the thing is made, removed in reverse order, however the task ends."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from phpborg.tasks.models import Lease, Task
from phpborg.tasks.registry import lease_kind, lease_remover

log = logging.getLogger(__name__)


def hold(task: Task, kind: str, data: dict[str, Any], *, keep_until: datetime | None = None) -> Lease:
    """Write down a resource that is about to be made."""
    lease_remover(kind)  # a kind that nobody can remove is refused before anything exists
    return Lease.objects.create(task=task, kind=kind, data=data, keep_until=keep_until)


def release(lease: Lease) -> bool:
    """Remove the resource and mark the lease. False when something is left; it is tried again later."""
    try:
        lease_remover(lease.kind)(lease.data)
    except Exception as error:
        log.warning("lease %s (%s) is still held: %s", lease.pk, lease.kind, error)
        Lease.objects.filter(pk=lease.pk).update(attempts=lease.attempts + 1, error=str(error)[:2000])
        return False
    Lease.objects.filter(pk=lease.pk).update(released_at=timezone.now(), error="")
    return True


def release_all(leases: Iterable[Lease]) -> bool:
    """Remove newest first. One that resists does not stop the others. True when none is left."""
    results = [release(lease) for lease in sorted(leases, key=lambda lease: lease.pk, reverse=True)]
    return all(results)


def release_of(task: Task) -> bool:
    """Remove what this task still holds, except what was meant to outlive it."""
    return release_all(task.leases.held().filter(keep_until__isnull=True))  # type: ignore[attr-defined]


# The kinds that every app may use. Others are registered beside what they remove.


def private_directory(name: str) -> Path:
    """Where temporary directories of ours may lie; removal is refused outside of it."""
    path = Path(settings.VAR_DIR) / name
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def process_started_at(pid: int) -> str:
    """A process's start time in clock ticks since boot: with the pid it names one process. "" when gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def is_mount_point(path: Path) -> bool:
    """Also for a FUSE mount whose process has died, where os.path.ismount is fooled by the error."""
    wanted = os.fsencode(os.path.realpath(path.parent)) + b"/" + os.fsencode(path.name)
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        field = line.split(b" ")[4]
        if (
            field.replace(b"\\040", b" ").replace(b"\\011", b"\t").replace(b"\\012", b"\n").replace(b"\\134", b"\\")
            == wanted
        ):
            return True
    return False


@lease_kind("directory")
def remove_directory(data: dict[str, Any]) -> None:
    """A private directory below var/. Never crosses a mount point, never follows a link."""
    path = Path(data["path"])
    root = Path(settings.VAR_DIR).resolve()
    if not path.parent.resolve().is_relative_to(root) or path == root:
        raise ValueError(f"{path} is not below {root}")
    if not path.is_symlink() and not path.exists():
        return
    for directory, names, _files in os.walk(path):
        for name in list(names):
            if is_mount_point(Path(directory) / name):
                raise OSError(f"{Path(directory) / name} is still mounted")
    if is_mount_point(path):
        raise OSError(f"{path} is still mounted")
    shutil.rmtree(path)


@lease_kind("process")
def end_process(data: dict[str, Any]) -> None:
    """A process group of ours on this host, named by pid and start time."""
    pid, started = data.get("pid"), data.get("started")
    if not pid or process_started_at(pid) != started:
        return
    for number, patience in ((signal.SIGINT, 10), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        with suppress(ProcessLookupError):
            os.kill(pid, number) if number == signal.SIGINT else os.killpg(pid, number)
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if process_started_at(pid) != started:
                return
            time.sleep(0.1)
    raise OSError(f"process {pid} does not end")


def new_token() -> str:
    """A short unique name for sockets and directories."""
    return uuid.uuid4().hex[:16]
