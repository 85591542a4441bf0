"""Checks of what a request may contain."""

import re
from typing import Any, List, Optional, Pattern

from . import wire

TOKEN = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z-]{6,62})[0-9A-Za-z]")
ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
ADDRESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})|[0-9A-Fa-f:]{2,45}(?:%[A-Za-z0-9.-]+)?")
_PATH_LIMIT = 4096


def text(value: Any, what: str, pattern: Optional[Pattern[str]] = None, limit: int = 4096) -> str:
    """A string, of this form when a pattern is given."""
    if not isinstance(value, str) or len(value) > limit or "\0" in value:
        raise wire.Refused("invalid", "{} must be text".format(what), field=what)
    if pattern is not None and not pattern.fullmatch(value):
        raise wire.Refused("invalid", "{} has a form that is not allowed: {!r}".format(what, value), field=what)
    return value


def token(value: Any) -> str:
    """The unguessable name of something that we make and remove."""
    return text(value, "token", TOKEN, 64)


def number(value: Any, what: str, least: int, most: int) -> int:
    """A whole number in a range."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise wire.Refused("invalid", "{} must be a whole number from {} to {}".format(what, least, most), field=what)
    return value


def choice(value: Any, what: str, allowed: List[str]) -> str:
    """One of a few words."""
    if not isinstance(value, str) or value not in allowed:
        raise wire.Refused("invalid", "{} must be one of {}".format(what, ", ".join(allowed)), field=what)
    return value


def texts(value: Any, what: str, most: int = 100000) -> List[str]:
    """A list of strings."""
    if not isinstance(value, list) or len(value) > most:
        raise wire.Refused("invalid", "{} must be a list of at most {}".format(what, most), field=what)
    return [text(item, what, limit=1 << 16) for item in value]


def absolute(value: Any, what: str) -> bytes:
    """An absolute path in its plain form: no `..`, no `.`, no empty part."""
    path = wire.raw(text(value, what, limit=_PATH_LIMIT))
    if not path.startswith(b"/"):
        raise wire.Refused("invalid", "{} must be an absolute path: {!r}".format(what, value), field=what)
    return b"/" + b"/".join(parts(path[1:], value, what)) if path != b"/" else path


def relative(value: Any, what: str) -> bytes:
    """A path below something, as an archive stores it."""
    path = wire.raw(text(value, what, limit=_PATH_LIMIT))
    return b"/".join(parts(path, value, what))


def parts(path: bytes, value: Any, what: str) -> List[bytes]:
    """The components of a path, none of which leads elsewhere."""
    names = path.split(b"/")
    if any(name in (b"", b".", b"..") for name in names) or len(path) > _PATH_LIMIT:
        problem = "{} must not contain “.”, “..” or empty parts: {!r}".format(what, value)
        raise wire.Refused("unsafe", problem, field=what)
    return names
