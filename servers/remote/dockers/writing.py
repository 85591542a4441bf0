"""The manifest of an archive: how everything of the engine is made anew, and where in the archive its content is.

It lies in the archive alone, root's alone: environments and options hold secrets. What the backup host's database keeps
is `actual`, which has neither.
"""

import os
import stat
import time
from typing import Any, Dict, List, NamedTuple, Optional

from .. import wire
from ..probes import docker as probe
from ..probes.base import Look
from . import reading
from .measuring import Counting
from .planned import Plan
from .quiesce import Finding, finding
from .reading import COMPOSE, Seen, labels_of
from .scope import Scope, by_name

FORMAT = 1
Row = Dict[str, Any]


class Made(NamedTuple):
    """Rows as the manifest has them: what took its time was done while everybody still ran."""

    engine: Row
    volumes: List[Row]
    binds: List[Row]
    images: List[Row]
    dumps: List[Row]
    undumped: List[Row]  # name of the container, reason
    quiesced: List[Row]


def engine(seen: Seen) -> Row:
    """The engine, and Compose as it is here."""
    return reading.engine_row(seen, probe._compose(Look({})))


def manifest(seen: Seen, plan: Plan, scope: Scope, made: Made) -> Row:
    """All of it, with `not_included`."""
    system = os.uname()
    there = by_name(seen)
    return {
        "format": FORMAT,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "hostname": system.nodename,
        "machine": system.machine,
        "engine": made.engine,
        "projects": _projects(seen, plan, scope, made.binds),
        "containers": [reading.container_row(there[name], seen, reading.is_file) for name in scope.containers],
        "volumes": made.volumes,
        "networks": [row for row in reading.network_rows(seen) if row["name"] in scope.networks],
        "images": made.images,
        "dumps": made.dumps,
        "binds": made.binds,
        "config_files": [path for path in plan.config_files if os.path.lexists(wire.raw(path))],
        "quiesced": made.quiesced,
        "not_included": _not_included(plan, made),
    }


def _projects(seen: Seen, plan: Plan, scope: Scope, binds: List[Row]) -> List[Row]:
    """Those that have a container in the archive, with what of them is in it."""
    rows = []
    for row in reading.project_rows(seen, reading.is_file):
        members = [name for name in row["containers"] if name in scope.containers]
        if not members:
            continue
        named = [*row["config_files"], *row["environment_files"]]
        named += [bind["source"] for bind in binds if bind["project"] == row["name"]]
        rows.append(
            dict(
                row,
                containers=members,
                volumes=[name for name in row["volumes"] if name in scope.volumes],
                networks=[name for name in row["networks"] if name in scope.networks],
                paths=_paths_of(row["working_dir"], named, plan),
            )
        )
    return rows


def _paths_of(directory: Optional[str], named: List[str], plan: Plan) -> List[str]:
    """Of what is read: its directory, and what it names elsewhere."""
    paths = [path for path in (directory, *named) if path and covered(path, plan)]
    paths += [path for path in (*plan.paths, *plan.binds) if directory and within(path, directory)]
    unique = list(dict.fromkeys(paths))
    return [path for path in unique if not any(other != path and within(path, other) for other in unique)]


def within(path: str, directory: str) -> bool:
    """Is it this directory, or in it?"""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def covered(path: str, plan: Plan) -> bool:
    """Does borg read it?"""
    return any(within(path, one) for one in (*plan.paths, *plan.binds, *plan.config_files))


def binds(seen: Seen, plan: Plan, scope: Scope, counting: Counting) -> List[Row]:
    """Places of the machine that containers see."""
    there = by_name(seen)
    users: Dict[str, List[str]] = {}
    for name in scope.containers:
        for mount in there[name].get("Mounts") or []:
            if mount.get("Type") == "bind" and mount.get("Source"):
                users.setdefault(str(mount["Source"]), []).append(name)
    return [_bind(source, [there[one] for one in users[source]], plan, counting) for source in sorted(users)]


def _bind(source: str, users: List[Row], plan: Plan, counting: Counting) -> Row:
    owners = [labels_of(said) for said in users if labels_of(said).get(COMPOSE + "project")]
    owner = owners[0] if owners else {}
    directory = owner.get(COMPOSE + "project.working_dir")
    kind = kind_of(source)
    reason = _reason(source, kind, plan)
    return {
        "source": source,
        "kind": kind,
        "containers": list(dict.fromkeys(map(reading.name_of, users))),
        "project": owner.get(COMPOSE + "project"),
        "inside": bool(directory) and within(source, str(directory)),
        "path": None if reason else source,
        "reason": reason,
        "size_bytes": None if reason else counting.place(source)["size_bytes"],
    }


def kind_of(path: str) -> str:
    """directory, file, socket, other or missing; where a link leads to."""
    try:
        mode = os.stat(wire.raw(path)).st_mode
    except OSError:
        return "missing"
    if stat.S_ISDIR(mode):
        return "directory"
    if stat.S_ISREG(mode):
        return "file"
    return "socket" if stat.S_ISSOCK(mode) else "other"


def _reason(source: str, kind: str, plan: Plan) -> str:
    if kind in ("socket", "missing"):
        return {"socket": "it is a socket", "missing": "it is not there"}[kind]
    return "" if covered(source, plan) else "it was not chosen"


def _not_included(plan: Plan, made: Made) -> List[Row]:
    left = [{"kind": "bind", "name": row["source"], "reason": row["reason"]} for row in made.binds if row["reason"]]
    left += [
        {"kind": "volume", "name": row["name"], "reason": row["problem"] or "it cannot be read"}
        for row in made.volumes
        if row["path"] is None
    ]
    left += [{"kind": "dump", "name": row["name"], "reason": row["reason"]} for row in made.undumped]
    left += [
        {"kind": "config", "name": path, "reason": "it is not there"}
        for path in plan.config_files
        if not os.path.lexists(wire.raw(path))
    ]
    return left


def findings(table: Row) -> List[Finding]:
    """What the outcome should tell of it."""
    told = []
    for row in table["volumes"]:
        if row["path"] is None:
            told.append(finding("docker_volume_unread", "volume_unread", row["name"], row["problem"] or ""))
        elif row["empty"]:
            text = "it is used by {} and empty" if row["used_by"] else "it is empty"
            message = text.format(", ".join(row["used_by"]))
            told.append(finding("docker_volume_empty", "volume_empty", row["name"], message))
    return told


def actual(table: Row) -> Row:
    """What is in the archive, without environments and options: the backup host's database keeps it."""
    return {
        "projects": _some(table["projects"], "name", "working_dir", "containers"),
        "containers": _some(table["containers"], "name", "project", "state", "image"),
        "volumes": _some(table["volumes"], "name", "driver", "anonymous", "project", "size_bytes", "path"),
        "networks": [row["name"] for row in table["networks"]],
        "images": [
            {"tags": row["tags"], "size_bytes": row["size_bytes"], "saved": row["stream"] is not None}
            for row in table["images"]
        ],
        "dumps": table["dumps"],
        "binds": [{"source": row["source"], "size_bytes": row["size_bytes"]} for row in table["binds"] if row["path"]],
        "configs": table["config_files"],
    }


def _some(rows: List[Row], *keys: str) -> List[Row]:
    return [{key: row[key] for key in keys} for row in rows]
