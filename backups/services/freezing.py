"""What is frozen on a server while borg reads it: written down, made, asked whether it lasted, removed.

The name on the server follows from a token, so that it can be removed after any end, also by the reaper.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from backups.docker_errors import NotKept
from backups.job_errors import SnapshotOverflowed
from backups.models import BackupJob
from backups.services import credentials, docker_record
from backups.sources.base import Freeze
from phpborg.crypto import redact
from phpborg.errors import PhpBorgError
from phpborg.tasks.context import Cancelled, TaskContext
from phpborg.tasks.leases import new_token
from phpborg.tasks.models import Lease
from phpborg.tasks.registry import Finding
from servers.transport.base import Host

log = logging.getLogger(__name__)
# A copy of a whole database is a frozen state too: as long as a job may take, whose own limit ends it before.
MAKE_SECONDS = 30 * 24 * 3600
ASK_SECONDS = 120
# Containers come back one after the other, each after the one that it needs is well: a whole server's take long.
REMOVE_SECONDS = 6 * 3600


class Frozen:
    """The frozen state of one run. `make` it, `check` it after borg, `remove` it in every case."""

    def __init__(self, context: TaskContext, job: BackupJob, host: Host, freeze: Freeze) -> None:
        self.facts: dict[str, Any] = {}
        self._context = context
        self._job = job
        self._host = host
        self._freeze = freeze
        self._token = new_token()
        self._lease: Lease | None = None
        # Since when containers keep still, on our own clock.
        self._still_since: float | None = None
        self._changed: Any = None
        # What could not be brought back at once, in the server's words.
        self._owed = ""

    def make(self) -> None:
        """Raises SnapshotFailed, SnapshotNoRoom, and what the way to the server does."""
        self._lease = self._context.hold(
            "snapshot",
            server=str(self._job.server_id),
            job=str(self._job.pk),
            token=self._token,
            arguments=_naming(self._freeze.arguments),
        )
        self.facts = self._call("make", MAKE_SECONDS, self._freeze.arguments)
        if docker_record.still(self.facts):
            # Stops and dumps took their time before the helper could answer.
            self._still_since = time.monotonic() - docker_record.still_seconds(self.facts)
        self._context.stop.check()

    @property
    def keeps_waiting(self) -> bool:
        """Does something stand still on the server until this is removed?"""
        return self._freeze.kind == "docker"

    @property
    def views(self) -> list[dict[str, str]]:
        """For the helper's verb `borg`: where each directory of the frozen state is to be seen."""
        return [{"token": self._token, "inside": view.inside, "at": view.at} for view in self._freeze.views]

    def check(self) -> Finding | None:
        """After the last byte was read. Raises SnapshotOverflowed, NotKept; a finding when nobody can be asked."""
        try:
            state = self._call("state", ASK_SECONDS, _naming(self._freeze.arguments))
        except PhpBorgError as error:
            return Finding("freeze_unknown", f"{error.code} {error}")
        self.facts["used_percent"] = state.get("used_percent")
        self._changed = state.get("changed")
        if state.get("valid") is not True and self._freeze.kind == "docker":
            raise NotKept(str(state.get("problem") or ""), server=self._job.server.name, used="?")
        if state.get("valid") is not True:
            used = state.get("used_percent")
            detail = str(state.get("problem") or "")
            raise SnapshotOverflowed(detail, server=self._job.server.name, used="?" if used is None else f"{used:g} %")
        return None

    def remove(self) -> None:
        """What resists is tried again by the reaper; the run's own result does not change by it."""
        if self._lease is not None:
            if not self._context.release(self._lease):
                said = Lease.objects.filter(pk=self._lease.pk).values_list("error", flat=True).first()
                self._owed = redact(said or "")
                self._context.log(f"what was frozen could not be removed yet; it is tried again: {self._owed}")
            elif self._still_since is not None:
                self.facts["quiet_seconds"] = time.monotonic() - self._still_since
        self._lease = None

    def notes(self, known: Sequence[Finding]) -> list[Finding]:
        """What the server told of its work, after `make` and after `check`, without what is `known` already."""
        found: list[Finding] = []
        if self._freeze.kind == "elasticsearch":
            names = self.facts.get("left_out") or ()
            found = [Finding("unproven", "not in the node's own snapshot", str(name)) for name in names]
        elif self._freeze.kind == "docker":
            told = [*(self.facts.get("findings") or ()), *(self._changed or ())]
            found = docker_record.findings(told, self.facts.get("actual"))
            # Containers that do not run again are more than a matter of the reaper's.
            found += [Finding("late", self._owed)] if self._owed else []
        seen = {(finding.kind, finding.path) for finding in known}
        return [finding for finding in found if (finding.kind, finding.path) not in seen]

    @property
    def words(self) -> str:
        """What was made, in a line: its name; of an engine, who keeps still, and in the end for how long."""
        still = docker_record.still(self.facts)
        if not still:
            return str(self.facts.get("name") or "")
        seconds = self.facts.get("quiet_seconds")
        lines = [f"docker {how}: {', '.join(names)}" for how, names in still.items()]
        return "\n".join([*lines, f"{seconds:.1f} s"] if seconds is not None else lines)

    def _call(self, action: str, seconds: float, arguments: Mapping[str, Any]) -> dict[str, Any]:
        args = {**credentials.named(self._job, arguments), "action": action, "token": self._token}
        secrets = credentials.for_tools(self._job)
        stop = self._context.stop if action == "make" else None
        return self._host.call("snapshot", args, timeout=seconds, stop=stop, secrets=secrets)


def not_asked(context: TaskContext, error: Exception) -> Finding:
    """That nobody could ask whether it lasted, because of `error`: ours, or the end that somebody asked for."""
    if not isinstance(error, Cancelled):
        log.error("the last look at what was frozen broke", exc_info=error)
    said = "cancelled" if isinstance(error, Cancelled) else f"{type(error).__name__}: {error}"
    context.log(f"not known whether what was frozen lasted: {said}")
    return Finding("freeze_unknown", redact(said)[:500])


def _naming(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What names the frozen state again, without what only its making needs."""
    return {name: value for name, value in arguments.items() if name not in ("hold", "size_bytes", "plan")}


def remove(host: Host, job: BackupJob | None, data: Mapping[str, Any]) -> None:
    """For the lease, whoever asks: idempotent. Raises what keeps it from going."""
    args = {**data["arguments"], "action": "remove", "token": data["token"]}
    secrets: dict[str, str] = {}
    if job is not None:
        try:
            args, secrets = credentials.named(job, args), credentials.for_tools(job)
        except PhpBorgError:
            secrets = {}  # most kinds need no login to go
    host.call("snapshot", args, timeout=REMOVE_SECONDS, secrets=secrets)
