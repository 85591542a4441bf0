"""Finding files by a part of their name or a pattern, by size and by time, over all archives of a repository.

Names are found by their groups of three letters (SQLite's FTS5, trigram), then looked at byte for byte; fewer than
three letters in a row name too much. The words of a repository are filled in after its archives are whole.
"""

from __future__ import annotations

import fnmatch
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from backups.catalogue.reading import path_of

LEAST = 3
MOST = 200
_LARGE = 16_777_216
# So many groups of three letters are asked for; the name itself decides.
_GROUPS = 6
_WORDS_AT_ONCE = 20_000
_LOOK_STEPS = 10_000


class TooShort(ValueError):
    """Fewer than three letters in a row, and no least size that would be enough by itself."""


@dataclass(frozen=True)
class Query:
    """`text` is a part of a name, or with *, ? or [ a pattern for the whole name; case does not count."""

    text: str = ""
    least_bytes: int | None = None
    most_bytes: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    kind: str | None = None

    @property
    def is_pattern(self) -> bool:
        return any(sign in self.text for sign in "*?[")

    @property
    def pieces(self) -> list[str]:
        """What stands in every name that matches, of three letters or more."""
        text = re.sub(r"\[[^\]]*\]", "*", self.text) if self.is_pattern else self.text
        return [piece for piece in re.split(r"[*?\[\]]", text) if len(piece) >= LEAST]

    def matcher(self) -> Callable[[str], bool]:
        """Does a name match?"""
        if self.is_pattern:
            return re.compile(fnmatch.translate(self.text), re.IGNORECASE).match  # type: ignore[return-value]
        wanted = self.text.casefold()
        return lambda name: wanted in name.casefold()


@dataclass(frozen=True)
class Hit:
    """A form of a file, and how many archives hold it: from `first_at` to `last_at` (microseconds)."""

    path: bytes
    file: int
    kind: str
    size: int
    mtime: int
    archives: int
    newest: str
    first_at: int
    last_at: int


@dataclass(frozen=True)
class Found:
    """`has_more`: there are others; `is_cut`: the time was up, so that others may not have been looked at."""

    hits: tuple[Hit, ...]
    has_more: bool = False
    is_cut: bool = False


def search(db: sqlite3.Connection, query: Query, count: int = MOST, seconds: float = 5.0) -> Found:
    """The first that are found. Raises TooShort."""
    if not query.pieces and (query.least_bytes or 0) < _LARGE:
        raise TooShort(query.text)
    until = time.monotonic() + seconds
    db.set_progress_handler(lambda: time.monotonic() > until, _LOOK_STEPS)
    hits: list[Hit] = []
    try:
        for hit in _hits(db, query):
            if len(hits) == count:
                return Found(tuple(hits), has_more=True)
            hits.append(hit)
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        return Found(tuple(hits), is_cut=True)
    finally:
        db.set_progress_handler(None, 0)
    return Found(tuple(hits))


def _hits(db: sqlite3.Connection, query: Query) -> Iterator[Hit]:
    matches = query.matcher() if query.text else None
    for file, name in _candidates(db, query):
        if matches and not matches(name.decode("utf-8", "replace")):
            continue
        path: bytes | None = None
        for row in db.execute(_FORMS, {"file": file, **_limits(query)}):
            path = path_of(db, file) if path is None else path
            yield Hit(path, file, *row)


def _candidates(db: sqlite3.Connection, query: Query) -> Iterator[tuple[int, bytes]]:
    if query.pieces:
        yield from db.execute(
            "SELECT f.id, f.name FROM word JOIN file f ON f.id = word.rowid WHERE word MATCH ?",
            (_groups(query.pieces),),
        )
    else:
        # The constant is the index's own; what is asked for is larger.
        large = "SELECT DISTINCT f.id, f.name FROM version v JOIN file f ON f.id = v.file WHERE v.size >= 16777216"
        yield from db.execute(f"{large} AND v.size >= ?", (query.least_bytes,))


def _groups(pieces: list[str]) -> str:
    """A question to FTS5: groups of three letters, spread over what is asked."""
    groups = list(dict.fromkeys(piece[at : at + 3] for piece in pieces for at in range(len(piece) - 2)))
    step = max(1, -(-len(groups) // _GROUPS))
    chosen = [*groups[::step], groups[-1]]
    return " AND ".join('"{}"'.format(group.replace('"', '""')) for group in dict.fromkeys(chosen))


def _limits(query: Query) -> dict[str, int | str | None]:
    def moment(value: datetime | None) -> int | None:
        return None if value is None else int(value.timestamp() * 1_000_000)

    limits = {"least": query.least_bytes, "most": query.most_bytes, "kind": query.kind}
    return {**limits, "since": moment(query.since), "until": moment(query.until)}


_FORMS = """
SELECT v.kind, v.size, v.mtime, count(*), max(a.ordinal || '/' || a.name), min(a.at), max(a.at)
FROM version v JOIN archive a ON a.lane = v.lane AND a.ordinal >= v.first AND (v.last IS NULL OR a.ordinal <= v.last)
WHERE v.file = :file AND a.whole = 1
  AND (:least IS NULL OR v.size >= :least) AND (:most IS NULL OR v.size <= :most)
  AND (:since IS NULL OR v.mtime >= :since) AND (:until IS NULL OR v.mtime < :until)
  AND (:kind IS NULL OR v.kind = :kind)
GROUP BY v.lane, v.first ORDER BY max(a.at) DESC
"""


def add_words(db: sqlite3.Connection) -> int:
    """Names that came since the last time; how many. In portions, so that nobody waits for long."""
    added = 0
    while True:
        (done,) = db.execute("SELECT words FROM state").fetchone()
        rows = db.execute(
            "SELECT id, name FROM file WHERE id > ? ORDER BY id LIMIT ?", (done, _WORDS_AT_ONCE)
        ).fetchall()
        if not rows:
            return added
        db.execute("BEGIN IMMEDIATE")
        words = ((file, name.decode("utf-8", "replace")) for file, name in rows)
        db.executemany("INSERT INTO word (rowid, name) VALUES (?, ?)", words)
        db.execute("UPDATE state SET words = ?", (rows[-1][0],))
        db.execute("COMMIT")
        added += len(rows)
