"""Reading borg's stderr: nothing raises, nothing is lost (cases 7, 11, 12, 14)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups.borg.events import (
    ArchiveProgress,
    FileStatus,
    LogMessage,
    ProgressMessage,
    ProgressPercent,
    Prompt,
    Text,
    Unknown,
    clean,
    parse,
)

SAMPLES = Path(__file__).parent / "samples"


def test_the_sample_is_read_whole() -> None:
    events = [event for line in (SAMPLES / "sample_create_stderr.jsonl").open("rb") for event in parse(line)]
    kinds = [type(event) for event in events]
    assert kinds.count(FileStatus) == 9
    assert kinds.count(ProgressMessage) == 8
    assert kinds.count(ArchiveProgress) == 2
    assert Text not in kinds
    assert FileStatus("A", 'src/héllo "q" \\ back.txt') in events
    assert FileStatus("A", "src/new\nline.txt") in events


@pytest.mark.parametrize(
    "line",
    [
        b'Invalid placeholder "x" in string: r1::{x}',
        b"/usr/lib/python3.11/getpass.py:91: GetPassWarning: Can not control echo",
        b'{"type": 5}',
        b'{"no": "type"}',
        b'{"type": "log_message", "message": ',
        b"[1, 2]",
        b"null",
        b"{",
        b'{"' * 5000,
        b"[" * 5000,
        b'{"type": ' + b"9" * 5000 + b"}",
        b"\xff\xfe caf\xe9",
    ],
)
def test_plain_text_stays_text(line: bytes) -> None:
    events = parse(line)
    assert events
    assert all(isinstance(event, Text) for event in events)


@pytest.mark.parametrize("line", [b"", b"   ", b"\n", b"\r\n"])
def test_an_empty_line_is_nothing(line: bytes) -> None:
    assert parse(line) == ()


def test_prompt_and_json_on_one_line() -> None:
    """Case 7, the last one: the prompt leaves no newline."""
    line = (
        b'Enter passphrase for key /r: {"type": "log_message", "time": 1.0, "message": "can not acquire a passphrase", '
        b'"levelname": "ERROR", "name": "borg.archiver", "msgid": "NoPassphraseFailure"}'
    )
    assert parse(line) == (
        Text("Enter passphrase for key /r: "),
        LogMessage("ERROR", "borg.archiver", "NoPassphraseFailure", "can not acquire a passphrase"),
    )


def test_json_text_json_on_one_line() -> None:
    line = b'{"type":"question_prompt","msgid":"M","message":"Sure?"} hm {"type":"future_thing","x":1} end'
    question, between, unknown, end = parse(line)
    assert question == Prompt("question_prompt", "M", "Sure?")
    assert isinstance(question, Prompt)
    assert between == Text(" hm ")
    assert unknown == Unknown("future_thing", '{"type":"future_thing","x":1}')
    assert end == Text(" end")


def test_a_brace_before_the_json_does_not_hide_it() -> None:
    (text, message) = parse(b'{"a {"type": "log_message", "message": "m"}')
    assert text == Text('{"a ')
    assert message == LogMessage("", "", "", "m")


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (
            b'{"operation": 1, "msgid": "repository.compact_segments", "type": "progress_percent", "finished": true}',
            ProgressPercent(1, "repository.compact_segments", "", None, None, (), True),
        ),
        (
            b'{"type": "progress_percent", "info": null, "current": 3, "total": 9, "operation": null}',
            ProgressPercent(None, "", "", 3, 9, (), False),
        ),
        (
            b'{"type": "progress_percent", "info": ["a", 1], "current": "x", "total": NaN}',
            ProgressPercent(None, "", "", None, None, ("a", "1"), False),
        ),
        (b'{"time":1.0,"type":"archive_progress","finished":true}', ArchiveProgress(None, None, None, None, "", True)),
        (
            b'{"type":"archive_progress","nfiles":-1,"original_size":1e400,"compressed_size":true,"path":7}',
            ArchiveProgress(None, None, None, None, "", False),
        ),
        (b'{"type": "log_message", "message": null}', LogMessage("", "", "", "")),
        (b'{"type": "file_status"}', FileStatus("", "")),
        (b'{"type": "progress_message"}', ProgressMessage(None, "", "", False)),
    ],
)
def test_missing_and_odd_keys_are_tolerated(line: bytes, event: object) -> None:
    """Case 12."""
    assert parse(line) == (event,)


def test_escapes_are_shown_as_the_person_knows_them() -> None:
    """Case 14."""
    (event,) = parse(rb'{"type":"file_status","status":"A","path":"h\u00e9llo \"q\" \\ back.txt"}')
    assert event == FileStatus("A", 'héllo "q" \\ back.txt')


def test_what_cannot_be_stored_is_replaced() -> None:
    assert clean("a\ud800b\0c") == "a�b�c"
    assert clean("\ud83d\ude00") == "😀"
    assert clean("x" * 100, 10) == "x" * 10 + "…"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_types = st.sampled_from(
    ["archive_progress", "progress_message", "progress_percent", "file_status", "log_message", "question_prompt", "zzz"]
)
_keys = st.sampled_from(
    ["message", "msgid", "path", "status", "nfiles", "original_size", "finished", "info", "current", "total", "name"]
)


@given(st.binary(max_size=300))
def test_no_bytes_raise(line: bytes) -> None:
    parse(line)


@given(kind=_types, rest=st.dictionaries(_keys, _json, max_size=6), before=st.text(max_size=20))
def test_no_json_raises_and_all_of_it_can_be_stored(kind: str, rest: dict[str, object], before: str) -> None:
    line = before + json.dumps({"type": kind, **rest})
    for event in parse(line.encode("utf-8", "surrogatepass")):
        repr(event).encode("utf-8")
        for value in vars(event).values():
            if isinstance(value, str):
                assert "\0" not in value
                value.encode("utf-8")
