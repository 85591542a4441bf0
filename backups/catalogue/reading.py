"""Questions to the catalogue: what a folder holds in an archive, the forms of a file, what differs between archives."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from backups.catalogue.filling import FOLDER, OTHER
from backups.catalogue.schema import ROOT


@dataclass(frozen=True)
class Held:
    """An archive that is whole here."""

    borg_id: str
    lane: int
    ordinal: int
    name: str
    at: int
    entries: int
    bytes: int


@dataclass(frozen=True)
class Item:
    """One entry of a folder in one archive; `mtime` in microseconds since the epoch."""

    file: int
    rank: int
    name: bytes
    kind: str
    size: int
    mtime: int
    mode: str
    owner: str
    target: str

    @property
    def cursor(self) -> tuple[int, bytes]:
        """Where the next page begins."""
        return self.rank, self.name


@dataclass(frozen=True)
class Page:
    """A part of a folder, folders first, then by name as bytes."""

    items: tuple[Item, ...]
    has_more: bool
    total: int | None


@dataclass(frozen=True)
class Version:
    """One form of a file: the archives that hold it, oldest first."""

    kind: str
    size: int
    mtime: int
    mode: str
    owner: str
    archives: tuple[Held, ...]


_HELD = "SELECT borg_id, lane, ordinal, name, at, entries, bytes FROM archive WHERE whole = 1"
_ITEM = """SELECT f.id, f.rank, f.name, v.kind, v.size, v.mtime, v.mode, v.owner, v.target
    FROM file f JOIN version v ON v.file = f.id
    AND v.lane = :lane AND v.first <= :ordinal AND (v.last IS NULL OR v.last >= :ordinal) WHERE"""
_TOTAL = """SELECT v.entries FROM folder v
    WHERE v.lane = :lane AND v.first <= :ordinal AND (v.last IS NULL OR v.last >= :ordinal) AND v.file = :parent"""


def held(db: sqlite3.Connection, borg_id: str) -> Held | None:
    """That archive, when it is whole here."""
    row = db.execute(f"{_HELD} AND borg_id = ?", (borg_id,)).fetchone()
    return Held(*row) if row else None


def folder_id(db: sqlite3.Connection, path: bytes) -> int | None:
    """The folder of that path, in whichever archive."""
    return _walk(db, path, (FOLDER,))


def folder(
    db: sqlite3.Connection, archive: Held, path: bytes, after: tuple[int, bytes] | None = None, count: int = 200
) -> Page | None:
    """A page of a folder; None when the archive has no such folder."""
    found = folder_id(db, path)
    if found is None or (found != ROOT and _item(db, archive, found) is None):
        return None
    values: dict[str, int | bytes] = {"lane": archive.lane, "ordinal": archive.ordinal, "parent": found}
    values["count"] = count + 1
    where = "f.parent = :parent"
    if after is not None:
        where += " AND (f.rank, f.name) > (:rank, :name)"
        values |= {"rank": after[0], "name": after[1]}
    rows = db.execute(f"{_ITEM} {where} ORDER BY f.rank, f.name LIMIT :count", values).fetchall()
    total = db.execute(_TOTAL, values).fetchone()
    items = tuple(Item(*row) for row in rows[:count])
    return Page(items, len(rows) > count, total[0] if total else 0)


def versions(db: sqlite3.Connection, path: bytes) -> list[Version]:
    """Every form of that file in every archive, the newest first; a folder that became a file is among them."""
    archives: dict[int, list[Held]] = {}
    for row in db.execute(f"{_HELD} ORDER BY ordinal"):
        archives.setdefault(row[1], []).append(Held(*row))
    found = []
    for rank in (FOLDER, OTHER):
        file = _walk(db, path, (rank,))
        rows = db.execute(
            "SELECT lane, first, last, kind, size, mtime, mode, owner FROM version WHERE file = ?", (file,)
        )
        for lane, first, last, *form in rows:
            holding = tuple(
                one for one in archives.get(lane, ()) if first <= one.ordinal and (last is None or one.ordinal <= last)
            )
            if holding:
                kind, size, mtime, mode, owner = form
                found.append(Version(kind, size, mtime, mode, owner, holding))
    return sorted(found, key=lambda one: (one.archives[-1].at, one.mtime), reverse=True)


@dataclass(frozen=True)
class Change:
    """What is another between two archives: before or after is None where it is not there."""

    path: bytes
    before: Item | None
    after: Item | None


def difference(db: sqlite3.Connection, old: Held, new: Held) -> Iterator[Change]:
    """What differs from `old` to `new`. Quick in one lane, where only what changed is read."""
    files = _changed_in_lane(db, old, new) if old.lane == new.lane else _all_files(db)
    for file in files:
        before, after = _item(db, old, file), _item(db, new, file)
        if (before is None) != (after is None) or (before and after and before != after):
            yield Change(path_of(db, file), before, after)


def _changed_in_lane(db: sqlite3.Connection, old: Held, new: Held) -> Iterator[int]:
    low, high = sorted((old.ordinal, new.ordinal))
    # The first archive of a lane is 1, so what began after another began after 1: as the index has it.
    rows = db.execute(
        "SELECT file FROM version WHERE lane = ?1 AND first > 1 AND first > ?2 AND first <= ?3"
        " UNION SELECT file FROM version WHERE lane = ?1 AND last IS NOT NULL AND last >= ?2 AND last < ?3",
        (old.lane, low, high),
    )
    for (file,) in rows:
        yield file


def _all_files(db: sqlite3.Connection) -> Iterator[int]:
    for (file,) in db.execute("SELECT id FROM file ORDER BY id"):
        yield file


def path_of(db: sqlite3.Connection, file: int) -> bytes:
    """The whole path, without a slash in front."""
    names: list[bytes] = []
    while file != ROOT:
        file, name = db.execute("SELECT parent, name FROM file WHERE id = ?", (file,)).fetchone()
        names.append(name)
    return b"/".join(reversed(names))


def _item(db: sqlite3.Connection, archive: Held, file: int) -> Item | None:
    values = {"lane": archive.lane, "ordinal": archive.ordinal, "file": file}
    row = db.execute(f"{_ITEM} f.id = :file", values).fetchone()
    return Item(*row) if row else None


def _walk(db: sqlite3.Connection, path: bytes, ranks: tuple[int, ...]) -> int | None:
    """The id of a path whose last part has one of these ranks."""
    at = ROOT
    names = [name for name in path.split(b"/") if name]
    for number, name in enumerate(names, 1):
        for rank in ranks if number == len(names) else (FOLDER,):
            row = db.execute(
                "SELECT id FROM file WHERE parent = ? AND rank = ? AND name = ?", (at, rank, name)
            ).fetchone()
            if row:
                at = row[0]
                break
        else:
            return None
    return at
