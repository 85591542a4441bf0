"""Borg's JSON answers (cases 8, 16, 138): typed, aware, nothing guessed."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from backups.borg import results
from backups.borg.report import Report
from backups.errors import AnswerUnreadable

SAMPLES = Path(__file__).parent / "samples"
CREATE = (SAMPLES / "sample_create_stdout.json").read_bytes()


def test_the_sample_has_the_right_values() -> None:
    result = results.create_result(CREATE)
    assert (result.original_size, result.compressed_size, result.deduplicated_size, result.nfiles) == (519, 506, 506, 6)
    assert result.name == "one"
    assert result.id == "77ad9ef2e81f03ad78f7aa958ae1011e96fedf2730a05a76b5a496030ddb7905"
    assert result.started_at == datetime(2026, 11, 25, 1, 53, 2, tzinfo=UTC)
    assert result.started_at.tzinfo is UTC
    assert result.cache.unique_csize == 1038
    assert result.encryption == "none"
    assert result.repository_id.startswith("7fa5170c")


def test_two_streams_are_two_readers() -> None:
    """Case 8: the answer is many lines; merged with stderr it would be nothing."""
    report = Report()
    for line in CREATE.splitlines():
        report.stdout(line)
    for line in (SAMPLES / "sample_create_stderr.jsonl").read_bytes().splitlines():
        report.stderr(line)
    assert results.create_result(bytes(report.answer)).nfiles == 6
    assert report.files_listed == 9
    with pytest.raises(AnswerUnreadable):
        results.create_result((SAMPLES / "sample_create_stderr.jsonl").read_bytes() + CREATE)


def _paths(data: dict[str, object], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, value in data.items():
        found.append((*prefix, key))
        if isinstance(value, dict):
            found += _paths(value, (*prefix, key))
    return found


_UNUSED = {"command_line", "limits", "path", "last_modified", "location"}
_NEEDED = [path for path in _paths(json.loads(CREATE)) if not _UNUSED & set(path)]


@pytest.mark.parametrize("path", _NEEDED, ids=".".join)
def test_a_missing_key_is_an_error(path: tuple[str, ...]) -> None:
    data = copy.deepcopy(json.loads(CREATE))
    inner = data
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    with pytest.raises(AnswerUnreadable):
        results.create_result(json.dumps(data).encode())


@pytest.mark.parametrize("answer", [b"", b"[]", b"null", b"{", b"[" * 100_000, b'{"archive": 5}', b"\xff"])
def test_what_is_no_answer_is_an_error(answer: bytes) -> None:
    with pytest.raises(AnswerUnreadable):
        results.create_result(answer)


def test_a_listing() -> None:
    row = {"archive": "a", "barchive": "a", "id": "ff", "name": "a", "time": "2026-03-29T02:30:00.000000"}
    data: dict[str, Any] = {
        "archives": [
            {**row, "start": "2026-03-29T02:30:00.000000"},
            {**row, "name": "b.checkpoint", "start": "2026-03-29T04:30:00+02:00"},
        ],
        "encryption": {"mode": "repokey"},
        "repository": {"id": "ab"},
    }
    listing = results.listing(json.dumps(data).encode())
    first, second = listing.archives
    assert first.started_at == second.started_at == datetime(2026, 3, 29, 2, 30, tzinfo=UTC)
    assert (first.is_checkpoint, second.is_checkpoint) == (False, True)
    assert (listing.repository_id, listing.encryption) == ("ab", "repokey")
    del data["archives"][0]["start"]
    with pytest.raises(AnswerUnreadable):
        results.listing(json.dumps(data).encode())


def test_times_that_are_none() -> None:
    data = json.loads(CREATE)
    data["archive"]["start"] = "yesterday"
    with pytest.raises(AnswerUnreadable, match=r"archive\.start"):
        results.create_result(json.dumps(data).encode())
