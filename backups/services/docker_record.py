"""What stays of a Docker backup besides files: what it really holds, and what its run should note.

The helper's answer is a stranger's word: only what is named here is kept, so no environment and no option of a driver
can come into the database, whatever a server says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext_noop

from backups.models import Archive, BackupJob
from backups.sources.base import SourcePlan
from phpborg.tasks.registry import Finding
from phpborg.tasks.text import deep

Row = dict[str, Any]
_MOST_ROWS, _LONGEST = 5000, 4096
_ITEMS: dict[str, tuple[str, ...]] = {
    "projects": ("name", "working_dir", "containers"),
    "containers": ("name", "project", "state", "image"),
    "volumes": ("name", "driver", "anonymous", "project", "size_bytes", "path"),
    "images": ("tags", "size_bytes", "saved"),
    "dumps": ("container", "engine", "path", "bytes", "version"),
    "binds": ("source", "size_bytes"),
}
_NAMES = ("networks", "configs")
# What the helper says of an empty volume that nobody uses: no worry of anybody's.
_UNUSED = "it is empty"
_TOLD = {"actual", "engine", "findings", "not_included", "quiesced", "still_seconds"}
_ENGINE = ("version", "api_version", "data_root", "storage_driver", "swarm")
# The helper's codes in sentences without its figures, which the page shows translated.
_SAID = {
    "container_missing": gettext_noop("there is no such container any more"),
    "volume_missing": gettext_noop("there is no such volume any more"),
    "volume_empty": gettext_noop("it is empty"),
    "paused_not_stopped": gettext_noop("it was started with --rm: stopping would remove it, so it is paused"),
    "killed": gettext_noop("it did not end in time and was killed: its files may be as after a power cut"),
    "room_unknown": gettext_noop(
        "how much its volumes hold is not known: whether its dump has room was not known before"
    ),
    "removed": gettext_noop("somebody removed it while it was kept still"),
    "restarting": gettext_noop(
        "it ends and is started again and again: it was left alone, and may have written while it was read"
    ),
    "not_still": gettext_noop("somebody made it anew just before it was to keep still: it goes on running"),
    "recreated": gettext_noop("somebody made it anew while it was kept still"),
    "started": gettext_noop("it was started while it was kept still, by somebody or by a restart of Docker's engine"),
    "ended": gettext_noop("it ended while it was paused, as it does when Docker's engine is restarted"),
}


def describe(source: SourcePlan, facts: Mapping[str, Any]) -> Row:
    """For `Archive.backup_config["docker"]`: the engine, the real list, and what is not in it with the reasons.

    `facts`: what the helper answered when it wrote everything down, and how long containers were kept still.
    """
    actual = _table(facts.get("actual"))
    items: Row = {name: [_row(one, keys) for one in _rows(actual, name)] for name, keys in _ITEMS.items()}
    items.update({name: [one for one in _list(actual, name) if isinstance(one, str)] for name in _NAMES})
    left_out = [*source.left_out, *(_row(one, ("kind", "name", "reason")) for one in _rows(facts, "not_included"))]
    unique: dict[Any, Any] = {}
    for row in left_out:
        unique.setdefault((row.get("kind"), row.get("name")), row)  # the plan's own reason says more
    described: Row = {
        "engine": _engine(_table(facts.get("engine"))),
        "actual_backed_up_items": items,
        "not_included": list(unique.values()),
        "quiesced": [_row(one, ("container", "how", "from")) for one in _rows(facts, "quiesced")],
    }
    if isinstance(facts.get("quiet_seconds"), float):
        described["quiet_seconds"] = round(facts["quiet_seconds"], 1)
    found: Row = deep(described)
    return found


def kept(facts: Mapping[str, Any]) -> Row:
    """Of the helper's answer, what is not said better by `describe`: for `backup_config["frozen"]`."""
    return {name: value for name, value in facts.items() if name not in _TOLD}


def findings(rows: Sequence[Any], actual: Any = None) -> list[Finding]:
    """What the helper tells of its work. `actual`: what it wrote down, of which volumes without a name may be empty."""
    nameless = {row.get("name") for row in _rows(_table(actual), "volumes") if row.get("anonymous")}
    found = []
    for row in rows:
        one = _row(row, ("kind", "code", "name", "message"))
        kind, name = str(one.get("kind") or "docker"), str(one.get("name") or "")
        if one.get("code") == "volume_empty" and (name in nameless or one.get("message") == _UNUSED):
            continue
        message = _SAID.get(str(one.get("code")), str(one.get("message") or ""))
        found.append(Finding(deep(kind), deep(message), deep(name)))
    return found[:_MOST_ROWS]


def still(facts: Mapping[str, Any]) -> dict[str, list[str]]:
    """Names of the containers that were paused and stopped, by how."""
    found: dict[str, list[str]] = {}
    for row in _rows(facts, "quiesced"):
        found.setdefault(str(row.get("how") or ""), []).append(str(deep(row.get("container") or "")))
    return found


def still_seconds(facts: Mapping[str, Any]) -> float:
    """For how long the first container kept still already when the helper answered."""
    seconds = facts.get("still_seconds")
    known = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < math.inf
    return float(seconds or 0) if known else 0.0


def last_quiet_seconds(job: BackupJob) -> float | None:
    """For how long containers were kept still the last time; None when none were, or nobody knows."""
    newest = Archive.objects.present().filter(job=job).order_by("-started_at").first()
    docker = _table(newest.backup_config.get("docker")) if newest else {}
    seconds = docker.get("quiet_seconds")
    return seconds if isinstance(seconds, int | float) else None


def _engine(said: Row) -> Row:
    return {**_row(said, _ENGINE), "compose": _row(_table(said.get("compose")), ("command", "version")) or None}


def _table(value: Any) -> Row:
    return value if isinstance(value, dict) else {}


def _list(table: Mapping[str, Any], key: str) -> list[Any]:
    value = table.get(key)
    return value[:_MOST_ROWS] if isinstance(value, list) else []


def _rows(table: Mapping[str, Any], key: str) -> list[Row]:
    return [row for row in _list(table, key) if isinstance(row, dict)]


def _row(said: Any, keys: Sequence[str]) -> Row:
    """Only these, and of each only what is a text, a number, a yes or no, or a list of texts."""
    table = _table(said)
    return {key: _value(table[key]) for key in keys if key in table}


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return [one[:_LONGEST] for one in value[:_MOST_ROWS] if isinstance(one, str)]
    if isinstance(value, str):
        return value[:_LONGEST]
    return value if value is None or isinstance(value, bool | int | float) else None
