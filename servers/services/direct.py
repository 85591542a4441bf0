"""Direct backups: which server's key may append to which repositories of this host."""

from __future__ import annotations

import getpass
import logging
import uuid
from pathlib import Path

from django.conf import settings

from backups.models import Repository
from servers.models import Server
from servers.services.errors import BackupHostUnknown
from servers.transport import authorized_keys

log = logging.getLogger(__name__)


def probe_path() -> str:
    """A repository that does not exist: asking for it proves the way without touching anything."""
    return str(Path(settings.VAR_DIR) / "probe")


def grants() -> list[authorized_keys.Grant]:
    """For each server with direct backups: its key, the repositories of its jobs, and the probe."""
    servers = Server.objects.filter(mode=Server.Mode.DIRECT).exclude(direct_public_key="").order_by("name")
    paths: dict[uuid.UUID, set[str]] = {server.pk: {probe_path()} for server in servers}
    used = Repository.objects.live().filter(jobs__server__in=list(paths)).values_list("jobs__server", "path")
    for server, path in used:
        if server in paths:
            paths[server].add(path)
    return [
        authorized_keys.Grant(server.direct_public_key, tuple(sorted(paths[server.pk])), name=server.name)
        for server in servers
    ]


def converge() -> bool:
    """Make authorized_keys of the backup account say exactly that. True when it changed. Raises UnusableKey."""
    wanted = grants()
    if not wanted and not Path(settings.AUTHORIZED_KEYS_FILE).exists():
        return False
    return authorized_keys.converge(wanted)


def backup_host() -> tuple[str, int, str]:
    """Address, port and account at which servers find this host. Raises BackupHostUnknown."""
    if not settings.BACKUP_HOST:
        raise BackupHostUnknown()
    return settings.BACKUP_HOST, settings.BACKUP_HOST_PORT, settings.BACKUP_HOST_USER or getpass.getuser()
