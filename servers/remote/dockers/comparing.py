"""What a restore made, beside what it had to make: bodies of containers, and how many entries were extracted.

Only names of fields are told, never what is in them.
"""

import os
from typing import Any, Dict, List

from .. import staging, tree, validate, wire
from . import bodies, exchanging, reading
from .engine import Engine

_MOST = 100000
Table = Dict[str, Any]


def compare(engine: Engine, wanted: Any) -> Table:
    """{"differs": {container: [field]}} for what `bodies.rewrite` answered for each. Raises Refused."""
    if not isinstance(wanted, dict) or not isinstance(wanted.get("containers"), list):
        raise wire.Refused("invalid", "there is nothing to compare with")
    seen = reading.read(engine)
    there = {reading.name_of(said): said for said in seen.containers}
    differs = {}
    for row in wanted["containers"]:
        name = validate.text(row.get("name"), "name", limit=255)
        if name not in there:
            differs[name] = ["name"]
            continue
        made = bodies.from_inspect(there[name], seen.names, seen.hostname)
        differs[name] = differences(row, made)
    return {"differs": differs}


def differences(wanted: Table, made: Table) -> List[str]:
    """Names of fields of the body, of its HostConfig and of its networks that are not as they were asked for."""
    body, new = wanted["body"], made["create"]
    found = [key for key in sorted(body) if key not in _APART and body[key] != new.get(key)]
    host, new_host = body.get("HostConfig") or {}, new.get("HostConfig") or {}
    for key in sorted(host):
        if key == "Mounts":
            same = _mounts(host[key], host[key]) == _mounts(new_host.get(key), host[key])
        else:
            same = (host[key] or None) == (new_host.get(key) or None)
        found += [] if same else ["HostConfig." + key]
    endpoints = dict(
        (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}, **(wanted.get("networks") or {})
    )
    for name in sorted(endpoints):
        if not _same_endpoint(endpoints[name], made["networks"].get(name)):
            found.append("Networks." + name)
    return found + ["Networks." + name for name in sorted(set(wanted.get("disconnect") or []) & set(made["networks"]))]


_APART = ("HostConfig", "NetworkingConfig")


def _mounts(rows: Any, wanted: Any) -> List[Table]:
    """A volume without a name gets one from the engine: that is no difference."""
    nameless = {row.get("Target") for row in wanted or [] if row.get("Type") == "volume" and not row.get("Source")}
    found = [
        {key: row[key] for key in row if key != "Source" or row.get("Target") not in nameless} for row in rows or []
    ]
    return sorted(found, key=lambda row: str(row.get("Target")))


def _same_endpoint(wanted: Table, made: Any) -> bool:
    if made is None:
        return False
    return all(value == made.get(key) for key, value in wanted.items() if key != "MacAddress" and value)


def staged(args: Table, control: wire.Control) -> Table:
    """{"entries": how many were extracted} of `sources` below the private directory of (`target`, `token`)."""
    root = staging.open_staging({"target": args.get("target"), "token": args.get("token")})
    total = 0
    try:
        for text in validate.texts(args.get("sources"), "sources", _MOST):
            path = validate.relative(text.lstrip("/"), "sources")
            try:
                directory, name = exchanging._above_below(path, root)
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
