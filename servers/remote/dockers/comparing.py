"""What a restore made, beside what it had to make: bodies of containers, and how many entries were extracted.

Only names of fields are told, never what is in them.
"""

import os
from typing import Any, Dict, List

from .. import staging, tree, validate, wire
from . import altered, below, bodies, reading
from .engine import Engine

_MOST = 100000
Table = Dict[str, Any]


def compare(engine: Engine, wanted: Any) -> Table:
    """{"differs": {container: [field]}, "left": {container: [field]}} for what `bodies.rewrite` answered for each.

    `left`: limits that this engine does not have and made nothing of. Raises Refused.
    """
    if not isinstance(wanted, dict) or not isinstance(wanted.get("containers"), list):
        raise wire.Refused("invalid", "there is nothing to compare with")
    seen = reading.read(engine)
    there = {reading.name_of(said): said for said in seen.containers}
    differs: Dict[str, List[str]] = {}
    left: Dict[str, List[str]] = {}
    for row in wanted["containers"]:
        name = validate.text(row.get("name"), "name", limit=255)
        if name not in there:
            differs[name] = ["name"]
            continue
        made = bodies.from_inspect(there[name], seen.names, seen.hostname)
        differs[name] = differences(row, made)
        left[name] = left_away(row, made)
    return {"differs": differs, "left": {name: fields for name, fields in left.items() if fields}}


def differences(wanted: Table, made: Table) -> List[str]:
    """Names of fields of the body, of its HostConfig and of its networks that are not as they were asked for."""
    body, new = wanted["body"], made["create"]
    found = [key for key in sorted(body) if key not in _APART and not altered.is_same(key, body[key], new.get(key))]
    if "MacAddress" in body and not _same_address(body["MacAddress"], made):
        found.append("MacAddress")
    host, new_host = body.get("HostConfig") or {}, new.get("HostConfig") or {}
    for key in sorted(host):
        asked, got = host[key], new_host.get(key)
        if key == "Mounts":
            asked, got = _mounts(asked, asked), _mounts(got, asked)
        if not altered.is_same(key, asked, got) and not altered.is_left_away(key, asked, got):
            found.append("HostConfig." + key)
    endpoints = dict(
        (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}, **(wanted.get("networks") or {})
    )
    for name in sorted(endpoints):
        there = made["networks"].get(name)
        if there is None or not altered.has_all(endpoints[name], there):
            found.append("Networks." + name)
    return found + ["Networks." + name for name in sorted(set(wanted.get("disconnect") or []) & set(made["networks"]))]


def left_away(wanted: Table, made: Table) -> List[str]:
    """Names of the limits that were asked for and that the engine made nothing of."""
    host, new = wanted["body"].get("HostConfig") or {}, made["create"].get("HostConfig") or {}
    return ["HostConfig." + key for key in sorted(host) if altered.is_left_away(key, host[key], new.get(key))]


_APART = ("HostConfig", "NetworkingConfig", "MacAddress")


def _same_address(wanted: Any, made: Table) -> bool:
    """Newer engines do not tell the card's address among the container's own settings: then nobody knows another."""
    told = made["create"].get("MacAddress")
    return not wanted or not told or str(told).lower() == str(wanted).lower()


def _mounts(rows: Any, wanted: Any) -> List[Table]:
    """A volume without a name gets one from the engine: that is no difference."""
    nameless = {row.get("Target") for row in wanted or [] if row.get("Type") == "volume" and not row.get("Source")}
    found = [
        {key: row[key] for key in row if key != "Source" or row.get("Target") not in nameless} for row in rows or []
    ]
    return sorted(found, key=lambda row: str(row.get("Target")))


def staged(args: Table, control: wire.Control) -> Table:
    """{"entries": how many were extracted} of `sources` below the private directory of (`target`, `token`)."""
    root = staging.open_staging({"target": args.get("target"), "token": args.get("token")})
    total = 0
    try:
        for text in validate.texts(args.get("sources"), "sources", _MOST):
            path = validate.relative(text.lstrip("/"), "sources")
            try:
                directory, name = below.above_below(path, root)
            except wire.Refused as refusal:
                if refusal.code != "missing":
                    raise
                continue
            try:
                if tree.look(name, directory) is not None:
                    total += tree.count(name, directory, control)
            finally:
                os.close(directory)
    finally:
        os.close(root)
    return {"entries": total}
