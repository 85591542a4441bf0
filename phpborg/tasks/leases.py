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

from phpborg.mounts import remove_tree
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
        Lease.objects.filter(pk=lease.pk).update(
            attempts=lease.attempts + 1, error=str(error)[:2000], tried_at=timezone.now()
        )
        return False
    cross_out(lease)
    return True


def cross_out(lease: Lease) -> None:
    """Mark a lease whose resource is known to be gone."""
    Lease.objects.filter(pk=lease.pk).update(released_at=timezone.now(), error="")


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
    """A process's start time in clock ticks since boot: with the pid it names one process. "" when ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


@lease_kind("directory")
def remove_directory(data: dict[str, Any]) -> None:
    """A private directory below var/. Never crosses a mount point, never follows a link."""
    path = Path(data["path"])
    root = Path(settings.VAR_DIR).resolve()
    if not path.parent.resolve().is_relative_to(root) or path.name in ("", ".."):
        raise ValueError(f"{path} is not below {root}")
    remove_tree(path, onerror=_open_and_retry)


def _open_and_retry(function: Any, name: str, problem: Any) -> None:
    """What was restored without its owner's write right goes too: open the directory, once."""
    if not isinstance(problem[1], PermissionError):
        raise problem[1]
    os.chmod(os.path.dirname(name), 0o700)
    if os.path.isdir(name) and not os.path.islink(name):
        os.chmod(name, 0o700)
        shutil.rmtree(name)
    else:
        os.unlink(name)


def group_members(group: int) -> list[int]:
    """The living processes of a process group."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError, IndexError, ValueError):
            state, _parent, its_group = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in ("Z", "X"):
                found.append(int(entry))
    return found


def _still_runs(pid: int, started: str) -> bool:
    """Our process, or — when it has ended — what it left in its group (whose number stays taken)."""
    now = process_started_at(pid)
    return now == started if now else bool(group_members(pid))


@lease_kind("process")
def end_process(data: dict[str, Any]) -> None:
    """A process of ours on this host that leads its group, named by pid and start time; with the whole group."""
    pid, started = data.get("pid"), data.get("started")
    if not pid or not started or not _still_runs(pid, started):
        return
    for number, patience in ((signal.SIGINT, 10), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        with suppress(ProcessLookupError):
            if number != signal.SIGINT:
                os.killpg(pid, number)
            elif process_started_at(pid) == started:
                os.kill(pid, number)
            else:
                continue  # the leader has ended by itself: nobody is left who could end in order
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if not _still_runs(pid, started):
                return
            time.sleep(0.1)
    raise OSError(f"process {pid} does not end")


def new_token() -> str:
    """A short unique name for sockets and directories."""
    return uuid.uuid4().hex[:16]
