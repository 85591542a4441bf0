"""`borg create` of one run on the job's server: its request, and what comes back beside borg's own words."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from backups.borg.outcome import Ended
from backups.borg.report import Report
from backups.models import BackupJob
from backups.services import credentials, repositories
from backups.services.plan import BackupPlan
from backups.services.telling import Teller
from phpborg.tasks.context import TaskContext
from servers.transport.base import Host, Link

_MARK = b'"phpborg_stream"'
_MOST_SAID = 4000


@dataclass
class Streams:
    """What the server says of each stream that is whole: rows of {"name", "bytes", "what", "said"}."""

    whole: list[dict[str, Any]] = field(default_factory=list)

    def hear(self, line: bytes) -> dict[str, Any] | None:
        """Take a line that is about a stream; None for any other."""
        if _MARK not in line:
            return None
        try:
            said = json.loads(line)
        except ValueError:
            return None
        if not isinstance(said, dict) or said.get("type") != "phpborg_stream":
            return None
        size = said.get("bytes")
        row = {
            "name": str(said.get("name", "")),
            "bytes": size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
            "what": str(said.get("what", "")),
            "said": str(said.get("said", ""))[:_MOST_SAID],
        }
        self.whole.append(row)
        return row

    def missing(self, plan: BackupPlan) -> list[str]:
        """The names of the plan's streams that nobody said are whole."""
        told = {row["name"] for row in self.whole}
        if plan.source.feed is not None:
            return [] if told else [plan.source.feed.folder]
        return [stream.name for stream in plan.source.streams if stream.name not in told]


class Creation:
    """Borg with all that it reads, through one open way to the repository."""

    def __init__(self, context: TaskContext, job: BackupJob, host: Host, teller: Teller) -> None:
        self._context = context
        self._job = job
        self._host = host
        self._teller = teller
        self.streams = Streams()

    def run(self, plan: BackupPlan, way: Link, report: Report, views: Sequence[dict[str, str]], token: str) -> Ended:
        """One attempt. Raises what keeps borg from being started, StreamFailed, and what the way to the server does."""
        self.streams = Streams()
        repository = self._job.repository
        secrets = credentials.for_tools(self._job) if plan.source.database is not None else {}
        secrets |= repositories.secrets_there(repository)
        result = self._host.run(
            "borg",
            self._arguments(plan, views, token),
            secrets=secrets,
            on_stdout=report.stdout,
            on_stderr=lambda line: self._hear(report, line),
            stop=self._context.stop,
            link=way,
            tick=lambda: self._teller.tick(report),
        )
        self._teller.tick(report, final=True)
        if result.noise:
            self._context.log(f"said before our program answered: {result.noise}")
        return result.exit

    def _arguments(self, plan: BackupPlan, views: Sequence[dict[str, str]], token: str) -> dict[str, Any]:
        args: dict[str, Any] = {
            "argv": [word if isinstance(word, str) else os.fsdecode(word) for word in plan.argv],
            "nice": plan.nice,
            "env": self._environment(),
        }
        if views:
            args["views"] = list(views)
        if plan.source.streams:
            rows = [credentials.named(self._job, stream.row()) for stream in plan.source.streams]
            args |= {"token": token, "streams": rows}
        if plan.source.feed is not None:
            args["feed"] = {**credentials.named(self._job, plan.source.feed.row()), "token": token}
        return args

    def _environment(self) -> dict[str, str]:
        repository = self._job.repository
        env = repositories.told_there(repository, relocated_ok=bool(repository.confirmed_move_from))
        # Several jobs of one server may share a repository: each has its own memory of unchanged files.
        env["BORG_FILES_CACHE_SUFFIX"] = self._job.pk.hex[:12]
        return env

    def _hear(self, report: Report, line: bytes) -> None:
        row = self.streams.hear(line)
        if row is None:
            self._teller.hear(report, line)
            return
        size = "?" if row["bytes"] is None else row["bytes"]
        self._context.log(f"whole: {row['name']} ({row['what']}), {size} bytes")
        for text in row["said"].splitlines()[:50]:
            self._context.log(f"{row['name']}: {text}")
