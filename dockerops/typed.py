"""JSON of a stranger into frozen dataclasses by their annotations, and back into JSON that a database keeps.

Names and paths of servers are texts whose odd bytes are lone surrogates (`surrogateescape`). No database stores half
a character, so `stored` writes such a text as `\\ufffd%:` and its bytes percent-encoded; `restored` reads it back.
"""

from __future__ import annotations

import types
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import quote_from_bytes

from dockerops.scripts import texts
from dockerops.scripts.texts import MARK


def read(kind: Any, raw: Any) -> Any:
    """An instance of the dataclass `kind`; what `raw` does not say, or says in another type, is the field's default."""
    table = raw if isinstance(raw, dict) else {}
    hints, known = _annotations(kind)
    return kind(**{name: _field(hints[name], known[name], table.get(name)) for name in hints})


def written(value: Any) -> Any:
    """A dataclass (or a tuple of them) as plain JSON whose texts every database takes."""
    return stored(_plain(value))


def stored(value: Any) -> Any:
    """JSON whose texts every database takes; keys too."""
    return _each(value, _stored_text)


def restored(value: Any) -> Any:
    """What `stored` was given."""
    return texts.restored(value)


def _each(value: Any, change: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key) if isinstance(key, str) else key: _each(one, change) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_each(one, change) for one in value]
    return value


def _stored_text(text: str) -> str:
    if text.startswith(MARK) or "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        return MARK + quote_from_bytes("".join(map(_byte_or_letter, text)).encode("utf-8", "surrogateescape"))
    return text


def _byte_or_letter(letter: str) -> str:
    """Surrogates that stand for no byte, which JSON of a stranger may hold, are lost."""
    return "\ufffd" if "\ud800" <= letter < "\udc80" or "\udcff" < letter <= "\udfff" else letter


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


@cache
def _annotations(kind: Any) -> tuple[dict[str, Any], dict[str, Field[Any]]]:
    hints = get_type_hints(kind)
    known = {field.name: field for field in fields(kind) if field.init}
    return {name: hints[name] for name in known}, known


def _field(hint: Any, field: Field[Any], raw: Any) -> Any:
    value = _value(hint, raw)
    if value is not None or _optional(hint):
        return value
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else _empty(hint)


def _optional(hint: Any) -> bool:
    return _union(hint) and type(None) in get_args(hint)


def _union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _empty(hint: Any) -> Any:
    origin = get_origin(hint) or hint
    return read(hint, {}) if is_dataclass(hint) else origin()


def _value(hint: Any, raw: Any) -> Any:
    """The value in the type of the annotation, None when it is not of it."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return raw
    if _union(hint):
        return next((found for part in inner if (found := _part(part, raw)) is not None), None)
    if origin is tuple:
        found = [_value(inner[0], one) for one in raw] if isinstance(raw, list | tuple) else None
        return None if found is None else tuple(one for one in found if one is not None)
    if origin is dict:
        return _dictionary(inner[1], raw)
    if is_dataclass(hint):
        return read(hint, raw) if isinstance(raw, dict) else None
    if hint is int and isinstance(raw, bool):
        return None
    return raw if isinstance(raw, hint) else None


def _part(part: Any, raw: Any) -> Any:
    return None if part is type(None) or raw is None else _value(part, raw)


def _dictionary(hint: Any, raw: Any) -> Any:
    if not isinstance(raw, dict):
        return None
    found = {key: _value(hint, one) for key, one in raw.items() if isinstance(key, str)}
    return found if hint is Any else {key: one for key, one in found.items() if one is not None}
