"""The copy-on-write store without a mount: what is copied, what the record keeps, and what a crash leaves."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from recovery.cow import content
from recovery.cow.content import BLOCK, Content
from recovery.cow.node import ROOT, Node
from recovery.cow.record import FormatError
from recovery.cow.stats import Counters
from recovery.cow.store import Store
from tests.support.cow import facts

ME = (os.getuid(), os.getgid())


class Place:
    """A lower tree with one file of four and a half blocks, and stores over it, one at a time."""

    def __init__(self, root: Path) -> None:
        self.lower, self.upper = root / "lower", root / "upper"
        self.lower.mkdir()
        self.bytes = os.urandom(4 * BLOCK + 1000)
        (self.lower / "file").write_bytes(self.bytes)
        for name in ("one/deep", "two/deep"):
            (self.lower / name).mkdir(parents=True)
        self.counters = Counters()
        self.store = self.open()

    def open(self, owner: tuple[int, int] | None = None) -> Store:
        self.store = Store(os.fsencode(self.lower), os.fsencode(self.upper), owner=owner)
        return self.store

    def reopen(self) -> Store:
        self.store.close()
        return self.open()

    def crash(self, *, machine: bool = False) -> Store:
        """What stood on the disk at this moment is all that is left; `machine`: it was started anew as well."""
        copy = self.upper.with_name(self.upper.name + "-after")
        shutil.copytree(self.upper, copy)
        self.store.close()
        self.upper = copy
        if machine:
            for path in (copy / "data").glob("*.map"):
                raw = path.read_bytes()
                path.write_bytes(raw[:10] + b"another boot".ljust(54, b"\0") + raw[64:])
        return self.open()

    def node(self, name: bytes = b"file") -> Node:
        node = self.store.nodes[ROOT]
        for part in name.split(b"/"):
            node = self.store.lookup(node, part)
        return node

    def use(self, name: bytes = b"file") -> Content:
        return self.store.files.acquire(self.node(name))

    def write(self, data: bytes, offset: int, name: bytes = b"file") -> None:
        self.use(name)
        self.store.files.write(self.node(name), memoryview(data), offset, self.counters)
        self.store.release(self.node(name))

    def resize(self, size: int, name: bytes = b"file") -> None:
        self.use(name)
        self.store.files.resize(self.node(name), size)
        self.store.release(self.node(name))

    def read(self, name: bytes = b"file") -> bytes:
        found = self.use(name)
        view = memoryview(bytearray(b"\xff" * (found.size + 10)))
        done = found.read_into(view, 0, self.counters)
        self.store.release(self.node(name))
        return bytes(view[:done])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    before = facts(made.lower)
    yield made
    made.store.close()
    assert facts(made.lower) == before


def test_reading_copies_nothing_and_records_nothing(place: Place) -> None:
    assert place.read() == place.bytes
    assert os.listdir(place.upper / "data") == []
    assert place.store.record.nodes() == []


def test_a_small_write_copies_one_block(place: Place) -> None:
    place.write(b"new", BLOCK + 10)
    expected = bytearray(place.bytes)
    expected[BLOCK + 10 : BLOCK + 13] = b"new"
    assert place.read() == expected
    assert place.counters.blocks_copied == 1
    data = place.store.files.data(place.node().ino)
    assert os.stat(data).st_blocks * 512 <= BLOCK
    place.reopen()
    assert place.read() == expected


def test_a_block_that_is_wholly_overwritten_is_not_read_below(place: Place) -> None:
    place.write(b"n" * BLOCK, BLOCK)
    assert place.counters.lower_bytes == 0
    assert place.read() == place.bytes[:BLOCK] + b"n" * BLOCK + place.bytes[2 * BLOCK :]


def test_a_write_across_blocks_copies_the_rest_of_both(place: Place) -> None:
    place.write(b"new" * 30_000, BLOCK - 100)
    expected = bytearray(place.bytes)
    expected[BLOCK - 100 : BLOCK + 89_900] = b"new" * 30_000
    assert (place.counters.blocks_copied, place.counters.lower_bytes) == (3, 2 * BLOCK)
    assert place.read() == expected


@pytest.mark.parametrize(
    ("start", "length"), [(BLOCK - 100, 2 * BLOCK), (10, 20), (BLOCK, BLOCK), (3 * BLOCK + 1, 9 * BLOCK)]
)
def test_a_punched_hole_is_zeros_and_nothing_beside_it_changes(place: Place, start: int, length: int) -> None:
    place.use()
    place.store.files.allocate(place.node(), content.PUNCH_HOLE | content.KEEP_SIZE, start, length, place.counters)
    expected = place.bytes[:start] + bytes(min(length, len(place.bytes) - start)) + place.bytes[start + length :]
    assert place.read() == expected
    place.crash()
    assert place.read() == expected


@pytest.mark.parametrize("cut", [0, 1, BLOCK - 1, BLOCK, BLOCK + 7, 3 * BLOCK, 4 * BLOCK + 999])
@pytest.mark.parametrize("touched", [True, False])
def test_what_was_cut_off_reads_as_zeros_for_ever(place: Place, cut: int, touched: bool) -> None:
    expected = bytearray(place.bytes)
    if touched:
        place.write(b"x", 3)
        expected[3:4] = b"x"
    place.resize(cut)
    place.resize(5 * BLOCK)
    expected = expected[:cut] + bytes(5 * BLOCK - cut)
    assert place.read() == expected
    place.write(b"y", 4 * BLOCK + 5)
    expected[4 * BLOCK + 5 : 4 * BLOCK + 6] = b"y"
    assert place.read() == expected
    place.reopen()
    assert place.read() == expected


def test_a_cut_that_a_crash_interrupted_is_finished(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write(b"x", 0)

    def crash(self: Content, size: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Content, "resize", crash)
    found = place.use()
    with pytest.raises(KeyboardInterrupt):
        place.store.files.resize(place.node(), 100)
    monkeypatch.undo()
    assert found.size == len(place.bytes)
    place.crash()
    assert place.read() == b"x" + place.bytes[1:100]
    place.resize(BLOCK)
    assert place.read() == b"x" + place.bytes[1:100] + bytes(BLOCK - 100)


def test_a_block_that_was_not_marked_is_still_the_lower_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The crash came between the bytes and the mark: the block is the old one, whole, and can be written again."""
    place.write(b"first", 0)

    def crash(self: Content, first: int, after: int, counters: Counters) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Content, "_mark", crash)
    with pytest.raises(KeyboardInterrupt):
        place.write(b"lost" * 5000, BLOCK + 100)
    monkeypatch.undo()
    place.crash()
    assert place.read() == b"first" + place.bytes[5:]
    place.write(b"kept", BLOCK + 90)
    assert place.read() == b"first" + place.bytes[5 : BLOCK + 90] + b"kept" + place.bytes[BLOCK + 94 :]


def test_after_a_new_start_of_the_machine_only_what_was_flushed_counts(place: Place) -> None:
    place.use()
    place.write(b"flushed", 0)
    place.store.files.sync(place.node())
    place.write(b"lost", 2 * BLOCK)
    place.crash(machine=True)
    assert place.read() == b"flushed" + place.bytes[7:]


def test_after_a_crash_of_the_process_everything_counts(place: Place) -> None:
    place.use()
    place.write(b"flushed", 0)
    place.store.files.sync(place.node())
    place.write(b"kept", 2 * BLOCK)
    place.crash()
    assert place.read() == b"flushed" + place.bytes[7 : 2 * BLOCK] + b"kept" + place.bytes[2 * BLOCK + 4 :]


def test_fsync_flushes_the_data_before_its_mark(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write(b"x", 0)
    found = place.use()
    place.store.files.write(place.node(), memoryview(b"y"), BLOCK, place.counters)
    order: list[str] = []
    flush, write = os.fdatasync, content.write_all

    def flushed(fd: int) -> None:
        order.append(os.readlink(f"/proc/self/fd/{fd}").rpartition(".")[2][-3:])
        flush(fd)

    def written(fd: int, data: bytes, offset: int) -> None:
        order.append("mark")
        write(fd, data, offset)

    monkeypatch.setattr(os, "fdatasync", flushed)
    monkeypatch.setattr(content, "write_all", written)
    found.sync()
    assert (order[1:], order[0] != "map", found.soft) == (["mark", "map"], True, set())


def test_filling_copies_the_rest_and_goes_on_after_a_crash(place: Place) -> None:
    place.write(b"mine", 2 * BLOCK)
    assert place.store.missing(place.node()) == 4
    assert place.store.fill(place.node(), 2) == 2
    place.crash(machine=True)
    assert place.store.missing(place.node()) == 2
    assert [place.store.fill(node, 100) for node in place.store.walk()] == [0]
    expected = place.bytes[: 2 * BLOCK] + b"mine" + place.bytes[2 * BLOCK + 4 :]
    assert Path(os.fsdecode(place.store.files.data(place.node().ino))).read_bytes() == expected
    assert place.read() == expected


def test_a_lower_file_that_became_shorter_gives_an_error_and_no_zeros(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.use()
    os.truncate(place.lower / "file", BLOCK)
    with pytest.raises(OSError) as caught:
        place.read()
    assert caught.value.errno == errno.EIO
    with pytest.raises(OSError) as caught:
        place.write(b"x", 3 * BLOCK)
    assert caught.value.errno == errno.EIO
    place.store.close()


def test_a_link_that_appears_below_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/file").write_bytes(b"s" * 10)
    place = Place(tmp_path)
    (place.lower / "folder").mkdir()
    (place.lower / "folder/file").write_bytes(b"f" * 10)
    place.use(b"folder/file")
    shutil.rmtree(place.lower / "folder")
    os.symlink(tmp_path / "secret", place.lower / "folder")
    place.store.lower._folders.clear()
    with pytest.raises(NotADirectoryError):
        place.read(b"folder/file")
    place.store.close()


def test_a_removed_folder_that_is_made_again_is_empty(place: Place) -> None:
    root = place.store.nodes[ROOT]
    with pytest.raises(OSError) as caught:
        place.store.rmdir(root, b"one")
    assert caught.value.errno == errno.ENOTEMPTY
    place.store.rmdir(place.node(b"one"), b"deep")
    place.store.rmdir(root, b"one")
    place.store.make(root, b"one", stat.S_IFDIR | 0o755, ME)
    place.store.rename(root, b"two", root, b"one")
    place.store.make(root, b"two", stat.S_IFDIR | 0o755, ME)
    for store in (place.store, place.reopen()):
        assert [name for name, _, _ in store.listing(place.node(b"one"))] == [b"deep"]
        assert store.listing(place.node(b"two")) == []


def test_two_names_below_stay_one_file(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    place = Place(tmp_path / "more")
    place.store.close()
    os.link(place.lower / "file", place.lower / "two/name")
    place.open()
    place.write(b"one", 0, b"two/name")
    root = place.store.nodes[ROOT]
    for _ in range(2):
        assert place.read() == b"one" + place.bytes[3:]
        assert place.node().nlink == 2
        root = place.reopen().nodes[ROOT]
    place.store.unlink(root, b"file")
    place.reopen()
    assert (place.read(b"two/name"), place.node(b"two/name").nlink) == (b"one" + place.bytes[3:], 1)
    place.store.close()
    assert (place.lower / "file").read_bytes() == place.bytes


def test_what_is_open_without_a_name_is_not_recorded_and_ends_with_its_use(place: Place) -> None:
    place.use()
    node = place.node()
    place.store.unlink(place.store.nodes[ROOT], b"file")
    place.store.files.write(node, memoryview(b"x"), 5, place.counters)
    assert [row["ino"] for row in place.store.record.nodes()] == [ROOT]
    assert len(os.listdir(place.upper / "data")) == 2
    place.store.release(node)
    place.store.files.settle(place.store.nodes)
    assert os.listdir(place.upper / "data") == []
    place.reopen()
    with pytest.raises(FileNotFoundError):
        place.node()


def test_numbers_of_untouched_entries_are_the_same_after_every_start(place: Place) -> None:
    first = place.node().ino
    place.write(b"x", 0)
    place.reopen()
    assert place.node().ino == first


def test_everything_below_can_be_shown_as_one_owners(place: Place) -> None:
    place.store.close()
    place.open(owner=(4242, 4343))
    assert (place.node().uid, place.node().gid) == (4242, 4343)


def test_an_upper_of_another_format_is_refused(place: Place) -> None:
    place.store.close()
    with sqlite3.connect(place.upper / "record.db") as base:
        base.execute("UPDATE meta SET value = '99' WHERE key = 'version'")
    base.close()
    with pytest.raises(FormatError, match="99"):
        place.open()
    with sqlite3.connect(place.upper / "record.db") as base:
        base.execute("UPDATE meta SET value = '1' WHERE key = 'version'")
    base.close()
    place.open()


def test_only_one_process_uses_an_upper(place: Place) -> None:
    with pytest.raises(BlockingIOError):
        Store(os.fsencode(place.lower), os.fsencode(place.upper))


def test_devices_are_refused(place: Place) -> None:
    with pytest.raises(PermissionError):
        place.store.make(place.store.nodes[ROOT], b"null", stat.S_IFCHR | 0o666, ME)
