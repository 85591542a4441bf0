"""The first words with a server: who it is, which borg it has, and what is at the paths of a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backups.models import BackupJob
from backups.sources import get as source_of
from backups.sources import paths as spelling
from backups.sources.base import PathFact, SourceFacts
from phpborg.process import Stop
from servers import errors
from servers.transport.base import Host

# Sources may lie on slow network filesystems.
LOOK_SECONDS = 120


@dataclass(frozen=True)
class Greeting:
    """What the server answered; `facts` are its words about the sources, None when it was not asked."""

    hostname: str
    kernel: str
    versions: dict[str, Any]
    facts: list[dict[str, Any]] | None


def greet(host: Host, job: BackupJob, *, look: bool, stop: Stop) -> Greeting:
    """Ask who the server is, with `look` also what is at the paths of the job: it saves a connection.

    Raises BorgMissing, and whatever the way to the server does.
    """
    answer = _hello(host, job, look, stop)
    borg = answer.get("borg") or {}
    if not borg.get("version"):
        raise errors.BorgMissing(str(borg.get("problem") or ""), address=host.target.label)
    return Greeting(
        hostname=str(answer.get("hostname", "")),
        kernel=str(answer.get("kernel", "")),
        versions={"borg": borg["version"], "helper": answer.get("version"), "os": answer.get("os")},
        facts=answer.get("paths"),
    )


def _hello(host: Host, job: BackupJob, look: bool, stop: Stop) -> dict[str, Any]:
    if not look:
        return host.call("hello", stop=stop)
    try:
        return host.call("hello", {"paths": _wire(job)}, timeout=LOOK_SECONDS, stop=stop)
    except errors.TimedOut as error:
        if not stop.is_set():
            host.call("hello", stop=stop)  # raises when it is the server itself that is silent
            error.detail = f"It answers, but not about {', '.join(map(spelling.shown, _asked(job)))}."
        raise


def look_at(host: Host, job: BackupJob, *, facts: list[dict[str, Any]] | None, stop: Stop) -> SourceFacts:
    """What is at the paths of the job: from `facts` when the server has said it already."""
    if facts is None:
        facts = host.call("paths", {"paths": _wire(job)}, timeout=LOOK_SECONDS, stop=stop)["paths"]
    known = [PathFact.from_answer(fact) for fact in facts]
    return SourceFacts(dict(zip(_asked(job), known, strict=True)))


def _asked(job: BackupJob) -> tuple[bytes, ...]:
    source = source_of(job.source_kind)
    return source.asks(source.parse(job.source))


def _wire(job: BackupJob) -> list[str]:
    return [spelling.to_wire(path) for path in _asked(job)]
