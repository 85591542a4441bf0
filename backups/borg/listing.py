"""The entries of an archive as borg lists them, exact to the byte: one line each."""

from __future__ import annotations

import ast
from dataclasses import dataclass

# As Python spells it: borg's output replaces what is not UTF-8, and a name may hold the end of a line.
FORMAT = "{type} {size} {bpath!a}{NL}"


@dataclass(frozen=True)
class Entry:
    """`kind`: borg's letter (“-” a file, “d” a folder); `size` in bytes, 0 of what is no file."""

    kind: str
    size: int
    path: bytes


def entry(line: bytes) -> Entry:
    """One line of FORMAT."""
    kind, size, word = line.decode("ascii").split(" ", 2)
    spelt = word[1:-1] if word[:1] == "'" and "\\" not in word else ast.literal_eval(word)
    path = spelt if isinstance(spelt, bytes) else spelt.encode("utf-8", "surrogateescape")
    return Entry(kind, int(size) if kind == "-" and size.isdigit() else 0, path)
