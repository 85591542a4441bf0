"""The catalogue's file: its tables, and how it is opened."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

# Another number means another layout: the file is then thrown away and filled anew.
LAYOUT = 1
ROOT = 0
_BUSY_MS = 30_000
_WRITER_PAGES_KIB = 64 << 10
_READER_PAGES_KIB = 16 << 10

# Times in microseconds since the epoch, sizes in bytes. `rank` 0 for folders, 1 for all else: a listing has them first,
# and a folder that became a file is another. Of the first archive of a lane most rows are, so that no index names them.
_TABLES = """
CREATE TABLE lane (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE archive (
    borg_id TEXT PRIMARY KEY, lane INTEGER NOT NULL, ordinal INTEGER NOT NULL, name TEXT NOT NULL, at INTEGER NOT NULL,
    whole INTEGER NOT NULL DEFAULT 0, entries INTEGER, bytes INTEGER, UNIQUE (lane, ordinal)
);
CREATE TABLE file (
    id INTEGER PRIMARY KEY, parent INTEGER NOT NULL, rank INTEGER NOT NULL, name BLOB NOT NULL,
    UNIQUE (parent, rank, name)
);
CREATE TABLE version (
    file INTEGER NOT NULL, lane INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER,
    kind TEXT NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL,
    mode TEXT NOT NULL, owner TEXT NOT NULL, target TEXT NOT NULL, PRIMARY KEY (file, lane, first)
) WITHOUT ROWID;
CREATE INDEX version_begun ON version (lane, first) WHERE first > 1;
CREATE INDEX version_ended ON version (lane, last) WHERE last IS NOT NULL;
CREATE INDEX version_large ON version (size) WHERE size >= 16777216;
CREATE TABLE folder (
    file INTEGER NOT NULL, lane INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER, entries INTEGER NOT NULL,
    PRIMARY KEY (file, lane, first)
) WITHOUT ROWID;
CREATE TABLE state (words INTEGER NOT NULL);
INSERT INTO state VALUES (0);
CREATE VIRTUAL TABLE word USING fts5(name, content='', detail=none, columnsize=0, tokenize='trigram');
"""


class CatalogueBroken(Exception):
    """The file is not one, or is damaged: it is thrown away and filled anew, and nobody is asked."""


@contextmanager
def writer(path: Path) -> Iterator[sqlite3.Connection]:
    """The one that fills it; made when missing, or when its layout is another. Readers go on meanwhile."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with closing(_opened(path, _WRITER_PAGES_KIB)) as connection:
        if _layout(connection) not in (0, LAYOUT):
            connection.close()
            remove(path)
            with writer(path) as fresh:
                yield fresh
            return
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        if not _layout(connection):
            connection.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {LAYOUT}; COMMIT;")
        yield connection


@contextmanager
def reader(path: Path) -> Iterator[sqlite3.Connection | None]:
    """None while there is none of this layout."""
    if not path.exists():
        yield None
        return
    with closing(_opened(path, _READER_PAGES_KIB)) as connection:
        connection.execute("PRAGMA query_only = 1")
        yield connection if _layout(connection) == LAYOUT else None


def remove(path: Path) -> None:
    """The file and what SQLite keeps beside it."""
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        name.unlink(missing_ok=True)


def _opened(path: Path, pages_kib: int) -> sqlite3.Connection:
    """Raises CatalogueBroken."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_MS / 1000)
    try:
        connection.execute(f"PRAGMA cache_size = -{pages_kib}")
        connection.execute("PRAGMA temp_store = FILE")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise CatalogueBroken(str(error)) from error
    return connection


def _layout(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
