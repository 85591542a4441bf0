"""The verdict, over every way to end and with and without proof (cases 1, 3, 5, 9, 20)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backups import errors as e
from backups.borg.explain import Where
from backups.borg.findings import Finding, Kind
from backups.borg.outcome import Ending, State, StoppedFor, Verdict, judge_create, judge_extract, require_ok
from backups.borg.report import Report
from backups.borg.results import ArchiveFact
from phpborg.process import Exit
from tests.borg.test_findings import log, status

RESULT = (Path(__file__).parent / "samples/sample_create_stdout.json").read_bytes()
ID = json.loads(RESULT)["archive"]["id"]
PROOF = ArchiveFact(ID, "one", datetime(2026, 1, 1, tzinfo=UTC))
WHERE = Where(repository="/r", archive="one", host="server")


def judge(
    ended: Ending | Exit,
    *lines: bytes,
    proof: ArchiveFact | None = PROOF,
    answer: bytes = RESULT,
    sources: tuple[bytes, ...] = (b"/s",),
    **more: object,
) -> Verdict:
    report = Report(sources=sources)
    for line in lines:
        report.stderr(line)
    for line in answer.splitlines():
        report.stdout(line)
    return judge_create(ended, report, proof=proof, where=WHERE, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("proven", [True, False])
@pytest.mark.parametrize(
    ("code", "state", "error"),
    [
        (-15, State.FAILED, e.Killed), (-9, State.FAILED, e.Killed), (-1, State.FAILED, e.Killed),
        (0, State.SUCCESS, None), (1, State.INCOMPLETE, None), (2, State.FAILED, e.BorgError),
        (3, State.FAILED, e.BorgError), (124, State.FAILED, e.BorgError), (126, State.FAILED, e.BorgMissing),
        (127, State.FAILED, e.BorgMissing), (130, State.FAILED, e.Killed), (137, State.FAILED, e.Killed),
        (143, State.FAILED, e.Killed), (255, State.FAILED, e.ConnectionLost), (None, State.FAILED, e.ConnectionLost),
        (100, State.INCOMPLETE, None), (104, State.INCOMPLETE, None), (107, State.INCOMPLETE, None),
        (30, State.FAILED, e.ArchiveExists), (52, State.FAILED, e.PassphraseWrong), (73, State.FAILED, e.LockBusy),
        (64, State.FAILED, e.RepositoryReplay), (86, State.FAILED, e.ProtocolPolluted),
        (81, State.FAILED, e.ConnectionLost),
    ],
)  # fmt: skip
def test_table(code: int | None, state: State, error: type[Exception] | None, proven: bool) -> None:
    verdict = judge(Ending(code), proof=PROOF if proven else None, answer=RESULT if proven else b"")
    if error is None and not proven:
        state, error = State.FAILED, e.ArchiveUnproven
    assert verdict.state is state
    assert type(verdict.error) is (error or type(None))
    assert verdict.archive == (PROOF if proven else None)


@pytest.mark.parametrize("ended", [Exit(None, 15), Exit(None, 9), Ending(None, 9), Ending(143), Ending(-15)])
def test_a_killed_run_is_never_a_success(ended: Ending | Exit) -> None:
    """Case 5, also when the archive is there after all."""
    verdict = judge(ended)
    assert verdict.state is State.FAILED
    assert isinstance(verdict.error, e.Killed)
    assert verdict.error.facts["signal"] in ("SIGTERM", "SIGKILL")
    assert verdict.archive == PROOF


@pytest.mark.parametrize("code", [0, 1, 2, 130, None])
def test_stopped_by_us(code: int | None) -> None:
    ended = Ending(code, stopped=True)
    cancelled = judge(ended, stopped_for=StoppedFor.CANCEL)
    assert (cancelled.state, cancelled.error) == (State.CANCELLED, None)
    late = judge(ended, stopped_for=StoppedFor.TIME_LIMIT, time_limit_seconds=120)
    assert late.state is State.FAILED
    assert isinstance(late.error, e.TimeLimit)
    assert late.error.facts["seconds"] == 120
    lost = judge(ended, stopped_for=StoppedFor.CONNECTION)
    assert isinstance(lost.error, e.ConnectionLost)
    assert judge(ended).state is State.FAILED


CHANGED = (log("s/a: file changed while we backed it up"), status("C", "s/a"))
DENIED = (log("s/b: open: [Errno 13] Permission denied: 'b'"), status("E", "s/b"))
GONE = (log("s/c: stat: [Errno 2] No such file or directory: 'c'"), status("E", "s/c"))


@pytest.mark.parametrize("code", [1, 100, 107])
@pytest.mark.parametrize(
    ("lines", "state", "kinds"),
    [
        (CHANGED, State.NOTES, [Kind.CHANGED]),
        (GONE, State.NOTES, [Kind.VANISHED]),
        (CHANGED + GONE, State.NOTES, [Kind.CHANGED, Kind.VANISHED]),
        (DENIED, State.INCOMPLETE, [Kind.UNREADABLE]),
        (CHANGED + DENIED, State.INCOMPLETE, [Kind.CHANGED, Kind.UNREADABLE]),
    ],
)
def test_grades(code: int, lines: tuple[bytes, ...], state: State, kinds: list[Kind]) -> None:
    """Case 1: a warning exit is not a failure, and counts what it met."""
    verdict = judge(Ending(code), *lines)
    assert verdict.state is state
    assert [finding.kind for finding in verdict.findings] == kinds
    assert sum(verdict.counts.values()) == len(kinds)
    assert verdict.error is None


def test_a_banner_is_not_a_warning() -> None:
    """Case 9: two lines at level WARNING, exit 0."""
    verdict = judge(
        Ending(0), log("Remote: Welcome to prod", name="root"), log("Remote: /s: [Errno 13] denied", name="root")
    )
    assert (verdict.state, verdict.findings) == (State.SUCCESS, ())


def test_a_stale_lock_is_not_a_warning() -> None:
    """Case 20."""
    verdict = judge(Ending(0), log("Killed stale lock vm@3281355014145.999999-0.", name="borg.locking"))
    assert (verdict.state, verdict.findings) == (State.SUCCESS, ())


def test_the_only_source_is_missing() -> None:
    """Case 3: an archive exists, and it is not a backup."""
    verdict = judge(Ending(1), log("/s: open_root: [Errno 2] No such file or directory: '/s'"))
    assert verdict.state is State.FAILED
    assert isinstance(verdict.error, e.SourceMissing)
    assert verdict.error.facts["paths"] == "/s"


def test_one_of_two_sources_is_missing() -> None:
    line = log("/s: open_root: [Errno 2] No such file or directory: '/s'")
    verdict = judge(Ending(1), line, sources=(b"/s", b"/t"))
    assert verdict.state is State.INCOMPLETE
    assert verdict.counts == {Kind.MISSING_SOURCE: 1}


def test_the_launchers_own_exit_is_not_borgs() -> None:
    """sudo and shells also end with 1."""
    verdict = judge(Ending(1), b"sudo: a password is required", proof=None, answer=b"")
    assert verdict.state is State.FAILED
    assert isinstance(verdict.error, e.ArchiveUnproven)
    assert "sudo: a password is required" in str(verdict.error)
    assert "status 1" in str(verdict.error)


def test_another_archive_of_that_name_proves_nothing() -> None:
    other = ArchiveFact("f" * 64, "one", PROOF.started_at)
    verdict = judge(Ending(0), proof=other)
    assert verdict.state is State.FAILED
    assert isinstance(verdict.error, e.ForeignArchive)
    assert verdict.archive is None


@pytest.mark.parametrize("answer", [b"", b"{", b"Welcome\n" + RESULT])
def test_a_lost_answer_is_outweighed_by_the_proof(answer: bytes) -> None:
    verdict = judge(Ending(0), answer=answer)
    assert (verdict.state, verdict.result, verdict.archive) == (State.SUCCESS, None, PROOF)


def test_findings_of_others_count() -> None:
    verdict = judge(Ending(0), extra=[Finding(Kind.MOUNT_SKIPPED, "/srv/nfs", "")])
    assert verdict.state is State.NOTES


@pytest.mark.parametrize(
    ("code", "lines", "asked", "state", "error"),
    [
        (0, [], 1, State.SUCCESS, None),
        (0, [], None, State.SUCCESS, None),
        (1, [log("Include pattern 'x' never matched.")], 1, State.FAILED, e.NothingRestored),
        (101, [log("Include pattern 'x' never matched.")], 2, State.INCOMPLETE, None),
        (1, [log("a: write: [Errno 28] No space left on device")], 1, State.FAILED, e.TargetFull),
        (1, [log("a: chown: [Errno 1] Operation not permitted: 'a'")], 1, State.INCOMPLETE, None),
        (2, [log("Archive one does not exist", level="ERROR", msgid="Archive.DoesNotExist")], 1, State.FAILED,
         e.ArchiveMissing),
        (143, [], 1, State.FAILED, e.Killed),
    ],
)  # fmt: skip
def test_restores(
    code: int, lines: list[bytes], asked: int | None, state: State, error: type[Exception] | None
) -> None:
    """Case 132: what restored nothing is not completed."""
    report = Report()
    for line in lines:
        report.stderr(line)
    verdict = judge_extract(Ending(code), report, asked=asked, where=WHERE)
    assert verdict.state is state
    assert type(verdict.error) is (error or type(None))


def test_a_cancelled_restore() -> None:
    verdict = judge_extract(Ending(2, stopped=True), Report(), asked=1, where=WHERE, stopped_for=StoppedFor.CANCEL)
    assert (verdict.state, verdict.error) == (State.CANCELLED, None)


def test_short_commands_raise_what_went_wrong() -> None:
    require_ok(Ending(0), Report(), WHERE)
    require_ok(Ending(1), Report(), WHERE)
    with pytest.raises(e.Killed):
        require_ok(Ending(None, 9), Report(), WHERE)
    with pytest.raises(e.TimeLimit):
        require_ok(Ending(130, stopped=True), Report(), WHERE, timed_out=True, seconds=5)
    with pytest.raises(e.PassphraseWrong):
        require_ok(Ending(52), Report(), WHERE)
