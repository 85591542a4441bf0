"""How what a backup makes outside is removed when its task cannot do it any more."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

from backups.borg import locks
from backups.models import BackupJob, Repository
from backups.services import freezing, hooks, unproven
from phpborg.tasks.models import Task
from phpborg.tasks.registry import lease_kind
from servers.models import Server
from servers.services.reach import host_for

log = logging.getLogger(__name__)
LOCK_PATIENCE_SECONDS = 5


@lease_kind("hook_after")
def run_hook_after(data: dict[str, Any]) -> None:
    """A hook that is owed: its task began and could not run it itself. Not repeated once it was started."""
    server = Server.objects.filter(pk=data["server"]).first()
    if server is None or data.get("started"):
        return
    hook = hooks.Hook(name=data["name"], seconds=data["seconds"], facts=data["facts"])
    ended = hooks.run(host_for(server), hook, outcome="lost", say=log.info)
    if ended.problem:
        log.warning("hook %s on %s, run late: %s", hook.name, server.name, ended.problem)


@lease_kind("repository_lock")
def free_repository(data: dict[str, Any]) -> None:
    """Borg's lock of a writer that is gone. A holder that is still ending is waited for, by trying again."""
    repository = Repository.objects.live().filter(pk=data["repository"]).first()
    if repository is None:
        return
    path = Path(repository.path)
    others = Task.objects.beside(data["task"], repository.exclusive)
    until = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        locks.clear_dead(path)
        holders = [holder for holder in locks.read(path).alive if holder.exclusive]
        if not holders or others.exists():
            return
        if time.monotonic() > until:
            raise OSError(f"the lock is held by {holders[0]}")
        time.sleep(0.5)


@lease_kind("snapshot")
def remove_snapshot(data: dict[str, Any]) -> None:
    """What was frozen for a run, with its mount and its copy. A server that was removed keeps what is left there."""
    server = Server.objects.filter(pk=data["server"]).first()
    if server is not None:
        freezing.remove(host_for(server), BackupJob.objects.filter(pk=data["job"]).first(), data)


@lease_kind("streams")
def remove_streams(data: dict[str, Any]) -> None:
    """The pipes of a run on the server; the tools that filled them ended with the helper."""
    server = Server.objects.filter(pk=data["server"]).first()
    if server is not None:
        host_for(server).call("stream_dir", {"token": data["token"]}, timeout=60)


@lease_kind(unproven.LEASE)
def remove_unproven(data: dict[str, Any]) -> None:
    """An archive that is no restore point, or of which nobody could say any more whether it is one."""
    unproven.remove(data)
