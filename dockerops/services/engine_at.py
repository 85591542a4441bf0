"""The engine of a server, asked and told through the helper's verb `docker`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from backups.job_errors import ServerNotReady
from dockerops.inventory import Inventory
from dockerops.run_errors import EngineUnknown
from phpborg.process import Stop
from servers.errors import RemoteFailed
from servers.models import Server
from servers.services.capabilities import latest_report
from servers.services.reach import host_for
from servers.transport.base import Host, Link

ASK_SECONDS = 300
# As long as a pull or an exchange may take; the task's own limit ends it before.
DO_SECONDS = 30 * 24 * 3600
UNDO_SECONDS = 24 * 3600
Said = dict[str, Any]


def socket_of(server: Server) -> str:
    """The socket of the engine that the newest report names. Raises EngineUnknown."""
    report = latest_report(server)
    docker = report.docker if report is not None else None
    if docker is None or not docker.running or not docker.socket:
        raise EngineUnknown((docker.problem or "") if docker else "", server=server.name)
    return docker.socket


class EngineAt:
    """One engine, and the journal of one restore there (`token`)."""

    def __init__(self, server: Server, socket: str, token: str = "", *, host: Host | None = None) -> None:
        if not server.is_ready:
            raise ServerNotReady(server=server.name)
        self.server, self.socket, self.token = server, socket, token
        self.host = host or host_for(server)

    def inventory(self, paths: list[str], stop: Stop | None = None) -> Inventory:
        """What is there now, and at these paths."""
        return Inventory.from_json(self._call("inventory", ASK_SECONDS, stop, paths=paths))

    def begin(self, stop: Stop | None = None) -> Said:
        """Open the journal. Refused when it exists."""
        return self._call("begin", ASK_SECONDS, stop, token=self.token)

    def do(
        self,
        number: int,
        step: Mapping[str, Any],
        *,
        stop: Stop | None,
        hear: Callable[[Said], None],
        secrets: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
        link: Link | None = None,
    ) -> Said:
        """Carry out one step; its facts. `hear` is given what it says on the way."""
        done: list[Said] = []
        ended = self.host.run(
            "docker",
            {
                **(more or {}),
                "action": "do",
                "socket": self.socket,
                "token": self.token,
                "number": number,
                "step": {"op": step["op"], "params": step["params"]},
            },
            secrets=secrets,
            on_stdout=lambda line: _take(line, done.append),
            on_stderr=lambda line: _take(line, hear),
            stop=stop,
            timeout=DO_SECONDS,
            link=link,
        )
        answers = [said["done"] for said in done if "done" in said]
        if not answers or ended.exit.code != 0:
            raise RemoteFailed(ended.exit.stderr_tail or "the step did not end", address=self.host.target.label)
        return answers[-1] if isinstance(answers[-1], dict) else {}

    def rollback(self) -> Said:
        """Undo everything, in reverse; {"undone": [{"number", "op"}], "problems", "notes"}. Nothing ends it early."""
        return self._call("rollback", UNDO_SECONDS, None, token=self.token)

    def forget(self) -> Said:
        """Let go what was kept aside, and the journal; {"removed", "problems"}."""
        return self._call("forget", UNDO_SECONDS, None, token=self.token)

    def state(self) -> Said:
        """{"exists", "steps", "kept_bytes"} of the journal."""
        return self._call("state", ASK_SECONDS, None, token=self.token)

    def drill(
        self,
        what: str,
        stop: Stop | None = None,
        *,
        secret: Mapping[str, str] | None = None,
        seconds: float = ASK_SECONDS,
        **more: Any,
    ) -> Said:
        """A question to the containers of a drill; see servers/remote/dockers/drilling.py."""
        return self.host.call(
            "docker",
            {"action": "drill", "socket": self.socket, "token": self.token, "what": what, **more},
            timeout=seconds,
            stop=stop,
            secrets=None if secret is None else {"params": json.dumps(secret)},
        )

    def staged(self, directory: str, sources: list[str], stop: Stop | None = None) -> int:
        """How many entries of these paths lie in the private directory."""
        said = self._call("staged", UNDO_SECONDS, stop, token=self.token, target=directory, sources=sources)
        return int(said.get("entries") or 0)

    def compare(self, bodies: list[Mapping[str, Any]], stop: Stop | None = None) -> Said:
        """{"differs": {container: [field]}, "left"} of containers and the bodies that they were made of; no values."""
        return self.host.call(
            "docker",
            {"action": "compare", "socket": self.socket},
            timeout=ASK_SECONDS,
            stop=stop,
            secrets={"params": json.dumps({"containers": bodies})},
        )

    def _call(self, action: str, seconds: float, stop: Stop | None, **more: Any) -> Said:
        return self.host.call("docker", {"action": action, "socket": self.socket, **more}, timeout=seconds, stop=stop)


def _take(line: bytes, take: Callable[[Said], object]) -> None:
    """A line of JSON, among others."""
    try:
        said = json.loads(line)
    except ValueError:
        return
    if isinstance(said, dict):
        take(said)
