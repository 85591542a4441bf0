"""The verdict on a run: one function for every path to borg, local or remote.

It looks at how the process ended, at what was found path by path, and at the proof that the archive
is in the repository. Levels and banners decide nothing. Success exists only with proof.
"""

from __future__ import annotations

import signal as signals
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from backups import errors as e
from backups.borg.explain import Where, explain
from backups.borg.findings import Finding, Kind
from backups.borg.report import Report
from backups.borg.results import ArchiveFact, CreateResult, create_result
from phpborg.errors import PhpBorgError


class State(StrEnum):
    """How a run ended. (`lost` is for the reaper: it means that nobody could look.)"""

    SUCCESS = "success"
    NOTES = "notes"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StoppedFor(StrEnum):
    """Why we ended the process ourselves."""

    NOTHING = ""
    CANCEL = "cancel"
    TIME_LIMIT = "time_limit"
    CONNECTION = "connection"


class Ended(Protocol):
    """`phpborg.process.Exit`, or what the remote helper reports of its child."""

    @property
    def code(self) -> int | None: ...

    @property
    def signal(self) -> int | None: ...

    @property
    def stopped(self) -> bool: ...


@dataclass(frozen=True)
class Ending:
    """A plain `Ended` (the remote helper's last line, a test). A negative code means a signal."""

    code: int | None
    signal: int | None = None
    stopped: bool = False


@dataclass(frozen=True)
class Verdict:
    """What happened. `archive` is set when one is proven, whatever the state; `error` when it failed."""

    state: State
    findings: tuple[Finding, ...] = ()
    counts: Mapping[Kind, int] = field(default_factory=dict)
    error: PhpBorgError | None = None
    archive: ArchiveFact | None = None
    result: CreateResult | None = None


# Borg's modern warnings; above them come codes of launchers (timeout 124, shell 126 and 127).
_WARNINGS = range(100, 124)


def is_warning(code: int | None) -> bool:
    """Borg finished and had something to say: 1, or a modern warning code."""
    return code == 1 or (code is not None and code in _WARNINGS)


def _number(ended: Ended) -> int | None:
    """The signal that ended the process, however its launcher told it."""
    if ended.signal:
        return ended.signal
    if ended.code is None:
        return None
    if ended.code < 0:
        return -ended.code
    return ended.code - 128 if 128 < ended.code <= 192 else None


def signal_name(number: int) -> str:
    """SIGTERM for 15."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def judge_create(
    ended: Ended,
    report: Report,
    *,
    proof: ArchiveFact | None,
    where: Where,
    stopped_for: StoppedFor = StoppedFor.NOTHING,
    time_limit_seconds: int = 0,
    extra: Iterable[Finding] = (),
) -> Verdict:
    """The verdict on `borg create`. `proof` is what the repository answers for exactly that name.

    `extra` are findings of others (mounts that were left out, a hook). Never raises.
    """
    code = ended.code
    clean_exit = code == 0 or is_warning(code)
    report.findings.settle(warned=is_warning(code), words=report.words())
    report.findings.extend(extra)
    result, unreadable = _result(report)
    error = _stop_error(ended, stopped_for, time_limit_seconds, where) or _death(ended, report, where)
    state = State.FAILED
    if stopped_for is StoppedFor.CANCEL:
        state, error = State.CANCELLED, None
    elif error is None and not clean_exit:
        error = explain(report, code, where) or e.BorgError(report.words())
    elif error is None:
        error = _unproven(code, report, proof, result, where)
        state = State.FAILED if error else _grade(report)
        error = error or (unreadable if state is State.FAILED else None)
    return Verdict(
        state=state,
        findings=tuple(report.findings.kept),
        counts=dict(report.findings.counts),
        error=error,
        archive=proof if proof and (result is None or result.id == proof.id) else None,
        result=result,
    )


def _result(report: Report) -> tuple[CreateResult | None, PhpBorgError | None]:
    """Borg's own account; it may be missing or cut, which the proof outweighs."""
    if not report.answer.strip():
        return None, None
    try:
        return create_result(bytes(report.answer)), None
    except e.AnswerUnreadable as error:
        return None, error


def _stop_error(ended: Ended, stopped_for: StoppedFor, seconds: int, where: Where) -> PhpBorgError | None:
    if stopped_for is StoppedFor.TIME_LIMIT:
        return e.TimeLimit(seconds=seconds)
    if stopped_for is StoppedFor.CONNECTION:
        return e.ConnectionLost(host=where.host or "localhost")
    return None


def _death(ended: Ended, report: Report, where: Where) -> PhpBorgError | None:
    """Ended by a signal, by us without a reason, or not known how at all."""
    number = _number(ended)
    if number is not None:
        return e.Killed(report.words(), signal=signal_name(number))
    if ended.stopped:
        return e.Killed(report.words(), signal="SIGINT")
    if ended.code is None:
        return explain(report, None, where) or e.ConnectionLost(report.words(), host=where.host or "localhost")
    return None


def _unproven(
    code: int | None, report: Report, proof: ArchiveFact | None, result: CreateResult | None, where: Where
) -> PhpBorgError | None:
    if proof is None:
        known = explain(report, None, where) if not result else None
        return known or e.ArchiveUnproven(report.words(), status=-1 if code is None else code)
    if result is not None and result.id != proof.id:
        return e.ForeignArchive(archive=proof.name)
    if report.findings.all_sources_missing:
        return e.SourceMissing(paths=", ".join(report.findings.missing_sources[:5]))
    return None


def _grade(report: Report) -> State:
    counts = report.findings.counts
    if not counts:
        return State.SUCCESS
    return State.NOTES if all(kind.is_note for kind in counts) else State.INCOMPLETE


def judge_extract(
    ended: Ended,
    report: Report,
    *,
    asked: int | None,
    where: Where,
    stopped_for: StoppedFor = StoppedFor.NOTHING,
    time_limit_seconds: int = 0,
) -> Verdict:
    """The verdict on `borg extract` of `asked` paths (None = everything). Never raises."""
    report.findings.settle(warned=is_warning(ended.code), words=report.words())
    findings = report.findings
    error = _stop_error(ended, stopped_for, time_limit_seconds, where) or _death(ended, report, where)
    state = State.FAILED
    if stopped_for is StoppedFor.CANCEL:
        state, error = State.CANCELLED, None
    elif error is None and ended.code != 0 and not is_warning(ended.code):
        error = explain(report, ended.code, where) or e.BorgError(report.words())
    elif error is None and any(finding.errno == 28 for finding in findings.kept):
        error = e.TargetFull(report.words())
    elif error is None and asked is not None and findings.counts[Kind.NEVER_MATCHED] >= asked:
        error = e.NothingRestored(report.words())
    elif error is None:
        # A restore has no harmless warning: each one is about something that is not as it was.
        state = State.INCOMPLETE if findings.counts else State.SUCCESS
    return Verdict(state=state, findings=tuple(findings.kept), counts=dict(findings.counts), error=error)


def require_ok(ended: Ended, report: Report, where: Where, *, timed_out: bool = False, seconds: int = 0) -> None:
    """For short commands: raise what went wrong unless borg ended with 0 or a warning."""
    if timed_out:
        raise e.TimeLimit(report.words(), seconds=seconds)
    error = _death(ended, report, where)
    if error is None and ended.code != 0 and not is_warning(ended.code):
        error = explain(report, ended.code, where) or e.BorgError(report.words())
    if error is not None:
        raise error
