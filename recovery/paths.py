"""Paths inside an archive: bytes here, ASCII tokens in pages, forms and rows.

A token is the path percent-encoded (`etc/caf%E9`). It survives HTML forms, URLs and every database,
whatever bytes the name holds.
"""

from __future__ import annotations

import os
from urllib.parse import quote_from_bytes, unquote_to_bytes

from recovery.errors import NoSuchPath

# Unicode's explicit directional marks, embeddings, overrides and isolates (UAX #9).
_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def token(path: bytes) -> str:
    """The path as ASCII text."""
    return quote_from_bytes(path, safe="/")


def parse(text: str) -> bytes:
    """A token back to a relative path without empty, `.` and `..` parts. Raises NoSuchPath."""
    raw = unquote_to_bytes(text)
    parts = [part for part in raw.split(b"/") if part]
    if b"\0" in raw or any(part in (b".", b"..") for part in parts):
        raise NoSuchPath(path=shown(raw))
    return b"/".join(parts)


def shown(path: bytes) -> str:
    """The path for people: not UTF-8 becomes �, control characters become their pictures.

    Characters that turn the direction of text are spelt out: with them `exe.txt` can look like `txt.exe`.
    """
    return "".join(map(_picture, path.decode("utf-8", "replace")))


def portable(path: bytes) -> str:
    """The path as a name in a file for other systems: every letter is kept, but no `\\`, where Windows splits."""
    text = path.decode("utf-8", "replace").replace("\\", "\u2216")
    return "".join(chr(0x2400 + ord(letter)) if ord(letter) < 32 else letter for letter in text)


def _picture(letter: str) -> str:
    if ord(letter) < 32:
        return chr(0x2400 + ord(letter))
    if letter in _TURNS or 0x7F <= ord(letter) < 0xA0:
        return f"<U+{ord(letter):04X}>"
    return letter


def split(path: bytes) -> list[bytes]:
    """The parts of a relative path."""
    return path.split(b"/") if path else []


def common_parent(paths: list[bytes]) -> bytes:
    """The deepest folder that holds all of them: what is stripped when they are put elsewhere."""
    parents = [split(os.path.dirname(path)) for path in paths]
    shared: list[bytes] = []
    for parts in zip(*parents, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return b"/".join(shared)


def without_nested(paths: list[bytes]) -> list[bytes]:
    """Drop what lies inside another chosen folder, and doubles; sorted."""
    kept: list[bytes] = []
    for path in sorted(set(paths), key=split):
        if kept and (path == kept[-1] or path.startswith(kept[-1] + b"/") or kept[-1] == b""):
            continue
        kept.append(path)
    return kept
