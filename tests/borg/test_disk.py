"""Lock files, sizes, mounts and removal, without borg."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups import errors as e
from backups.borg import locks, sizes
from backups.borg.config import read_id
from backups.borg.orphans import Row, compare
from backups.borg.results import ArchiveFact
from backups.borg.runner import Version, parse_version


@pytest.fixture
def dead_pid() -> int:
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def exclusive(repository: Path, name: str) -> Path:
    folder = repository / "lock.exclusive"
    folder.mkdir(exist_ok=True)
    (folder / name).touch()
    return folder


def test_no_lock(tmp_path: Path) -> None:
    assert locks.read(tmp_path) == locks.LockState()
    assert locks.clear_dead(tmp_path) == ()


def test_holders_are_named(tmp_path: Path, dead_pid: int) -> None:
    me = locks.host_id()
    exclusive(tmp_path, f"{me}.{dead_pid}-0")
    (tmp_path / "lock.roster").write_text(json.dumps({"shared": [["other@5", 77, 0], [me, os.getpid(), 0]]}))
    state = locks.read(tmp_path)
    assert [holder.pid for holder in state.alive] == [os.getpid()]
    assert [(holder.host, holder.pid) for holder in state.foreign] == [("other@5", 77)]
    assert [(holder.pid, holder.exclusive) for holder in state.dead] == [(dead_pid, True)]
    assert "other@5 (process 77)" in str(state)


def test_only_the_dead_of_this_host_are_cleared(tmp_path: Path, dead_pid: int) -> None:
    me = locks.host_id()
    folder = exclusive(tmp_path, f"{me}.{dead_pid}-0")
    roster = tmp_path / "lock.roster"
    roster.write_text(json.dumps({"shared": [["other@5", 77, 0], [me, dead_pid, 0]]}))
    left = tmp_path / "lock.exclusive.abcd.tmp"
    left.mkdir()
    (left / f"{me}.{dead_pid}-0").touch()
    gone = locks.clear_dead(tmp_path)
    assert {holder.exclusive for holder in gone} == {True, False}
    assert not folder.exists()
    assert not left.exists()
    assert json.loads(roster.read_text()) == {"shared": [["other@5", 77, 0]]}
    assert locks.clear_dead(tmp_path) == ()


def test_a_lock_that_is_held_stays(tmp_path: Path, dead_pid: int) -> None:
    me = locks.host_id()
    folder = exclusive(tmp_path, f"{me}.{os.getpid()}-0")
    exclusive(tmp_path, "other@5.1-0")
    roster = tmp_path / "lock.roster"
    before = json.dumps({"shared": [[me, dead_pid, 0]]})
    roster.write_text(before)
    locks.clear_dead(tmp_path)
    assert len(list(folder.iterdir())) == 2
    assert roster.read_text() == before


def test_a_number_that_was_given_again_is_dead(tmp_path: Path) -> None:
    """The process of that pid is younger than the lock: it never took it."""
    folder = exclusive(tmp_path, f"{locks.host_id()}.{os.getpid()}-0")
    (lock,) = folder.iterdir()
    os.utime(lock, (1_000_000_000, 1_000_000_000))
    assert locks.read(tmp_path).alive == ()
    locks.clear_dead(tmp_path)
    assert not folder.exists()


@pytest.mark.parametrize("roster", ["", "[]", "{", '{"shared": 5}', '{"shared": [["h"], 5, ["h", "x", 0]]}', '"x"'])
def test_a_broken_roster_holds_nothing(tmp_path: Path, roster: str) -> None:
    (tmp_path / "lock.roster").write_text(roster)
    exclusive(tmp_path, "malformed")
    assert locks.read(tmp_path).holders == ()


def test_the_host_is_named_as_borg_names_it() -> None:
    assert locks.host_id().partition("@")[0].startswith(socket.gethostname().partition(".")[0])
    assert locks.host_id().partition("@")[2].isdigit()


# A hints file as borg 1.2 writes it: version, segments, compact, quota, shadow index.
def hints(compact: bytes) -> bytes:
    return (
        b"\x85" b"\xa7version\x02" b"\xa8segments\x82\x00\x05\xcd\x01\x00\xce\x00\x01\x00\x00"
        b"\xa7compact" + compact + b"\xb1storage_quota_use\xcf\x00\x00\x00\x01\x00\x00\x00\x00"
        b"\xacshadow_index\x81\xc4\x02\xff\xfe\x92\x01\xe0"
    )  # fmt: skip


def test_what_a_compaction_would_free_is_known(tmp_path: Path) -> None:
    (tmp_path / "hints.9").write_bytes(hints(b"\x80"))
    (tmp_path / "hints.12").write_bytes(hints(b"\x83\x01\xce" + struct.pack(">I", 60_000_000) + b"\x05\x07\x06\xff"))
    assert sizes.freeable(tmp_path) == 60_000_007


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x81\xa1", b"\x80", b"\x01", b"\x91" * 5000, b"\xdf\xff\xff\xff\xff"])
def test_hints_that_are_none_are_unknown(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "hints.1").write_bytes(data)
    assert sizes.freeable(tmp_path) is None


@pytest.mark.parametrize(
    ("index", "segments", "expected"),
    [("index.5", "0 4 5", False), ("index.5", "5 6", True), ("index.9", "10", True), ("index.5.tmp", "7", False)],
)
def test_what_no_transaction_committed_is_seen(tmp_path: Path, index: str, segments: str, expected: bool) -> None:
    (tmp_path / "data/0").mkdir(parents=True)
    (tmp_path / index).touch()
    for name in segments.split():
        (tmp_path / "data/0" / name).touch()
    assert sizes.is_unfinished(tmp_path) is expected


def test_sizes_are_measured(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/0").write_bytes(os.urandom(100_000))
    use = sizes.measure(tmp_path)
    assert use.files == 1
    assert 100_000 <= use.bytes_used <= 110_000
    assert use.freeable_bytes is None


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (None, e.RepositoryNotBorg), ("", e.RepositoryNotBorg), ("[repository]\n", e.RepositoryNotBorg),
        ("[repository]\nid = zz\n", e.RepositoryNotBorg), ("\xff\xfe", e.RepositoryNotBorg),
        ("[repository]\nid = %(x)s\n", e.RepositoryNotBorg),
    ],
)  # fmt: skip
def test_what_is_no_repository(tmp_path: Path, config: str | None, error: type[Exception]) -> None:
    if config is not None:
        (tmp_path / "config").write_bytes(config.encode("latin-1"))
    with pytest.raises(error):
        read_id(tmp_path)
    with pytest.raises(e.RepositoryMissing):
        read_id(tmp_path / "nothing")


def test_the_id_of_a_repository(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(f"[repository]\nversion = 1\nid = {'ab' * 32}\nkey = x\n\ty = z\n")
    assert read_id(tmp_path) == "ab" * 32


def test_versions() -> None:
    assert parse_version("borg 1.2.4\n") == Version(1, 2, 4)
    assert parse_version("borg 1.4.5").is_supported
    assert not parse_version("borg 1.1.16").is_supported
    assert not parse_version("borg 2.0.0b8").is_supported
    assert Version(1, 4, 0) > Version(1, 2, 9)
    with pytest.raises(e.BorgMissing, match="prod"):
        parse_version("bash: borg: command not found", host="prod")


AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_two_stores_out_of_step() -> None:
    """Cases 30, 33 and 34."""
    archives = [
        ArchiveFact("1", "known", AT), ArchiveFact("2", "new", AT), ArchiveFact("3", "back", AT),
        ArchiveFact("4", "other-name", AT), ArchiveFact("5", "j-5.checkpoint", AT),
    ]  # fmt: skip
    rows = [
        Row("a", "1", "known"), Row("b", "3", "back", is_missing=True), Row("c", "4", "old-name"),
        Row("d", "9", "deleted-by-hand"), Row("e", "8", "known-missing", is_missing=True),
    ]  # fmt: skip
    found = compare(archives, rows)
    assert [fact.name for fact in found.to_record] == ["new"]
    assert [row.key for row in found.gone] == ["d"]
    assert [row.key for row in found.returned] == ["b"]
    assert [(row.key, fact.name) for row, fact in found.renamed] == [("c", "other-name")]


_facts = st.lists(
    st.builds(ArchiveFact, st.sampled_from("abcdef"), st.text(max_size=3), st.just(AT)), unique_by=lambda f: f.id
)
_rows = st.lists(
    st.builds(Row, st.text(max_size=2), st.sampled_from("abcdef"), st.text(max_size=3), st.booleans()),
    unique_by=lambda row: row.archive_id,
)


@given(_facts, _rows)
def test_after_a_synchronisation_nothing_is_left_to_do(archives: list[ArchiveFact], rows: list[Row]) -> None:
    found = compare(archives, rows)
    renamed = {row.archive_id: fact.name for row, fact in found.renamed}
    gone = {row.archive_id for row in found.gone}
    returned = {row.archive_id for row in found.returned}
    after = [
        Row(
            row.key,
            row.archive_id,
            renamed.get(row.archive_id, row.name),
            row.archive_id in gone or (row.is_missing and row.archive_id not in returned),
        )
        for row in rows
    ] + [Row("n", fact.id, fact.name) for fact in found.to_record]
    assert compare(archives, after) == compare([], [])
