"""A manifest as a stranger wrote it, before it is typed: without what only we may say, and with names only. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

# What we find out ourselves (`manifest.with_facts`, analysis.py): a manifest that says it is not believed.
_OURS = {"origin", "notes", "sizes", "manifest_sha256", "shape", "option_names", "device", "host_device"} | {
    *("filesystem", "read_only", "compose_files"),
}
_OF_NETWORKS = {"driver", "subnets", "internal"}
# As the engine itself wants names of containers and of its own volumes; those of networks and plugins are freer.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", re.ASCII)
Table = dict[str, Any]


def cleaned(raw: Table) -> Table:
    """The manifest with what is its own to say."""
    return {kind: _rows(kind, value) for kind, value in raw.items() if kind not in _OURS}


def _rows(kind: str, value: Any) -> Any:
    if not isinstance(value, list):
        return value
    ours = _OURS | (_OF_NETWORKS if kind == "networks" else set())
    return [_without(row, ours) if isinstance(row, dict) else row for row in value]


def _without(row: Table, names: set[str]) -> Table:
    return {name: value for name, value in row.items() if name not in names}


def no_names(raw: Table) -> Iterator[str]:
    """Names and references that no engine can have given, as "kind 'name'": a program would take `-x` for an option.

    Projects are not among them: their names are labels, which somebody on the server may have chosen.
    """
    for kind in ("containers", "volumes", "networks", "images"):
        for row in _tables(raw.get(kind)):
            yield from (f"{kind} {name!a}" for name in _texts(kind, row) if not _is_good(kind, row, name))


def _tables(value: Any) -> list[Table]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _texts(kind: str, row: Table) -> Iterator[Any]:
    """What of a row becomes a word of a command; "" where it may be missing."""
    if kind == "images":
        yield row.get("id", "") or ""
        for key in ("tags", "digests"):
            yield from row[key] if isinstance(row.get(key), list) else []
        return
    yield row.get("name")
    if kind == "containers":
        yield from (row.get(key) or "" for key in ("image", "image_id"))
        create = row.get("create")
        yield (create.get("Image") or "") if isinstance(create, dict) else ""


def _is_good(kind: str, row: Table, name: Any) -> bool:
    if not isinstance(name, str) or name.startswith("-"):
        return False
    is_own = kind == "containers" or (kind == "volumes" and row.get("driver", "local") == "local")
    if is_own and name == row.get("name"):
        return _NAME.fullmatch(name) is not None
    if kind in ("volumes", "networks"):
        return name not in ("", ".", "..") and name.isprintable() and "/" not in name
    return name == "" or (name.isprintable() and " " not in name)
