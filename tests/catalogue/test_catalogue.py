"""A catalogue filled with archives, asked, and compared with what the archives really hold."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from backups.catalogue import entries, filling, reading, schema, searching
from backups.catalogue.entries import Entry

NO_TEXT = b"caf\xe9\xff\n-"
SECOND = 1_000_000


def file(path: bytes, size: int = 1, mtime: int = 1) -> Entry:
    return Entry(path, "-", size, mtime, "-rw-r--r--", "root:root", "")


def directory(path: bytes, mtime: int = 1) -> Entry:
    return Entry(path, "d", 0, mtime, "drwxr-xr-x", "root:root", "")


@dataclass
class Catalogue:
    """One lane, and what went into it."""

    path: Path
    archives: list[list[Entry]] = field(default_factory=list)

    def add(self, *listed: Entry, lane: int = 1) -> filling.Filled:
        ordinal = self.begin(lane)
        self.archives.append(list(listed))
        with schema.writer(self.path) as db:
            one = filling.Filling(db, lane, ordinal)
            one.add(listed)
            done = one.finish()
            searching.add_words(db)
        return done

    def begin(self, lane: int = 1) -> int:
        with schema.writer(self.path) as db:
            db.execute("INSERT OR IGNORE INTO lane VALUES (?, 'job')", (lane,))
            (last,) = db.execute("SELECT coalesce(max(ordinal), 0) FROM archive WHERE lane = ?", (lane,)).fetchone()
            values = (f"{lane}-{last + 1}", lane, last + 1, f"job-{last + 1}", (last + 1) * SECOND)
            db.execute("INSERT INTO archive (borg_id, lane, ordinal, name, at) VALUES (?, ?, ?, ?, ?)", values)
        return int(last) + 1


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "var/one.sqlite3")


@pytest.fixture
def db(catalogue: Catalogue) -> Iterator[sqlite3.Connection]:
    with schema.writer(catalogue.path):
        pass
    with schema.reader(catalogue.path) as connection:
        assert connection
        yield connection


def held(db: sqlite3.Connection, number: int, lane: int = 1) -> reading.Held:
    found = reading.held(db, f"{lane}-{number}")
    assert found
    return found


def names(db: sqlite3.Connection, number: int, path: bytes) -> list[bytes] | None:
    page = reading.folder(db, held(db, number), path)
    return None if page is None else [item.name for item in page.items]


def test_a_folder_is_as_it_was_in_each_archive(catalogue: Catalogue, db: sqlite3.Connection) -> None:
    catalogue.add(directory(b"etc"), file(b"etc/" + NO_TEXT), file(b"etc/gone"), directory(b"etc/z"))
    catalogue.add(directory(b"etc"), file(b"etc/" + NO_TEXT), file(b"etc/new", 7), directory(b"etc/z"))
    assert names(db, 1, b"") == [b"etc"]
    assert names(db, 1, b"etc") == [b"z", NO_TEXT, b"gone"]  # folders first, then by bytes
    assert names(db, 2, b"etc") == [b"z", NO_TEXT, b"new"]
    assert names(db, 2, b"nowhere") is None
    page = reading.folder(db, held(db, 2), b"etc")
    assert page
    assert (page.total, page.has_more, page.items[2].size) == (3, False, 7)


def test_what_is_the_same_costs_no_row(catalogue: Catalogue, db: sqlite3.Connection) -> None:
    listed = [directory(b"d"), *(file(b"d/%d" % number) for number in range(50))]
    assert catalogue.add(*listed) == filling.Filled(51, 50, 51, 0)
    assert catalogue.add(*listed) == filling.Filled(51, 50, 0, 0)
    assert catalogue.add(*listed[:-1], file(b"d/49", 2)) == filling.Filled(51, 51, 1, 1)


def test_a_folder_that_becomes_a_file_and_comes_back(catalogue: Catalogue, db: sqlite3.Connection) -> None:
    catalogue.add(directory(b"x"), file(b"x/in"))
    catalogue.add(file(b"x", 3))
    catalogue.add(directory(b"x"), file(b"x/in"))
    assert [names(db, number, b"x") for number in (1, 2, 3)] == [[b"in"], None, [b"in"]]
    forms = reading.versions(db, b"x")
    assert [(one.kind, [archive.ordinal for archive in one.archives]) for one in forms] == [
        ("d", [3]),
        ("-", [2]),
        ("d", [1]),
    ]


def test_folders_that_borg_does_not_list_are_there_all_the_same(catalogue: Catalogue, db: sqlite3.Connection) -> None:
    catalogue.add(file(b"var/lib/app/data"))
    assert catalogue.add(file(b"var/lib/app/data")).new_rows == 0
    assert names(db, 2, b"var/lib") == [b"app"]


def test_what_is_listed_twice_counts_once_as_it_was_the_last_time(catalogue: Catalogue, db: sqlite3.Connection) -> None:
    done = catalogue.add(directory(b"d"), file(b"d/a", 1), file(b"d/a", 5))
    assert done.entries == 2
    page = reading.folder(db, held(db, 1), b"d")
    assert page
    assert ([item.size for item in page.items], page.total) == ([5], 1)


def test_broken_off_it_is_not_whole_and_goes_on_when_it_is_done_again(
    catalogue: Catalogue, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "_BATCH", 5)
    listed = [directory(b"d"), *(file(b"d/%02d" % number) for number in range(40))]
    catalogue.add(*listed)
    changed = [directory(b"d"), *(file(b"d/%02d" % number, 9) for number in range(20))]
    ordinal = catalogue.begin()
    with schema.writer(catalogue.path) as connection:
        filling.Filling(connection, 1, ordinal).add(changed[:15])
    assert reading.held(db, "1-2") is None
    page = reading.folder(db, held(db, 1), b"d")
    assert page
    assert {item.size for item in page.items} == {1}, "what is said of the one before changed"
    with schema.writer(catalogue.path) as connection:
        again = filling.Filling(connection, 1, ordinal)
        again.add(changed)
        assert again.finish().entries == 21
    assert names(db, 2, b"d") == [b"%02d" % number for number in range(20)]
    assert len(names(db, 1, b"d") or []) == 40


def test_pages_of_a_large_folder(catalogue: Catalogue, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Larger than what is kept at hand of one folder: then entries are asked for one by one."""
    monkeypatch.setattr(filling, "_ENTRIES_OF_ONE", 100)
    listed = [directory(b"d"), directory(b"d/sub"), *(file(b"d/%04d" % number) for number in range(950))]
    catalogue.add(*listed)
    assert catalogue.add(*listed) == filling.Filled(952, 950, 0, 0)
    assert catalogue.add(*listed[:-1]).ended_rows == 1
    seen: list[bytes] = []
    after = None
    while True:
        page = reading.folder(db, held(db, 2), b"d", after, 100)
        assert page
        assert page.total == 951
        seen += [item.name for item in page.items]
        if not page.has_more:
            break
        after = page.items[-1].cursor
    assert seen == [b"sub", *(b"%04d" % number for number in range(950))]


def test_difference_of_two_archives(catalogue: Catalogue, db: sqlite3.Connection) -> None:
    catalogue.add(file(b"same"), file(b"gone"), file(b"changed", 1))
    catalogue.add(file(b"same"), file(b"changed", 2), file(b"between"))
    catalogue.add(file(b"same"), file(b"changed", 3), file(b"new"))
    catalogue.add(file(b"same"), file(b"changed", 3), file(b"new"), lane=2)

    def told(old: reading.Held, new: reading.Held) -> dict[bytes, tuple[int | None, int | None]]:
        rows = reading.difference(db, old, new)
        return {row.path: (row.before and row.before.size, row.after and row.after.size) for row in rows}

    assert told(held(db, 1), held(db, 3)) == {b"gone": (1, None), b"changed": (1, 3), b"new": (None, 1)}
    assert told(held(db, 3), held(db, 1)) == {b"gone": (None, 1), b"changed": (3, 1), b"new": (1, None)}
    assert told(held(db, 1), held(db, 1)) == {}
    assert told(held(db, 1), held(db, 1, lane=2)) == told(held(db, 1), held(db, 3))


def test_search(catalogue: Catalogue, db: sqlite3.Connection) -> None:
    large = 1 << 30
    catalogue.add(
        directory(b"d"), file(b"d/Report-2026.txt", 10, 5 * SECOND), file(b"d/" + NO_TEXT), file(b"d/big", large)
    )
    catalogue.add(directory(b"d"), file(b"d/Report-2026.txt", 20, 9 * SECOND), file(b"d/big", large))

    def found(text: str = "", **limits: object) -> list[tuple[bytes, int, int]]:
        query = searching.Query(text, **limits)  # type: ignore[arg-type]
        return [(hit.path, hit.size, hit.archives) for hit in searching.search(db, query).hits]

    both = [(b"d/Report-2026.txt", 20, 1), (b"d/Report-2026.txt", 10, 1)]
    assert found("port-2") == both
    assert found("REPORT*.txt") == both
    assert found("port-?026.tx") == []
    assert found("report", least_bytes=15) == both[:1]
    assert found("report", until=datetime.fromtimestamp(7, UTC)) == both[1:]
    assert found("caf") == [(b"d/" + NO_TEXT, 1, 1)]
    assert found(least_bytes=large) == [(b"d/big", large, 2)]
    assert found('r"e') == []
    for text in ("ab", "*", "a?b", ""):
        with pytest.raises(searching.TooShort):
            found(text)


def test_a_search_says_that_there_is_more(catalogue: Catalogue, db: sqlite3.Connection) -> None:
    catalogue.add(*(file(b"name-%d" % number) for number in range(30)))
    found = searching.search(db, searching.Query("name"), count=10)
    assert (len(found.hits), found.has_more, found.is_cut) == (10, True, False)
    cut = searching.search(db, searching.Query("name"), seconds=-1)
    assert cut.is_cut or len(cut.hits) == 30  # few rows may be found before anybody looks at the time


def test_another_layout_is_thrown_away(catalogue: Catalogue) -> None:
    catalogue.add(file(b"x"))
    with sqlite3.connect(catalogue.path) as connection:
        connection.execute("PRAGMA user_version = 999")
    with schema.reader(catalogue.path) as db:
        assert db is None
    with schema.writer(catalogue.path) as db:
        assert db.execute("SELECT count(*) FROM archive").fetchone() == (0,)


def test_what_is_no_catalogue_is_told(tmp_path: Path) -> None:
    path = tmp_path / "one.sqlite3"
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(schema.CatalogueBroken), schema.reader(path):
        pass
    schema.remove(path)
    with schema.writer(path) as db:
        assert db.execute("SELECT count(*) FROM file").fetchone() == (0,)


NAMES = some.sampled_from([b"a", b"b", b"c", NO_TEXT, b"d e", b"-"])
FOLDERS = some.lists(NAMES, max_size=3).map(b"/".join)
FORMS = some.tuples(some.integers(0, 2), some.integers(0, 2))
ARCHIVES = some.lists(some.dictionaries(some.tuples(FOLDERS, NAMES), FORMS, max_size=12), min_size=1, max_size=6)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(ARCHIVES, some.integers(1, 7))
def test_every_archive_reads_as_it_was_listed(
    tmp_path_factory: pytest.TempPathFactory, archives: list[dict[tuple[bytes, bytes], tuple[int, int]]], batch: int
) -> None:
    catalogue = Catalogue(tmp_path_factory.mktemp("catalogue") / "one.sqlite3")
    before, filling._BATCH = filling._BATCH, batch
    try:
        wanted = []
        for archive in archives:
            tree = {b"/".join(filter(None, key)): form for key, form in archive.items()}
            # A name is no folder and file at once, in one archive.
            tree = {path: form for path, form in tree.items() if not any(o.startswith(path + b"/") for o in tree)}
            listed = [file(path, *form) for path, form in tree.items()]
            random.Random(batch).shuffle(listed)
            catalogue.add(*listed)
            wanted.append(tree)
    finally:
        filling._BATCH = before
    with schema.reader(catalogue.path) as db:
        assert db
        for number, tree in enumerate(wanted, 1):
            assert dict(walked(db, held(db, number), b"")) == tree


def walked(db: sqlite3.Connection, archive: reading.Held, path: bytes) -> Iterator[tuple[bytes, tuple[int, int]]]:
    page = reading.folder(db, archive, path, count=1000)
    assert page
    assert page.total == len(page.items)
    for item in page.items:
        below = path + b"/" + item.name if path else item.name
        if item.kind == "d":
            yield from walked(db, archive, below)
        else:
            yield below, (item.size, item.mtime)


def test_a_listing_is_read_byte_for_byte() -> None:
    name = NO_TEXT.decode("utf-8", "surrogateescape") + "+é"
    fields = ["-", "-rw-r--r--", "0", "5", "root", "", "12", "2026-11-27T21:36:43.421938", "", name]
    record = ("\0".join(fields) + "\0\n").encode("utf-7")
    (entry,) = entries.parsed(bytes([byte]) for byte in record)
    assert entry.path == NO_TEXT + "+é".encode()
    assert entry.mtime == 1795815403421938
    assert (entry.size, entry.owner) == (12, "root:5")
    with pytest.raises(ValueError, match="breaks off"):
        list(entries.parsed([record[:-3]]))
