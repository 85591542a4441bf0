"""The generated login: its name stands in statements, so it has no other letters than these."""

from __future__ import annotations

import re

_NAME = re.compile(r"[a-z][a-z0-9_]{2,30}")


def checked(name: str) -> str:
    """The same name. ValueError when a statement could be made of it."""
    if not _NAME.fullmatch(name):
        raise ValueError("a login's name is of a to z, 0 to 9 and _, of 3 to 31 letters")
    return name
