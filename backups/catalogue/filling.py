"""An archive's entries into the catalogue: what is as it was in the archive before costs no row.

An archive follows the one before it in its lane. What has the same form goes on being open; what is new or another gets
a row from this ordinal on; what is open and was not listed, or has another form now, ends with the ordinal before.
Until the last commit the archive is not whole, and nothing that is said of older ones changes meanwhile. Done again
after it broke off, it finds what it wrote, and goes on.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from backups.catalogue.entries import Entry
from backups.catalogue.schema import ROOT

# So many entries are written at once, and committed.
_BATCH = 5_000
# Folders whose entries are at hand, and how many entries in all; a folder that has more is asked entry by entry.
_FOLDERS_AT_HAND = 128
_ENTRIES_AT_HAND = 200_000
_ENTRIES_OF_ONE = 50_000
_PATHS_AT_HAND = 50_000
FOLDER, OTHER = 0, 1
Form = tuple[str, int, int, str, str, str]
Place = tuple[int, bytes]  # rank, name
_IMPLIED: Form = ("d", 0, 0, "", "", "")


@dataclass(frozen=True)
class Filled:
    """What an archive holds, and how much of it was not there before."""

    entries: int
    bytes: int
    new_rows: int
    ended_rows: int


class _Known:
    """What is known of a folder: of each name its id, and its open form if it has one. None: asked one by one."""

    def __init__(self, entries: dict[Place, tuple[int, Form | None]] | None) -> None:
        self.entries = entries


class Filling:
    """One archive that is being written down. `add` its entries in Borg's order, then `finish`."""

    def __init__(self, connection: sqlite3.Connection, lane: int, ordinal: int) -> None:
        self._db = connection
        self._lane, self._ordinal = lane, ordinal
        self._next = 1 + (connection.execute("SELECT max(id) FROM file").fetchone()[0] or ROOT)
        self._seen = bytearray(self._next // 8 + 1)
        self._counts = array("I", bytes(4 * (self._next + 1)))
        self._folders: OrderedDict[int, _Known] = OrderedDict()
        self._at_hand = 0
        self._paths: dict[bytes, int] = {b"": ROOT}
        self._files: list[tuple[int, int, int, bytes]] = []
        self._versions: list[tuple[int | str, ...]] = []
        self._pending: dict[tuple[int, Place], tuple[int, Form | None]] = {}
        self._ended: list[tuple[int, int, int]] = []
        self._entries = self._bytes = self._new = self._gone = 0

    def add(self, entries: Iterable[Entry]) -> None:
        """More of it. What Borg lists twice counts once, as what it was the last time."""
        for entry in entries:
            if entry.path == b".":
                continue
            above, _, name = entry.path.rpartition(b"/")
            parent = self._folder_id(above)
            place = (FOLDER if entry.kind == "d" else OTHER, name)
            form: Form = (entry.kind, entry.size, entry.mtime, entry.mode, entry.owner, entry.target)
            self._one(parent, place, form)
            if len(self._versions) >= _BATCH:
                self._flush()

    def finish(self) -> Filled:
        """All of it was listed: the rest ends, and the archive is whole."""
        self._flush()
        self._db.execute("BEGIN IMMEDIATE")
        self._end_unseen()
        self._count_folders()
        values = (self._entries, self._bytes, self._lane, self._ordinal)
        self._db.execute("UPDATE archive SET whole = 1, entries = ?, bytes = ? WHERE lane = ? AND ordinal = ?", values)
        self._db.execute("COMMIT")
        return Filled(self._entries, self._bytes, self._new, self._gone)

    # --- one entry ----------------------------------------------------------------------------------

    def _one(self, parent: int, place: Place, form: Form) -> int:
        file, open_form = self._look(parent, place)
        if file is None:
            file = self._made(parent, place)
        if self._mark(file):
            self._counts[parent] += 1
            self._entries += 1
            self._bytes += form[1] if form[0] == "-" else 0
        if open_form != form:
            self._versions.append((file, self._lane, self._ordinal, *form))
            if open_form is not None:
                self._ended.append((self._ordinal - 1, file, self._lane))
            self._remember(parent, place, file, form)
        return file

    def _made(self, parent: int, place: Place) -> int:
        file = self._next
        self._next += 1
        self._files.append((file, parent, *place))
        if file >= len(self._seen) * 8:
            self._seen.extend(bytes(len(self._seen) + 1024))
        if file >= len(self._counts):
            self._counts.extend(array("I", bytes(4 * (len(self._counts) + 1024))))
        if place[0] == FOLDER:
            self._keep(file, _Known({}))  # nothing can be in it yet
        return file

    def _mark(self, file: int) -> bool:
        """True the first time."""
        byte, bit = file >> 3, 1 << (file & 7)
        if self._seen[byte] & bit:
            return False
        self._seen[byte] |= bit
        return True

    # --- what is known ------------------------------------------------------------------------------

    def _folder_id(self, path: bytes) -> int:
        found = self._paths.get(path)
        if found is None:
            above, _, name = path.rpartition(b"/")
            parent, place = self._folder_id(above), (FOLDER, name)
            # Borg lists what was asked for, and not always what lies above it.
            found = self._one(parent, place, self._look(parent, place)[1] or _IMPLIED)
            if len(self._paths) >= _PATHS_AT_HAND:
                self._paths.clear()
                self._paths[b""] = ROOT
            self._paths[path] = found
        return found

    def _look(self, parent: int, place: Place) -> tuple[int | None, Form | None]:
        known = self._folders.get(parent)
        if known is None:
            known = self._read(parent)
        else:
            self._folders.move_to_end(parent)
        if known.entries is not None:
            return known.entries.get(place, (None, None))
        if (parent, place) in self._pending:
            return self._pending[parent, place]
        row = self._db.execute(f"{_ENTRY} AND f.rank = ? AND f.name = ?", (self._lane, parent, *place)).fetchone()
        return (row[0], _form(row)) if row else (None, None)

    def _remember(self, parent: int, place: Place, file: int, form: Form | None) -> None:
        known = self._folders[parent]
        if known.entries is None:
            self._pending[parent, place] = (file, form)
            return
        if place not in known.entries:
            self._at_hand += 1
        known.entries[place] = (file, form)
        if len(known.entries) > _ENTRIES_OF_ONE:
            self._flush()
            self._at_hand -= len(known.entries)
            known.entries = None

    def _read(self, parent: int) -> _Known:
        """All that is known of a folder, if that is not too much."""
        self._flush()
        rows = self._db.execute(f"{_ENTRY} LIMIT {_ENTRIES_OF_ONE + 1}", (self._lane, parent)).fetchall()
        few = len(rows) <= _ENTRIES_OF_ONE
        known = _Known({(row[1], row[2]): (row[0], _form(row)) for row in rows} if few else None)
        self._keep(parent, known)
        return known

    def _keep(self, folder: int, known: _Known) -> None:
        self._folders[folder] = known
        self._at_hand += len(known.entries or ())
        while len(self._folders) > _FOLDERS_AT_HAND or self._at_hand > _ENTRIES_AT_HAND:
            oldest = next(iter(self._folders))
            if oldest == folder:
                break
            self._at_hand -= len(self._folders.pop(oldest).entries or ())

    # --- writing ------------------------------------------------------------------------------------

    def _flush(self) -> None:
        if not (self._files or self._versions):
            return
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany("INSERT INTO file (id, parent, rank, name) VALUES (?, ?, ?, ?)", self._files)
        self._db.executemany(_END, self._ended)
        self._db.executemany(_BEGIN, self._versions)
        self._db.execute("COMMIT")
        self._new += len(self._versions)
        self._gone += len(self._ended)
        for waiting in (self._files, self._versions, self._ended):
            waiting.clear()
        self._pending.clear()

    def _end_unseen(self) -> None:
        """What is open and was not listed ends with the archive before."""
        rows = self._db.execute("SELECT file FROM version WHERE lane = ? AND last IS NULL", (self._lane,))
        gone = [file for (file,) in rows if not self._seen[file >> 3] & (1 << (file & 7))]
        self._db.executemany(_END, ((self._ordinal - 1, file, self._lane) for file in gone))
        self._gone += len(gone)

    def _count_folders(self) -> None:
        rows = self._db.execute("SELECT file, entries FROM folder WHERE lane = ? AND last IS NULL", (self._lane,))
        ended = []
        for file, entries in rows:
            if self._counts[file] == entries:
                self._counts[file] = 0
            else:
                ended.append((self._ordinal - 1, file, self._lane))
        self._db.executemany("UPDATE folder SET last = ? WHERE file = ? AND lane = ? AND last IS NULL", ended)
        new = ((file, self._lane, self._ordinal, count) for file, count in enumerate(self._counts) if count)
        self._db.executemany("INSERT INTO folder (file, lane, first, entries) VALUES (?, ?, ?, ?)", new)


_ENTRY = """SELECT f.id, f.rank, f.name, v.kind, v.size, v.mtime, v.mode, v.owner, v.target
    FROM file f LEFT JOIN version v ON v.file = f.id AND v.lane = ? AND v.last IS NULL WHERE f.parent = ?"""
# What began with this archive is replaced rather than ended: Borg listed it twice.
_END = "UPDATE version SET last = ?1 WHERE file = ?2 AND lane = ?3 AND last IS NULL AND first <= ?1"
_BEGIN = """INSERT OR REPLACE INTO version (file, lane, first, kind, size, mtime, mode, owner, target)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""


def _form(row: tuple[int | str | bytes | None, ...]) -> Form | None:
    return None if row[3] is None else row[3:]  # type: ignore[return-value]
