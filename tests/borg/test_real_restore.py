"""Restores with real borg: exactly what was picked (cases I 130–133, 139, 140)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backups import errors as e
from backups.borg import outcome
from backups.borg.explain import Where
from backups.borg.outcome import State, Verdict
from backups.borg.repository import BorgRepository
from tests.borg.support import Bench

pytestmark = pytest.mark.real

NAMES = [
    b"-rf", b"sh:z", b"re:x", b"z", b"x", b"*.txt", b"a.txt", b"pp:q", b"q", b"new\nline.txt",
    'héllo "q" \\ back.txt'.encode(), b"foo\xff\xfe", b"n" * 255, b" lead", b"trail ", b"{now}", b"[ab]", b"--list",
]  # fmt: skip


@pytest.fixture
def repository(bench: Bench) -> BorgRepository:
    return bench.repository(encryption="none", passphrase="")


def restore(
    repository: BorgRepository, paths: list[bytes] | None, target: Path, strip: int = 0, archive: str = "one"
) -> Verdict:
    ended, report = repository.extract(archive, paths, target, strip_components=strip)
    asked = None if paths is None else len(paths)
    return outcome.judge_extract(ended, report, asked=asked, where=Where(repository=repository.path))


def backup(bench: Bench, repository: BorgRepository) -> bytes:
    verdict, _ = bench.create(repository, "one", passphrase="")
    assert verdict.state is State.SUCCESS
    return os.fsencode(bench.source).lstrip(b"/")


def files(folder: Path) -> dict[bytes, bytes]:
    return {
        os.path.relpath(os.path.join(here, name), os.fsencode(folder)): Path(
            os.fsdecode(os.path.join(here, name))
        ).read_bytes()
        for here, _, names in os.walk(os.fsencode(folder))
        for name in names
    }


def test_each_name_alone_restores_exactly_itself(bench: Bench, repository: BorgRepository) -> None:
    """Cases 130 and 131."""
    for name in NAMES:
        Path(os.fsdecode(os.path.join(os.fsencode(bench.source), name))).write_bytes(b"content of " + name)
    root = backup(bench, repository)
    depth = root.count(b"/") + 1
    for number, name in enumerate(NAMES):
        target = bench.root / f"out{number}"
        verdict = restore(repository, [root + b"/" + name], target, strip=depth)
        assert verdict.state is State.SUCCESS, name
        assert files(target) == {name: b"content of " + name}


def test_a_path_longer_than_1024_bytes(bench: Bench, repository: BorgRepository) -> None:
    here = os.getcwd()
    os.chdir(bench.source)
    try:
        for _ in range(6):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        Path("deep").write_text("x")
    finally:
        os.chdir(here)
    root = backup(bench, repository)
    path = root + b"/" + b"/".join([b"d" * 200] * 6) + b"/deep"
    assert len(path) > 1024
    assert restore(repository, [path], bench.root / "out", strip=root.count(b"/") + 1).state is State.SUCCESS


def test_nothing_restored_is_a_failure(bench: Bench, repository: BorgRepository) -> None:
    """Case 132."""
    (bench.source / "a").write_text("x")
    root = backup(bench, repository)
    verdict = restore(repository, [b"not/there"], bench.root / "out")
    assert verdict.state is State.FAILED
    assert isinstance(verdict.error, e.NothingRestored)
    half = restore(repository, [b"not/there", root + b"/a"], bench.root / "out2")
    assert half.state is State.INCOMPLETE
    with pytest.raises(e.ArchiveMissing):
        restore(repository, None, bench.root / "out3", archive="never")


def test_where_the_files_land(bench: Bench, repository: BorgRepository) -> None:
    """Case 133: with the full path, or stripped to the chosen folder; a missing target is made."""
    (bench.source / "data").mkdir()
    (bench.source / "data/cache.db").write_text("x")
    (bench.source / "database").write_text("other")
    root = backup(bench, repository)
    restore(repository, [root + b"/data"], bench.root / "new/full")
    assert files(bench.root / "new/full") == {root + b"/data/cache.db": b"x"}
    restore(repository, [root + b"/data"], bench.root / "new/short", strip=root.count(b"/") + 1)
    assert files(bench.root / "new/short") == {b"data/cache.db": b"x"}


def test_hard_links_holes_and_symlinks(bench: Bench, repository: BorgRepository) -> None:
    """Cases 139 and 140."""
    (bench.source / "one").write_text("linked")
    os.link(bench.source / "one", bench.source / "two")
    with (bench.source / "sparse").open("wb") as file:
        file.truncate(100_000_000)
    targets = {"rel": "one", "abs": "/etc/hostname", "broken": "/no/such"}
    for name, target in targets.items():
        (bench.source / name).symlink_to(target)
    root = backup(bench, repository)
    depth = root.count(b"/") + 1
    restore(repository, [root + b"/two"], bench.root / "two", strip=depth)
    assert files(bench.root / "two") == {b"two": b"linked"}
    everything = bench.root / "all"
    assert restore(repository, None, everything, strip=depth).state is State.SUCCESS
    sparse = (everything / "sparse").stat()
    assert sparse.st_size == 100_000_000
    assert sparse.st_blocks * 512 < 1_000_000
    assert {name: os.readlink(everything / name) for name in targets} == targets


def test_numeric_owners(bench: Bench, repository: BorgRepository) -> None:
    (bench.source / "mine").write_text("x")
    os.chown(bench.source / "mine", 4242, 4343)
    root = backup(bench, repository)
    restore(repository, [root + b"/mine"], bench.root / "out", strip=root.count(b"/") + 1)
    found = (bench.root / "out/mine").stat()
    assert (found.st_uid, found.st_gid) == (4242, 4343)


def test_a_full_target(bench: Bench, repository: BorgRepository) -> None:
    (bench.source / "big").write_bytes(os.urandom(5_000_000))
    backup(bench, repository)
    small = bench.root / "small"
    small.mkdir()
    assert os.system(f"mount -t tmpfs -o size=1m tmpfs {small}") == 0
    try:
        verdict = restore(repository, None, small)
    finally:
        os.system(f"umount {small}")
    assert verdict.state is State.FAILED
    assert isinstance(verdict.error, e.TargetFull)
