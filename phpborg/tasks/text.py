"""Text that every database, screen and terminal can take."""

from __future__ import annotations

import re
from typing import Any

_LONE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def printable(text: str) -> str:
    r"""Bytes of a file name that are not UTF-8 become \xff, NUL becomes \x00; the rest stays as it is.

    A row, a websocket message and a mail are for people: the true bytes stay with what works on files.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # Lone surrogates that stand for no byte cannot be named at all.
        raw = text.encode("utf-8", "surrogatepass") if _LONE.search(text) else text.encode("utf-8", "surrogateescape")
        text = raw.decode("utf-8", "backslashreplace")
    return text.replace("\0", "\\x00")


def deep(value: Any) -> Any:
    """`printable` for every text inside JSON-like data."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {deep(key): deep(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [deep(one) for one in value]
    return value
