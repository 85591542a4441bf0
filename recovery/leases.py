"""What this room makes outside, and how it is removed: mount before view, session before the way to it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from backups.borg import view
from backups.services.pools import VIEWS
from phpborg.tasks.models import Lease
from phpborg.tasks.registry import lease_kind
from recovery.models import BrowseSession
from recovery.services import load_run, restores
from servers.models import Server
from servers.services.reach import host_for


@lease_kind("repository_view")
def remove_view(data: dict[str, Any]) -> None:
    """A hard-linked view inside a pool's directory of views."""
    path = Path(data["path"])
    if path.parent.name != VIEWS:
        raise ValueError(f"{path} is not in a directory of views")
    view.remove_view(path)


@lease_kind("archive_mount")
def remove_mount(data: dict[str, Any]) -> None:
    """The mount of an archive, its borg, its mount point and borg's directory for it."""
    mountpoint = Path(data["mountpoint"])
    view.unmount(mountpoint, lazy=True)
    if mountpoint.is_dir():
        mountpoint.rmdir()
    shutil.rmtree(data["base_dir"], ignore_errors=True)
    session = BrowseSession.objects.filter(pk=data["session"])
    session.exclude(state=BrowseSession.State.FAILED).update(state=BrowseSession.State.CLOSED, mountpoint="")


@lease_kind("restore_staging")
def remove_staging(data: dict[str, Any]) -> None:
    """The private folder on the server into which a restore extracts. A removed server is not asked."""
    server = Server.objects.filter(pk=data["server"]).first()
    if server is not None:
        host_for(server).call("unstage", {"target": data["target"], "token": data["token"]}, timeout=600)


@lease_kind("database_load")
def remove_load(data: dict[str, Any]) -> None:
    """What a load that was killed has left in a database server. A removed server is not asked."""
    server = Server.objects.filter(pk=data["server"]).first()
    if server is not None:
        load_run.clean(server, data)


@lease_kind("database_login")
def forget_login(data: dict[str, Any]) -> None:
    """The login that was given for a load: kept until nothing needs it any more."""
    if Lease.objects.held().filter(kind="database_load", data__restore=data["restore"]).exists():
        raise ValueError("it is still needed to clean up")
    restores.forget_login(data["restore"])


@lease_kind("instant_session")
def remove_session(data: dict[str, Any]) -> None:
    """All that a database that ran out of an archive has on its server. A removed server is not asked."""
    server = Server.objects.filter(pk=data["server"]).first()
    if server is not None:
        host_for(server).call("instant", {"action": "remove", "token": data["token"]}, timeout=300)
