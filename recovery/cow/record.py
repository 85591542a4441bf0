"""The record of the upper layer: what stands where, in SQLite, so that a crash at any moment leaves a whole state.

Tables (format 1): `node` is every entry that differs from the lower tree or is new; `entry` is every name that differs
(`ino` 0: the name is gone, a whiteout); `meta` holds the format. A transaction is one operation. It is written at once
(it outlives the process) and made durable by `sync` (it outlives the machine).
"""

from __future__ import annotations

import errno
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Statement = tuple[str, tuple[Any, ...]]

FORMAT = "phpborg-cow"
VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS node (
  ino INTEGER PRIMARY KEY, mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL, rdev INTEGER NOT NULL,
  nlink INTEGER NOT NULL, atime INTEGER NOT NULL, mtime INTEGER NOT NULL, ctime INTEGER NOT NULL,
  lower BLOB, target BLOB, has_data INTEGER NOT NULL, seen INTEGER NOT NULL, cut INTEGER);
CREATE TABLE IF NOT EXISTS entry (
  parent INTEGER NOT NULL, name BLOB NOT NULL, ino INTEGER NOT NULL, PRIMARY KEY (parent, name)) WITHOUT ROWID;
"""
_ATTRIBUTES = ("ino", "mode", "uid", "gid", "rdev", "nlink", "atime", "mtime", "ctime")
COLUMNS = (*_ATTRIBUTES, "lower", "target", "has_data", "seen", "cut")
PUT_NODE = f"REPLACE INTO node ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608
DROP_NODE = "DELETE FROM node WHERE ino = ?"
PUT_ENTRY = "REPLACE INTO entry (parent, name, ino) VALUES (?, ?, ?)"
DROP_ENTRY = "DELETE FROM entry WHERE parent = ? AND name = ?"
DROP_ENTRIES = "DELETE FROM entry WHERE parent = ?"
CUT = "UPDATE node SET cut = ?, seen = min(seen, ?) WHERE ino = ?"
CUT_DONE = "UPDATE node SET cut = NULL WHERE ino = ?"


class FormatError(Exception):
    """The upper directory was written by another version, or by something else."""


class Record:
    """One connection, used by all threads in turn. Raises OSError (ENOSPC when the disk is full, else EIO)."""

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._dirty = False
        self._base = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
        self._base.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=FULL")
        self._base.executescript(_SCHEMA)
        known = dict(self._base.execute("SELECT key, value FROM meta"))
        if not known:
            rows = (("format", FORMAT), ("version", str(VERSION)))
            self._base.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", rows)
        elif (known.get("format"), known.get("version")) != (FORMAT, str(VERSION)):
            self._base.close()
            raise FormatError(f"format {known.get('format')} {known.get('version')}, not {FORMAT} {VERSION}")
        self._base.execute("PRAGMA synchronous=NORMAL")

    def nodes(self) -> list[dict[str, Any]]:
        """Every recorded node."""
        found = self._base.execute(f"SELECT {', '.join(COLUMNS)} FROM node")  # noqa: S608
        return [dict(zip(COLUMNS, row)) for row in found]  # noqa: B905 (Python 3.7 does not know `strict`)

    def entries(self) -> list[tuple[int, bytes, int]]:
        """Every recorded name: parent, name, node (0: gone)."""
        return list(self._base.execute("SELECT parent, name, ino FROM entry"))

    def run(self, *statements: Statement, durable: bool = False) -> None:
        """All of them or none."""
        with self._lock:
            try:
                if durable:
                    self._base.execute("PRAGMA synchronous=FULL")
                self._base.execute("BEGIN IMMEDIATE")
                for sql, values in statements:
                    self._base.execute(sql, values)
                self._base.execute("COMMIT")
                self._dirty = not durable
            except sqlite3.Error as error:
                raise self._as_oserror(error) from error
            finally:
                if self._base.in_transaction:
                    self._base.execute("ROLLBACK")
                if durable:
                    self._base.execute("PRAGMA synchronous=NORMAL")

    def sync(self) -> None:
        """What was run before is on the disk afterwards (a commit in FULL mode flushes the whole log before it)."""
        if self._dirty:
            self.run(("REPLACE INTO meta (key, value) VALUES ('synced', '1')", ()), durable=True)

    def close(self) -> None:
        """Durable, log folded in."""
        with self._lock:
            self._base.execute("PRAGMA synchronous=FULL")
            self._base.close()

    @staticmethod
    def _as_oserror(error: sqlite3.Error) -> OSError:
        full = "full" in str(error)
        return OSError(errno.ENOSPC if full else errno.EIO, f"record: {error}")
