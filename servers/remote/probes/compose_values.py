"""Variables in the names of files that a Compose file has: what of their values may be told.

A value may be a secret. It stands in a name only when it plainly is a piece of a path, a name or a number: letters of
paths, no part that looks drawn by lot, and when its variable is called like a secret it begins as a path does. Any
other name is told as unclear, with the variable's name in the value's place.
"""

import re
from typing import Dict

REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://|git@|github\.com/")

_VARIABLE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)(?::?-([^${}]*))?\})")
_FILLED_IN = re.compile(r"\$\{(\w*)[^}]*\}*")
_PLAIN = re.compile(r"[\w./~+ -]{1,200}")
_SECRET = re.compile(r"PASS|PWD|SECRET|TOKEN|KEY|CRED|AUTH|SALT|HASH|LICEN[CS]E", re.IGNORECASE)
_OF_A_PLACE = re.compile(r"(FILE|FILES|DIR|DIRECTORY|FOLDER|PATH|ROOT|HOME)$", re.IGNORECASE)
_BEGINS_AS_A_PATH = re.compile(r"(\.\.?|~|/[a-z]{2,16})/")
_LONGEST_MIXED = 20


def bare(value: str) -> str:
    """With the names of its variables alone: what is written there for one without a value may be a secret, too."""
    return _FILLED_IN.sub(r"${\1}", value)


def filled(value: str, variables: Dict[str, str]) -> str:
    """With the values of its variables. Raises KeyError for one that is not known, or is not plainly part of a path."""

    def fill(match: "re.Match[str]") -> str:
        name = match.group(1) or match.group(2)
        if name is None:
            return "$"
        # Empty counts as not set only with a colon; a name that is empty would be none.
        known = variables.get(name) or match.group(3)
        elsewhere = match.start() == 0 and REMOTE.match(known or "")  # then the whole is no path of this machine
        if not known or not (elsewhere or is_plain(name, known)):
            raise KeyError(name)
        return known

    whole = _VARIABLE.sub(fill, value)
    if "${" in _VARIABLE.sub("", value):
        raise KeyError(value)
    return whole


def is_plain(name: str, value: str) -> bool:
    """Is it plainly a piece of a path, a name or a number, and no secret?

    It has only letters of paths, no part of it looks as if it were drawn by lot, and one whose variable is called like
    a secret begins as a path does, unless the variable is called like a place of one (`KEY_FILE`).
    """
    if not _PLAIN.fullmatch(value) or any(map(_looks_drawn, value.split("/"))):
        return False
    return not _SECRET.search(name) or bool(_OF_A_PLACE.search(name) or _BEGINS_AS_A_PATH.match(value))


def _looks_drawn(piece: str) -> bool:
    """Long, with letters of both sizes and figures in between."""
    kinds = (str.isupper, str.islower, str.isdigit)
    return len(piece) >= _LONGEST_MIXED and all(any(map(kind, piece)) for kind in kinds)
