"""Findings: from borg's words about a path, never from a level, a banner or a name."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from backups.borg.findings import KEEP, Kind
from backups.borg.report import Report


def log(message: str, *, level: str = "WARNING", name: str = "borg.archiver", msgid: str = "") -> bytes:
    return json.dumps(
        {"type": "log_message", "time": 1.0, "message": message, "levelname": level, "name": name, "msgid": msgid}
    ).encode()


def status(letter: str, path: str) -> bytes:
    return json.dumps({"type": "file_status", "status": letter, "path": path}).encode()


def collect(*lines: bytes, warned: bool = True, sources: tuple[bytes, ...] = (b"/s",)) -> list[tuple[Kind, str]]:
    report = Report(sources=sources)
    for line in lines:
        report.stderr(line)
    report.findings.settle(warned=warned, words=report.words())
    return [(finding.kind, finding.path) for finding in report.findings.kept]


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ([log("s/a: file changed while we backed it up"), status("C", "s/a")], [(Kind.CHANGED, "s/a")]),
        ([log("s/a: open: [Errno 13] Permission denied: 'a'"), status("E", "s/a")], [(Kind.UNREADABLE, "s/a")]),
        ([log("s/a: stat: [Errno 2] No such file or directory: 'a'"), status("E", "s/a")], [(Kind.VANISHED, "s/a")]),
        ([log("s/a: read: [Errno 5] Input/output error"), status("E", "s/a")], [(Kind.UNREADABLE, "s/a")]),
        ([status("E", "s/a")], [(Kind.UNREADABLE, "s/a")]),
        # Sources that are missing have no status line; 1.2 with and without an operation, then 1.4.
        ([log("/s: [Errno 2] No such file or directory: 's'")], [(Kind.MISSING_SOURCE, "/s")]),
        ([log("/s: open_root: [Errno 2] No such file or directory: '/'")], [(Kind.MISSING_SOURCE, "/s")]),
        ([log("/s: stat: [Errno 2] No such file or directory: '/s'")], [(Kind.MISSING_SOURCE, "/s")]),
        ([log("/s: open_root: [Errno 13] Permission denied: '/'")], [(Kind.UNREADABLE, "/s")]),
        # A retry that was followed by success is not a finding; the run still warned about something.
        ([log("s/a: open: [Errno 5] x, slept 2.000s, next: retry: 2 of 10")], [(Kind.OTHER, "")]),
        ([log("Unknown file type: s/a")], [(Kind.OTHER, "")]),
        ([log("Include pattern 'x' never matched.")], [(Kind.NEVER_MATCHED, "x")]),
        # A name that looks like an error.
        (
            [
                log("s/x: [Errno 2] y: open: [Errno 13] Permission denied: 'x: [Errno 2] y'"),
                status("E", "s/x: [Errno 2] y"),
            ],
            [(Kind.UNREADABLE, "s/x: [Errno 2] y")],
        ),
        (
            [log("s/n\nl: open: [Errno 13] Permission denied: 'n'"), status("E", "s/n\nl")],
            [(Kind.UNREADABLE, "s/n\nl")],
        ),
    ],
)
def test_table(lines: list[bytes], wanted: list[tuple[Kind, str]]) -> None:
    assert collect(*lines) == wanted


@pytest.mark.parametrize(
    "line",
    [
        log("Remote: /s: [Errno 2] No such file or directory", name="root"),
        log("Remote: /s: open: [Errno 13] Permission denied"),
        log("Killed stale lock vm@1.2-0.", name="borg.locking"),
        log("Removed stale exclusive roster lock for host h pid 1 thread 0.", name="borg.locking"),
        log("/usr/lib/x.py:91: GetPassWarning: x", name="borg.logger"),
        log("/s: [Errno 2] No such file", level="INFO"),
        b"/s: [Errno 2] No such file or directory",
    ],
)
def test_what_is_no_finding(line: bytes) -> None:
    """Cases 9 and 20: whatever the level says."""
    assert collect(line, warned=False) == []
    assert collect(line, warned=True) == [(Kind.OTHER, "")]


def test_warnings_do_not_count_when_borg_ended_with_0() -> None:
    assert collect(log("/s: [Errno 2] No such file or directory: 's'"), warned=False) == []


def test_a_source_whose_name_is_not_utf8() -> None:
    lines = [log("/s/caf?: [Errno 2] No such file or directory: 'caf?'")]
    assert collect(*lines, sources=(b"/s/caf\xe9/",)) == [(Kind.MISSING_SOURCE, "/s/caf?")]


def test_all_sources_missing_is_known() -> None:
    report = Report(sources=(b"/a", b"/b/"))
    report.stderr(log("/a: [Errno 2] No such file or directory: 'a'"))
    report.stderr(log("/b: open_root: [Errno 20] Not a directory: 'b'"))
    report.findings.settle(warned=True)
    assert report.findings.all_sources_missing
    assert report.findings.missing_sources == ("/a", "/b")


def test_two_million_lines_leave_a_bounded_report() -> None:
    """Case 15: counts stay exact, memory does not grow with the run."""
    report = Report(sources=(b"/s",))
    denied = [log(f"s/{n}: open: [Errno 13] Permission denied: '{n}'") for n in range(1000)]
    failed = [status("E", f"s/{n}") for n in range(1000)]
    listed = [status("A", f"s/{n}") for n in range(1000)]
    tracemalloc.start()
    for _ in range(20):
        for one, two, three in zip(denied, failed, listed, strict=True):
            report.stderr(one)
            report.stderr(two)
            report.stderr(three)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.findings.counts[Kind.UNREADABLE] == 20_000
    assert len(report.findings.kept) == KEEP
    assert report.files_listed == 40_000
    assert peak < 5_000_000
