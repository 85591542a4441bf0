"""The first words with a server: who it is, which borg it has, and what is at the paths of a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backups.models import BackupJob
from backups.services import credentials
from backups.sources import get as source_of
from backups.sources import offers
from backups.sources import paths as spelling
from backups.sources.base import PathFact, SourceFacts
from phpborg.process import Stop
from servers import errors
from servers.capabilities.report import Report
from servers.services import capabilities_run
from servers.services.capabilities import latest_report
from servers.transport.base import Host

# Sources may lie on slow network filesystems.
LOOK_SECONDS = 120
SIZE_SECONDS = 20


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
    """What is at the paths of the job: from `facts` when the server has said it already; of a database, a fresh look.

    Raises whatever the way to the server does, and RemoteFailed when its answer is no report.
    """
    source = source_of(job.source_kind)
    probes = source.probes(source.parse(job.source))
    report = _fresh(host, job, probes, stop) if probes else None
    if facts is None:
        facts = (
            host.call("paths", {"paths": _wire(job)}, timeout=LOOK_SECONDS, stop=stop)["paths"] if _asked(job) else []
        )
    known = [PathFact.from_answer(fact) for fact in facts]
    return SourceFacts(dict(zip(_asked(job), known, strict=True)), report=report)


def _fresh(host: Host, job: BackupJob, probes: tuple[str, ...], stop: Stop) -> Report:
    """What the server runs at this moment. How much data there is counts only for the size of a snapshot."""
    if credentials.given(job) is None:
        return _ask(host, probes, stop, {})
    # A password is for one database server: which one that is must be known before it is named.
    instance = _instance(job, latest_report(job.server)) or _instance(job, _ask(host, probes, stop, {}))
    return _ask(host, probes, stop, {} if instance is None else credentials.for_probe(job, instance))


def _instance(job: BackupJob, report: Report | None) -> Any:
    source = offers.source_of(job.source_kind)
    found = () if report is None else source.instances(report)
    return next((one for one in found if one.id == job.source.get("instance")), None)


def _ask(host: Host, probes: tuple[str, ...], stop: Stop, secrets: dict[str, str]) -> Report:
    size = SIZE_SECONDS if "lvm" in probes else 0
    return capabilities_run.ask(host, stop=stop, only=probes, size_seconds=size, timeout=LOOK_SECONDS, secrets=secrets)


def _asked(job: BackupJob) -> tuple[bytes, ...]:
    source = source_of(job.source_kind)
    return source.asks(source.parse(job.source))


def _wire(job: BackupJob) -> list[str]:
    return [spelling.to_wire(path) for path in _asked(job)]
