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
from . import bodies, quiesce
from .measuring import Counting
from .planned import Plan
from .quiesce import LABEL, Finding, Inspected, finding, labels
from .seeing import Scope, Seen

FORMAT = 1
_NETWORK = (
    "Driver",
    "Internal",
    "Attachable",
    "Ingress",
    "ConfigOnly",
    "EnableIPv4",
    "EnableIPv6",
    "Options",
    "Labels",
)
Row = Dict[str, Any]


class Made(NamedTuple):
    """What was done before the manifest is written: rows of volumes, images and dumps, as it has them."""

    volumes: List[Row]
    images: List[Row]
    dumps: List[Row]
    quiesced: List[Row]


def manifest(seen: Seen, plan: Plan, scope: Scope, made: Made, counting: Counting) -> Row:
    """All of it, with `not_included`."""
    system = os.uname()
    binds = _binds(seen, plan, scope, counting)
    return {
        "format": FORMAT,
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "hostname": system.nodename,
        "machine": system.machine,
        "engine": engine(seen),
        "projects": _projects(seen, plan, scope, binds),
        "containers": [_container(name, seen) for name in scope.containers],
        "volumes": made.volumes,
        "networks": [_network(name, seen) for name in scope.networks],
        "images": made.images,
        "dumps": made.dumps,
        "binds": binds,
        "config_files": [path for path in plan.config_files if os.path.lexists(wire.raw(path))],
        "quiesced": made.quiesced,
        "not_included": _not_included(plan, binds, made),
    }


def engine(seen: Seen) -> Row:
    """The engine itself."""
    info = seen.info
    return {
        "version": seen.version,
        "api_version": seen.api,
        "data_root": info.get("DockerRootDir"),
        "storage_driver": info.get("Driver"),
        "swarm": (info.get("Swarm") or {}).get("LocalNodeState") == "active",
        "compose": probe._compose(Look({})),
    }


def _container(name: str, seen: Seen) -> Row:
    said = seen.containers[name]
    found, now = labels(said), quiesce.state(said)
    number = found.get(LABEL + "container-number", "")
    known = probe.container(said, lambda path: os.path.isfile(wire.raw(path)))
    return {
        "name": name,
        "id": said["Id"],
        "project": known["project"],
        "service": known["service"],
        "number": int(number) if number.isdigit() else None,
        "oneoff": found.get(LABEL + "oneoff", "").lower() == "true",
        "state": known["state"],
        "health": (now.get("Health") or {}).get("Status"),
        "started_at": _moment(now.get("StartedAt")),
        "restart": known["restart"],
        "image": known["image"],
        "image_id": said.get("Image"),
        "stack": _stack(found),
        **_body(said, seen),
        "depends_on": [one for one in quiesce.needed(said, seen.containers) if one != name],
        "dockerfile": known["dockerfile"],
    }


def _body(said: Inspected, seen: Seen) -> Row:
    """ "create", "networks", "mounts": without what the engine chose by itself, others by their names."""
    names = {str(other["Id"]): name for name, other in seen.containers.items()}
    names.update({str(network["Id"]): name for name, network in seen.networks.items()})
    found: Row = bodies.from_inspect(said, names, str(seen.info.get("Name") or ""))
    return found


def _stack(found: Dict[str, str]) -> Optional[Row]:
    """Of a task of Swarm, the service that makes it."""
    if not any(key.startswith(quiesce.SWARM) for key in found):
        return None
    stack = found.get("com.docker.stack.namespace")
    return {"service": found.get(quiesce.SWARM + "service.name"), "stack": stack}


def _moment(text: Any) -> Optional[str]:
    """The engine's word for never is the year 1."""
    return None if not text or str(text).startswith("0001-") else str(text)


def _network(name: str, seen: Seen) -> Row:
    said = seen.networks[name]
    found = said.get("Labels") or {}
    create = {key: said[key] for key in _NETWORK if said.get(key) is not None}
    create["IPAM"] = said.get("IPAM") or {}
    create["Scope"] = said.get("Scope")
    if (said.get("ConfigFrom") or {}).get("Network"):
        create["ConfigFrom"] = said["ConfigFrom"]
    project = found.get(LABEL + "project")
    used = any(labels(one).get(LABEL + "project") and name in _networks_of(one) for one in seen.containers.values())
    return {
        "name": name,
        "create": create,
        "project": project,
        "logical": found.get(LABEL + "network"),
        # A project uses it that did not make it.
        "external": project is None and used,
    }


def _networks_of(said: Inspected) -> Dict[str, Any]:
    found: Dict[str, Any] = (said.get("NetworkSettings") or {}).get("Networks") or {}
    return found


def _projects(seen: Seen, plan: Plan, scope: Scope, binds: List[Row]) -> List[Row]:
    inside = [seen.containers[name] for name in scope.containers]
    rows = probe.projects(inside, lambda path: os.path.isfile(wire.raw(path)))
    found = []
    for row in rows:
        name = row["name"]
        members = [one for one in scope.containers if labels(seen.containers[one]).get(LABEL + "project") == name]
        used = {mount.get("Name") for one in members for mount in seen.containers[one].get("Mounts") or []}
        joined = {network for one in members for network in _networks_of(seen.containers[one])}
        named = [*row["config_files"], *row["environment_files"]]
        named += [bind["source"] for bind in binds if bind["project"] == name]
        found.append(
            {
                "name": name,
                "working_dir": row["working_dir"],
                "config_files": row["config_files"],
                "environment_files": row["environment_files"],
                "services": row["services"],
                "containers": members,
                "volumes": [one for one in scope.volumes if one in used or _project_of(seen.volumes[one]) == name],
                "networks": [one for one in scope.networks if one in joined or _project_of(seen.networks[one]) == name],
                "paths": _paths_of(row["working_dir"], named, plan),
            }
        )
    return found


def _project_of(said: Dict[str, Any]) -> Optional[str]:
    found: Optional[str] = (said.get("Labels") or {}).get(LABEL + "project")
    return found


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


def _binds(seen: Seen, plan: Plan, scope: Scope, counting: Counting) -> List[Row]:
    users: Dict[str, List[str]] = {}
    for name in scope.containers:
        for mount in seen.containers[name].get("Mounts") or []:
            if mount.get("Type") == "bind" and mount.get("Source"):
                users.setdefault(str(mount["Source"]), []).append(name)
    rows = []
    for source in sorted(users):
        owners = [labels(seen.containers[one]) for one in users[source]]
        project = next((one[LABEL + "project"] for one in owners if one.get(LABEL + "project")), None)
        directory = next((one.get(LABEL + "project.working_dir") for one in owners if project is not None), None)
        kind = kind_of(source)
        reason = _reason(source, kind, plan)
        rows.append(
            {
                "source": source,
                "kind": kind,
                "containers": list(dict.fromkeys(users[source])),
                "project": project,
                "inside": bool(directory) and within(source, str(directory)),
                "path": None if reason else source,
                "reason": reason,
                "size_bytes": None if reason else counting.place(source)["size_bytes"],
            }
        )
    return rows


def is_anonymous(volume: Dict[str, Any]) -> bool:
    """Did the engine name it?"""
    return probe._is_anonymous(volume)


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


def _not_included(plan: Plan, binds: List[Row], made: Made) -> List[Row]:
    left = [{"kind": "bind", "name": row["source"], "reason": row["reason"]} for row in binds if row["reason"]]
    left += [
        {"kind": "volume", "name": row["name"], "reason": row["problem"] or "it cannot be read"}
        for row in made.volumes
        if row["path"] is None
    ]
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

    def some(rows: List[Row], *keys: str) -> List[Row]:
        return [{key: row[key] for key in keys} for row in rows]

    return {
        "projects": some(table["projects"], "name", "working_dir", "containers"),
        "containers": some(table["containers"], "name", "project", "state", "image"),
        "volumes": some(table["volumes"], "name", "driver", "anonymous", "project", "size_bytes", "path"),
        "networks": [row["name"] for row in table["networks"]],
        "images": [
            {"tags": row["tags"], "size_bytes": row["size_bytes"], "saved": row["stream"] is not None}
            for row in table["images"]
        ],
        "dumps": table["dumps"],
        "binds": [{"source": row["source"], "size_bytes": row["size_bytes"]} for row in table["binds"] if row["path"]],
        "configs": table["config_files"],
    }
