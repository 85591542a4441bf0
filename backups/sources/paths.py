"""Paths are bytes. Here they become JSON, words for people and values of a form — and bytes again."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from django.utils.translation import gettext_lazy as _

from backups.borg import specs
from phpborg.errors import InvalidInput


def to_json(path: bytes) -> str | dict[str, str]:
    """Text when the path is text; else base64, because no database stores half a character."""
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(path).decode("ascii")}
    return text


def from_json(value: Any) -> bytes:
    """The bytes of `to_json`. Raises InvalidInput for anything else."""
    try:
        if isinstance(value, str):
            return value.encode("utf-8", "surrogateescape")
        if isinstance(value, dict) and set(value) == {"base64"}:
            return base64.b64decode(value["base64"], validate=True)
    except (UnicodeEncodeError, binascii.Error, TypeError, ValueError):
        pass
    raise InvalidInput(field=str(_("Path")), problem=str(_("it is not a path")))


def to_wire(path: bytes) -> str:
    """As the helper on the servers wants it: text whose odd bytes are lone surrogates."""
    return path.decode("utf-8", "surrogateescape")


def from_wire(text: str) -> bytes:
    """The bytes of a path that the helper told."""
    return text.encode("utf-8", "surrogateescape")


def to_form(path: bytes) -> str:
    """As the value of a form field or a part of an address: percent-encoded, so any byte survives."""
    return quote(path, safe="/")


def from_form(value: str) -> bytes:
    """The bytes of `to_form`; whatever else comes is taken literally and checked by `clean`."""
    return unquote_to_bytes(value)


def shown(path: bytes) -> str:
    """For people: odd bytes and control characters as \\xNN."""
    text = path.decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def clean(path: bytes) -> bytes:
    """An absolute path in its plain form (`//` and `/./` folded, no `/` at the end). Raises InvalidInput."""
    specs.source(path)
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if len(path) > 4000:
        raise InvalidInput(field=str(_("Path")), problem=str(_("the path is too long")))
    return b"/" + b"/".join(parts)


def covers(above: bytes, path: bytes) -> bool:
    """Is `path` at or below `above`?"""
    return above == b"/" or path == above or path.startswith(above + b"/")
