"""One run of the helper's verb `instant` for a task: the view, the way to the server, the lease, and what is said.

Sessions (session_run.py) and proofs (proof_start.py) share it. Whatever ends it, the leases take away what is left.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from backups.job_errors import ServerNotReady
from backups.models import Archive
from backups.services import repositories
from phpborg.tasks.context import TaskContext
from phpborg.tasks.leases import new_token
from recovery.services import opening
from servers.models import Server
from servers.services.reach import host_for
from servers.services.ways import open_way

Said = dict[str, Any]


def carry(
    context: TaskContext,
    *,
    archive: Archive,
    server: Server,
    asked: Mapping[str, Any],
    secrets: Mapping[str, str],
    hear: Callable[[Said], None],
    tick: Callable[[], None] | None = None,
    view: Path | None = None,
) -> None:
    """Until the helper has ended: told to stop (`context.stop`), by itself, or because a part of it ended.

    `hear` is given each row that it says. Without `view` one is made. Raises why it failed; a stop is none.
    """
    if not server.is_ready:
        raise ServerNotReady(server=server.name)
    host, token = host_for(server), new_token()
    place = view or opening.make_view(context, archive, f"instant-{token}")
    with open_way(context, server, host, str(place), mode="tunnel", token=token) as way:
        lease = context.hold("instant_session", server=str(server.pk), token=token)
        told = repositories.told_there(archive.repository)
        host.run(
            "instant",
            {**asked, "argv": ["mount", way.location(archive.name)], "token": token, "env": told},
            secrets={**secrets, **repositories.secrets_there(archive.repository)},
            on_stdout=lambda line: _hear(line, hear),
            on_stderr=lambda line: context.log(line.decode("utf-8", "replace")),
            stop=context.stop,
            tick=tick,
            link=way,
        )
        context.cross_out(lease)  # the helper ended in order: it has taken everything away


def _hear(line: bytes, hear: Callable[[Said], None]) -> None:
    try:
        said = json.loads(line)
    except ValueError:
        return
    if isinstance(said, dict) and said.get("type") == "phpborg_instant":
        hear(said)


def number(value: Any) -> int | None:
    """A stranger's word."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
