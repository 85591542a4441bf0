"""One Instant Recovery session, from its view of the repository to the last thing that is taken away.

The task lives as long as the database does. Being told to stop is its good end; the clean-up is the helper's, and
after a kill the leases': the session on the server, then the way to it, then the view.
"""

from __future__ import annotations

import json
import time
from typing import Any

from django.utils import timezone

from phpborg.errors import PhpBorgError
from phpborg.tasks.context import TaskContext
from phpborg.tasks.registry import Outcome
from recovery.models import Session
from recovery.services import session_carry, sessions
from recovery.services.session_carry import number

_LOOK_SECONDS = 2.0
PHASES = {
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
        self.context = context
        self.session = session
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
        assert self.session.archive is not None
        assert self.session.server is not None
        self.context.phase("preparing")
        session_carry.carry(
            self.context,
            archive=self.session.archive,
            server=self.session.server,
            asked=self.session.asked,
            secrets=json.loads(self.session.secrets.reveal() or "{}"),
            hear=self._hear,
            tick=self._look,
        )
        if not self._was_stopped():
            self.context.stop.check()

    # --- what the helper says --------------------------------------------------------------------

    def _hear(self, said: dict[str, Any]) -> None:
        state = str(said.get("state"))
        if state == "ready":
            self._ready(said)
        elif state in PHASES:
            self.context.phase(PHASES[state])
            if state == "stopping":
                sessions.stopping(self.session)

    def _ready(self, said: dict[str, Any]) -> None:
        figures = {name: number(said.get(name)) for name in ("port", "upper_bytes", "read_bytes", "connections")}
        first = self.session.ready_at is None
        port, problem = number(said.get("adminer_port")), _problem(said.get("adminer_problem"))
        prepared = number(said.get("prepared"))
        sessions.serves(self.session, {**figures, "adminer_port": port, "prepared": prepared}, adminer_problem=problem)
        self.context.phase("serving")
        disk = {name: number(said.get(name)) for name in ("free_bytes", "disk_bytes")}
        known = {name: value for name, value in {**figures, **disk}.items() if value is not None}
        # Pages of the session show it anew when this word changes.
        self.context.progress(**known, beside=problem or ("" if port is None else "adminer"), **self._end())
        if first:
            self.context.log(f"ready after {said.get('seconds')} s on port {figures['port']}")
            if note := self.session.prepared_note:
                self.context.log(note)

    def _end(self) -> dict[str, str]:
        """When it ends by itself, for those who watch."""
        return {} if self._expires_at is None else {"expires_at": self._expires_at.isoformat()}

    def _look(self) -> None:
        """Once in a while: is its time over? It may have been extended meanwhile."""
        if time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        expires = Session.objects.filter(pk=self.session.pk).values_list("expires_at", flat=True).first()
        if expires is not None and expires != self._expires_at:
            self._expires_at = expires
            self.context.progress(**self._end())
        if expires is not None and expires <= timezone.now():
            self.context.stop.set(EXPIRED)


def _problem(value: Any) -> str:
    """One of the words that we know; any other one says no more than that it did not start."""
    if not value:
        return ""
    return value if value in Session.AdminerProblem.values else str(Session.AdminerProblem.START)


def carry_out(context: TaskContext) -> Outcome:
    """The session that the task's parameters name."""
    session = Session.objects.select_related("archive__repository__pool", "server").get(pk=context.params["session"])
    return SessionRun(context, session).run()
