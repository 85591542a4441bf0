"""Views and mounts with real borg and real FUSE: no lock held, nothing broken by a deletion."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backups import errors as e
from backups.borg import view
from backups.borg.locks import started_at
from backups.borg.outcome import State
from backups.borg.repository import BorgRepository
from phpborg.mounts import is_mounted, remove_tree
from tests.borg.support import PASSPHRASE, Bench
from tests.support.archives import in_repository

pytestmark = pytest.mark.real


@pytest.fixture
def mountpoint(bench: Bench) -> Iterator[Path]:
    place = bench.root / "mnt x"
    yield place
    view.unmount(place, lazy=True)


def mount(bench: Bench, archive: str, place: Path, *, at: Path | None = None, **more: object) -> int:
    return view.mount_view(
        at or bench.root / "view",
        archive,
        place,
        encryption=str(more.pop("encryption", "repokey-blake2")),
        passphrase=str(more.pop("passphrase", PASSPHRASE)),
        base_dir=bench.root / "view-base",
        binary=bench.binary,
        **more,  # type: ignore[arg-type]
    )


def prepared(bench: Bench) -> tuple[BorgRepository, bytes]:
    repository = bench.repository()
    content = os.urandom(3_000_000)
    (bench.source / "file").write_bytes(content)
    (bench.source / os.fsdecode(b"caf\xe9\n")).write_bytes(b"bytes")
    assert bench.create(repository, "one::x")[0].state is State.SUCCESS
    return repository, content


def test_what_a_view_alone_holds_is_counted(bench: Bench) -> None:
    repository, content = prepared(bench)
    views = [bench.root / "view", bench.root / "second"]
    for place in views:
        view.make_view(Path(repository.path), place)
    assert view.held_bytes(views) == 0
    repository.delete(["one::x"])
    repository.compact(0)
    assert view.held_bytes(views) >= len(content)
    assert view.held_bytes(views[:1]) == 0  # the other one keeps it too
    assert view.held_bytes(views, seconds=0) is None  # a page does not wait for a slow disk
    remove_tree(views[1])
    assert view.held_bytes(views) >= len(content)
    remove_tree(views[0])
    assert view.held_bytes(views) == 0


def test_a_mount_survives_delete_compact_and_a_new_backup(bench: Bench, mountpoint: Path) -> None:
    repository, content = prepared(bench)
    view.make_view(Path(repository.path), bench.root / "view")
    view.make_view(Path(repository.path), bench.root / "view")
    pid = mount(bench, "one::x", mountpoint)
    assert mount(bench, "one::x", mountpoint) == pid
    assert view.is_alive(mountpoint)
    assert not repository.lock_state().holders
    inside = mountpoint / str(bench.source)[1:]
    assert (inside / os.fsdecode(b"caf\xe9\n")).read_bytes() == b"bytes"
    (bench.source / "file").write_bytes(os.urandom(3_000_000))
    assert bench.create(repository, "two")[0].state is State.SUCCESS
    repository.delete(["one::x"])
    assert repository.compact(0).freed_bytes > 2_000_000
    assert (inside / "file").read_bytes() == content
    assert repository.check("data").ok
    with pytest.raises(OSError, match="mounted"):
        remove_tree(bench.root)
    view.unmount(mountpoint)
    assert started_at(pid) is None
    view.remove_view(bench.root / "view")
    view.unmount(mountpoint)
    view.remove_view(bench.root / "view")
    assert [fact.name for fact in repository.list_archives()] == ["two"]


def test_reading_a_view_never_changes_the_original(bench: Bench, mountpoint: Path) -> None:
    repository, _ = prepared(bench)

    def state() -> dict[str, tuple[int, int, bytes]]:
        root = Path(repository.path)
        return {
            str(path.relative_to(root)): (path.stat().st_ino, path.stat().st_size, path.read_bytes())
            for path in root.rglob("*")
            if path.is_file()
        }

    before = state()
    view.make_view(Path(repository.path), bench.root / "view")
    mount(bench, "one::x", mountpoint)
    view.unmount(mountpoint)
    inside = BorgRepository(
        str(bench.root / "view"),
        encryption="repokey-blake2",
        passphrase=PASSPHRASE,
        base_dir=bench.root / "other-base",
        binary=bench.binary,
    )
    inside.delete(["one::x"])
    inside.compact(0)
    assert state() == before
    assert repository.check("data").ok


def test_a_view_taken_in_the_middle_of_backups_is_whole(bench: Bench) -> None:
    repository, _ = prepared(bench)
    stop = threading.Event()

    def churn() -> None:
        number = 0
        while not stop.is_set():
            (bench.source / "churn").write_bytes(os.urandom(2_000_000))
            bench.create(repository, f"churn{number}", prove=False)
            repository.delete([f"churn{number}"])
            repository.compact(0)
            number += 1

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for number in range(4):
            place = bench.root / f"view{number}"
            view.make_view(Path(repository.path), place)
            taken = BorgRepository(
                str(place),
                encryption="repokey-blake2",
                passphrase=PASSPHRASE,
                base_dir=bench.root / f"b{number}",
                binary=bench.binary,
            )
            assert in_repository(taken, "one::x") is not None
            assert taken.check("data").ok
            time.sleep(0.3)
    finally:
        stop.set()
        thread.join()


def test_a_dead_mount_is_replaced_and_removed(bench: Bench, mountpoint: Path) -> None:
    repository, content = prepared(bench)
    view.make_view(Path(repository.path), bench.root / "view")
    pid = mount(bench, "one::x", mountpoint)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while view.is_alive(mountpoint) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert is_mounted(mountpoint)
    assert not view.is_alive(mountpoint)
    again = mount(bench, "one::x", mountpoint)
    assert again != pid
    assert (mountpoint / str(bench.source)[1:] / "file").read_bytes() == content
    os.kill(again, signal.SIGKILL)
    view.unmount(mountpoint)
    assert not is_mounted(mountpoint)


def test_a_hanging_mount_does_not_hang_us(bench: Bench, mountpoint: Path) -> None:
    repository, _ = prepared(bench)
    view.make_view(Path(repository.path), bench.root / "view")
    pid = mount(bench, "one::x", mountpoint)
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    assert not view.is_alive(mountpoint, seconds=2)
    view.unmount(mountpoint, lazy=True, wait_seconds=1)
    assert time.monotonic() - began < 30
    assert not is_mounted(mountpoint)
    assert started_at(pid) is None


def test_a_busy_mount_is_told_or_detached(bench: Bench, mountpoint: Path) -> None:
    repository, _ = prepared(bench)
    view.make_view(Path(repository.path), bench.root / "view")
    mount(bench, "one::x", mountpoint)
    with (mountpoint / str(bench.source)[1:] / "file").open("rb"):
        with pytest.raises(e.UnmountFailed, match="mnt x"):
            view.unmount(mountpoint)
        with pytest.raises(OSError, match="mounted"):
            remove_tree(mountpoint)
        view.unmount(mountpoint, lazy=True, wait_seconds=1)
    assert not is_mounted(mountpoint)


@pytest.mark.parametrize(
    ("archive", "passphrase", "error"),
    [("nope", PASSPHRASE, e.ArchiveMissing), ("one::x", "wrong", e.PassphraseWrong)],
)
def test_a_mount_that_fails_leaves_nothing(
    bench: Bench, mountpoint: Path, archive: str, passphrase: str, error: type[Exception]
) -> None:
    repository, _ = prepared(bench)
    view.make_view(Path(repository.path), bench.root / "view")
    with pytest.raises(error):
        mount(bench, archive, mountpoint, passphrase=passphrase)
    assert not is_mounted(mountpoint)
    assert view.mount_pid(mountpoint) is None
    (mountpoint / "in the way").touch()
    with pytest.raises(e.MountFailed):
        mount(bench, "one::x", mountpoint)


def test_options_let_others_read(bench: Bench, mountpoint: Path) -> None:
    repository, _ = prepared(bench)
    (bench.source / "file").chmod(0o600)
    bench.create(repository, "two")
    view.make_view(Path(repository.path), bench.root / "view")
    mount(bench, "two", mountpoint, options=("allow_other", "ignore_permissions", "uid=33", "gid=33"))
    found = (mountpoint / str(bench.source)[1:] / "file").stat()
    assert (found.st_uid, found.st_gid) == (33, 33)


def test_no_links_no_view(bench: Bench) -> None:
    repository, _ = prepared(bench)
    small = bench.root / "elsewhere"
    small.mkdir()
    assert os.system(f"mount -t tmpfs -o size=50m tmpfs {small}") == 0
    try:
        with pytest.raises(e.ViewImpossible, match=r"[Cc]ross-device"):
            view.make_view(Path(repository.path), small / "view")
        assert list(small.iterdir()) == []
    finally:
        os.system(f"umount {small}")
    with pytest.raises(e.RepositoryMissing):
        view.make_view(bench.root / "none", bench.root / "view")
