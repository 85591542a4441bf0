"""The binary log of MySQL and MariaDB, which decides on the transactions that were about to be committed.

A server that has one writes a commit durably there alone: what InnoDB knows of it is that it was prepared. Only the
log that was in use when the files were taken has something to say; one that was closed has not.
"""

from __future__ import annotations

import re

from recovery.engines.place import Place

# A server takes what follows a dot for an ending.
_NAME = re.compile(r"([A-Za-z0-9_-]+)\.[0-9]{6,10}")
_MAGIC = b"\xfebin"
_HEADER = 19
_FORMAT = 15  # the kind of the first event
_IN_USE, _RELAYED = 1, 0x40
# A server may look back into some older ones.
_MOST = 20


def in_use(place: Place) -> tuple[str, ...]:
    """Names of its files in this directory, the newest last; none when no log was in use, or it is not here."""
    found: list[tuple[float, tuple[str, ...]]] = []
    for name in sorted(place.names):
        if not name.endswith(b".index"):
            continue
        files = _listed(place.text(name) or "")
        last = files[-1].encode() if files else b""
        entry = place.entry(last) if last else None
        if entry is not None and entry.kind == "file" and _is_open(place.read(last, 4 + _HEADER)):
            here = [file for file in files if place.has(file.encode())]
            found.append((entry.modified_at or 0, tuple(here[-_MOST:])))
    return max(found)[1] if found else ()


def is_name(text: str) -> bool:
    """Is one of its files called like this?"""
    return _NAME.fullmatch(text) is not None


def base(files: tuple[str, ...]) -> str:
    """What --log-bin calls them."""
    return files[-1].partition(".")[0]


def _listed(text: str) -> list[str]:
    """The files of an index, wherever it says that they lie; none unless all are of one log."""
    names = [line.strip().rpartition("/")[2] for line in text.splitlines() if line.strip()]
    parsed = [_NAME.fullmatch(name) for name in names]
    if not names or None in parsed or len({one.group(1) for one in parsed if one}) != 1 or "relay" in names[-1]:
        return []
    return names


def _is_open(head: bytes | None) -> bool:
    """Was this file being written, as the server's own log and not as what a replica was sent?"""
    if not head or len(head) < 4 + _HEADER or not head.startswith(_MAGIC) or head[8] != _FORMAT:
        return False
    flags = int.from_bytes(head[21:23], "little")
    return bool(flags & _IN_USE) and not flags & _RELAYED
