"""A manifest as a stranger wrote it, before it is typed: without what only we may say. Pure."""

from __future__ import annotations

from typing import Any

# What we find out ourselves (`manifest.with_facts`, analysis.py): a manifest that says it is not believed.
_OURS = {"origin", "notes", "sizes", "manifest_sha256", "shape", "option_names", "device", "host_device"}
_OF_NETWORKS = {"driver", "subnets", "internal"}
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
