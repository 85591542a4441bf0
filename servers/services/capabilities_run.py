"""One look at a server: the helper asks all its probes side by side; what did not answer is a note, not a failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_noop

from phpborg.process import Stop
from phpborg.tasks.context import TaskContext
from phpborg.tasks.registry import Finding, Outcome
from phpborg.tasks.states import State, StepState
from servers.capabilities.report import SCHEMA, Probe, Report, parse
from servers.errors import RemoteFailed
from servers.models import Server
from servers.services import capabilities
from servers.services.reach import host_for
from servers.transport.base import Host

LIMIT_SECONDS = 60.0
# Inside that limit: what a probe is given, and how long directories are counted. The rest is the way there and back.
PROBE_SECONDS, SIZE_SECONDS = 45, 35
TITLES = {"ask": gettext_noop("Ask the server"), "record": gettext_noop("Write the report down")}
ASK_AGAIN = gettext_noop("The findings name what did not answer. The rest is complete; look again later.")
NO_ANSWER = gettext_noop("There was no answer in time.")
Row = dict[str, Any]


def run(context: TaskContext, server: Server) -> Outcome:
    """Ask, record. Raises what keeps us from the server, and RemoteFailed when the answer is not a report."""
    context.phase("connecting")
    taken_at = timezone.now()
    with context.step("ask", TITLES["ask"]) as row:
        report = ask(host_for(server), stop=context.stop)
        context.stop.check()
        _tell(context, report, row)
    context.phase("finalising")
    with context.step("record", TITLES["record"]):
        capabilities.record(server=server, report=report, taken_at=taken_at, task=context.task)
    findings = tuple(_finding(name, probe) for name, probe in report.unanswered.items())
    result = {"probes": len(report.probes or {}), "seconds": report.seconds}
    return Outcome(State.NOTES if findings else State.SUCCESS, findings, result=result)


def ask(
    host: Host,
    *,
    stop: Stop,
    only: Sequence[str] = (),
    size_seconds: float = SIZE_SECONDS,
    timeout: float = LIMIT_SECONDS,
    secrets: Mapping[str, str] | None = None,
) -> Report:
    """What the server says at this moment, to all probes or to those named; nothing is recorded.

    Raises what keeps us from the server, and RemoteFailed when the answer is not a report.
    """
    args: dict[str, Any] = {"seconds": PROBE_SECONDS, "size_seconds": size_seconds}
    if only:
        args["only"] = list(only)
    report = parse(host.call("capabilities", args, timeout=timeout, stop=stop, secrets=dict(secrets or {})))
    if report.schema != SCHEMA or not report.probes:
        raise RemoteFailed(f"schema {report.schema}", address=host.target.label)
    return report


def _tell(context: TaskContext, report: Report, row: Row) -> None:
    """One line a probe; the step says how many answered."""
    probes = report.probes or {}
    for name, probe in probes.items():
        spent = "?" if probe.seconds is None else f"{probe.seconds:.1f} s"
        context.log(": ".join(filter(None, (f"{name} {probe.state} {spent}", probe.problem))))
    if report.cut:
        context.log("the answer was longer than what is kept")
    row["detail"] = f"{len(probes) - len(report.unanswered)}/{len(probes)}"
    if report.unanswered:
        row.update(state=StepState.WARNING, advice=ASK_AGAIN)


def _finding(name: str, probe: Probe) -> Finding:
    """`late` and `failed` have their words in phpborg/tasks/findings.py."""
    return Finding(probe.state, (NO_ANSWER if probe.state == "late" else probe.problem) or "", path=name)
