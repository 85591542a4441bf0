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


# As FORMAT, and what an entry is a link to: of a hard link only the first name has contents.
FORMAT_WITH_LINKS = "{type} {size} {bpath!a} {source!a}{NL}"
_NO_LINK = b" ''"


def entry_or_link(line: bytes) -> Entry | None:
    """One line of FORMAT_WITH_LINKS; None for what is a link to something else."""
    return entry(line[: -len(_NO_LINK)]) if line.endswith(_NO_LINK) else None
