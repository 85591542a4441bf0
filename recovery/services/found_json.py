"""What was found in an archive as plain JSON, and back: looked at once, started as often as wanted.

The rows are ours, but they are read like a stranger's: only the classes of the engines come back, whole or not at all.
"""

from __future__ import annotations

import dataclasses
from enum import Enum
from typing import Any

from recovery.engines import base, mongodb, mysql, notes, pg_control, postgresql, search

VERSION = 1
_CLASSES: dict[str, type] = {
    one.__name__: one
    for one in (
        base.Found,
        base.Owner,
        base.Part,
        base.Size,
        base.Product,
        base.Consistency,
        notes.Note,
        postgresql.PostgresqlFacts,
        pg_control.Control,
        mysql.MysqlFacts,
        mongodb.MongodbFacts,
        search.SearchFacts,
    )
}


def dump(found: base.Found) -> dict[str, Any]:
    """JSON of one data directory."""
    return {"version": VERSION, "found": _plain(found)}


def load(row: dict[str, Any]) -> base.Found:
    """Raises ValueError for what is of another version, or not what `dump` wrote."""
    if not isinstance(row, dict) or row.get("version") != VERSION:
        raise ValueError("another version of the row")
    try:
        found = _whole(row["found"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(found, base.Found):
        raise ValueError("no data directory")
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return {"@": type(value).__name__, "value": value.value}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
        return {"@": type(value).__name__, "fields": fields}
    if isinstance(value, bytes):
        return {"@": "bytes", "hex": value.hex()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {"@": "dict", "items": {str(key): _plain(one) for key, one in value.items()}}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} has no place in a row")


def _whole(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_whole(one) for one in value)
    if not isinstance(value, dict):
        return value
    kind = value["@"]
    if kind == "bytes":
        return bytes.fromhex(value["hex"])
    if kind == "dict":
        return {key: _whole(one) for key, one in value["items"].items()}
    known = _CLASSES[kind]
    if "value" in value:
        return known(value["value"])
    return known(**{name: _whole(one) for name, one in value["fields"].items()})
