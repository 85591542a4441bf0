"""One Instant Recovery session, from its view of the repository to the last thing that is taken away.

The task lives as long as the database does. Being told to stop is its good end; the clean-up is the helper's, and
after a kill the leases': the session on the server, then the way to it, then the view.
"""

from __future__ import annotations

import json
import time
from typing import Any

from django.utils import timezone

from backups.job_errors import ServerNotReady
from backups.services import repositories
from phpborg.errors import PhpBorgError
from phpborg.tasks.context import TaskContext
from phpborg.tasks.leases import new_token
from phpborg.tasks.registry import Outcome
from recovery.models import Session
from recovery.services import opening, sessions
from servers.services.reach import host_for
from servers.services.ways import open_way
from servers.transport.base import Link

_LOOK_SECONDS = 2.0
_PHASES = {
    "fetching": "fetching",
    "mounting": "mounting",
    "preparing": "preparing",
    "starting": "starting",
    "stopping": "cleaning",
}
EXPIRED = "expired"


class SessionRun:
    """State of one run. `run` is the only entry."""

    def __init__(self, context: TaskContext, session: Session) -> None:
        assert session.archive is not None
        assert session.server is not None
        self.context = context
        self.session = session
        self.archive, self.server = session.archive, session.server
        self.repository = self.archive.repository
        self.token = new_token()
        self._looked_at = 0.0
        self._expires_at = session.expires_at

    def run(self) -> Outcome:
        """Until it is told to stop, its time is over, or a part of it ends. Raises why it failed.

        The row's end is written from the task's, however that comes (recovery/receivers.py).
        """
        try:
            self._serve()
        except PhpBorgError:
            if not self._was_stopped():
                raise
        return Outcome(result={"session": str(self.session.pk), "port": self.session.port})

    def _was_stopped(self) -> bool:
        """By a person or by its time: what broke while it was taken down is no failure."""
        return self.context.stop.is_set() and self.context.stop.reason in ("cancel", EXPIRED)

    def _serve(self) -> None:
        if not self.server.is_ready:
            raise ServerNotReady(server=self.server.name)
        host = host_for(self.server)
        self.context.phase("preparing")
        place = opening.make_view(self.context, self.archive, f"instant-{self.token}")
        with open_way(self.context, self.server, host, str(place), mode="tunnel", token=self.token) as way:
            lease = self.context.hold("instant_session", server=str(self.server.pk), token=self.token)
            host.run(
                "instant",
                self._arguments(way),
                secrets=self._secrets(),
                on_stdout=self._hear,
                stop=self.context.stop,
                tick=self._look,
                link=way,
            )
            self.context.cross_out(lease)  # the helper ended in order: it has taken everything away
        if not self._was_stopped():
            self.context.stop.check()

    def _arguments(self, way: Link) -> dict[str, Any]:
        return {
            **self.session.asked,
            "argv": ["mount", way.location(self.archive.name)],
            "token": self.token,
            "env": repositories.told_there(self.repository),
        }

    def _secrets(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.session.secrets.reveal() or "{}")
        return {**found, **repositories.secrets_there(self.repository)}

    # --- what the helper says --------------------------------------------------------------------

    def _hear(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return
        if not isinstance(said, dict) or said.get("type") != "phpborg_instant":
            return
        state = str(said.get("state"))
        if state == "ready":
            self._ready(said)
        elif state in _PHASES:
            self.context.phase(_PHASES[state])
            if state == "stopping":
                sessions.stopping(self.session)

    def _ready(self, said: dict[str, Any]) -> None:
        figures = {name: _number(said.get(name)) for name in ("port", "upper_bytes", "read_bytes", "connections")}
        first = self.session.ready_at is None
        sessions.serves(self.session, figures)
        self.context.phase("serving")
        self.context.progress(**{name: value for name, value in figures.items() if value is not None})
        if self._expires_at is not None:
            self.context.progress(expires_at=self._expires_at.isoformat())
        if first:
            self.context.log(f"ready after {said.get('seconds')} s on port {figures['port']}")

    def _look(self) -> None:
        """Once in a while: is its time over? It may have been extended meanwhile."""
        if time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        expires = Session.objects.filter(pk=self.session.pk).values_list("expires_at", flat=True).first()
        if expires is not None and expires != self._expires_at:
            self._expires_at = expires
            self.context.progress(expires_at=expires.isoformat())
        if expires is not None and expires <= timezone.now():
            self.context.stop.set(EXPIRED)


def _number(value: Any) -> int | None:
    """A stranger's word."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def carry_out(context: TaskContext) -> Outcome:
    """The session that the task's parameters name."""
    session = Session.objects.select_related("archive__repository__pool", "server").get(pk=context.params["session"])
    return SessionRun(context, session).run()
