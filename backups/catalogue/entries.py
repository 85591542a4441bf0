"""One entry of an archive, as Borg lists it, byte for byte.

`borg list` writes names through a text stream that puts "?" for what is no text, JSON included. Told to write UTF-7 it
has no such character: lone surrogates, which stand for single bytes, come out as they are (tried with 1.2 and 1.4).
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

# Of the process that lists; its clock is UTC, since the times come without a zone.
ENVIRONMENT = {"PYTHONIOENCODING": "utf-7", "TZ": "UTC"}
_KEYS = ("type", "mode", "uid", "gid", "user", "group", "size", "isomtime", "source", "bpath")
FORMAT = "".join(f"{{{key}}}{{NUL}}" for key in _KEYS) + "{NL}"
_END = "\0\n"
_EPOCH = datetime(1970, 1, 1)


class Entry(NamedTuple):
    """`path` as bytes without a slash in front; `mtime` in microseconds since the epoch; `target` of a link."""

    path: bytes
    kind: str
    size: int
    mtime: int
    mode: str
    owner: str
    target: str


def parsed(chunks: Iterable[bytes]) -> Iterator[Entry]:
    """The entries of a listing, as it comes in. Raises ValueError where it is none, or breaks off."""
    decoder = codecs.getincrementaldecoder("utf-7")()
    rest = ""
    for chunk in chunks:
        *records, rest = (rest + decoder.decode(chunk)).split(_END)
        for record in records:
            yield _entry(record)
    try:
        rest += decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        rest = "…"
    if rest:
        raise ValueError("the listing breaks off")


def _entry(record: str) -> Entry:
    kind, mode, uid, gid, user, group, size, mtime, target, path = record.split("\0")
    moment = datetime.fromisoformat(mtime) - _EPOCH
    return Entry(
        path=path.encode("utf-8", "surrogateescape"),
        kind=kind,
        size=int(size),
        mtime=(moment.days * 86_400 + moment.seconds) * 1_000_000 + moment.microseconds,
        mode=mode,
        owner=f"{user or uid}:{group or gid}",
        target=target,
    )
