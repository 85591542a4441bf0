"""All that an engine says of itself, asked once before anything is touched."""

from typing import Any, Dict, List, NamedTuple, Optional

from .. import wire
from .engine import Engine, part
from .planned import Plan
from .quiesce import LABEL, Finding, Inspected, finding, labels, name_of

Named = Dict[str, Dict[str, Any]]


class Seen(NamedTuple):
    """Containers, volumes and networks by name, as `inspect` says them; images by id, those that containers have."""

    version: str
    api: str
    info: Dict[str, Any]
    containers: Dict[str, Inspected]
    volumes: Named
    networks: Named
    images: Named


def look(engine: Engine) -> Seen:
    """Raises Refused with the engine's words."""
    containers: Dict[str, Inspected] = {}
    for listed in engine.get("/containers/json", all=True):
        said = engine.container(str(listed["Id"]))
        if said is not None:  # None: it was removed meanwhile
            containers[name_of(said)] = said
    volumes = {str(one["Name"]): one for one in (engine.get("/volumes") or {}).get("Volumes") or []}
    networks = {str(one["Name"]): one for one in engine.get("/networks") or []}
    images = {}
    for identity in {str(said.get("Image")) for said in containers.values()}:
        found = engine.find("/images/{}/json".format(part(identity)))
        if found is not None:
            images[identity] = found
    api = "{}.{}".format(*engine.api)
    return Seen(engine.version, api, engine.get("/info"), containers, volumes, networks, images)


class Scope(NamedTuple):
    """What the archive is to hold, by the engine's own names."""

    containers: List[str]
    volumes: List[str]
    networks: List[str]


def scope(plan: Plan, seen: Seen) -> "tuple[Scope, List[Finding]]":
    """What of the plan is there, and what is not. Raises Refused for a volume's name that means several."""
    told = []
    containers = [name for name in plan.containers if name in seen.containers]
    for name in plan.containers:
        if name not in seen.containers:
            told.append(finding("docker_left_out", "container_missing", name, "there is no such container any more"))
    volumes = []
    for name in plan.volumes:
        found = volume_of(name, plan, seen)
        if found is None:
            told.append(finding("docker_volume_unread", "volume_missing", name, "there is no such volume"))
        else:
            volumes.append(found)
    wanted = set(seen.networks) - {"bridge", "host", "none"} if plan.networks is None else set(plan.networks)
    networks = sorted(name for name in wanted if name in seen.networks)
    return Scope(containers, list(dict.fromkeys(volumes)), networks), told


def volume_of(name: str, plan: Plan, seen: Seen) -> Optional[str]:
    """The volume of this name, or the one that a Compose file calls so: the engine's has the project's name before it.

    Nothing is ever made. Raises Refused when several projects have one.
    """
    if name in seen.volumes:
        return name
    projects = {
        labels(seen.containers[one]).get(LABEL + "project") for one in plan.containers if one in seen.containers
    }
    called = {
        one: (volume.get("Labels") or {}).get(LABEL + "project")
        for one, volume in sorted(seen.volumes.items())
        if (volume.get("Labels") or {}).get(LABEL + "volume") == name
    }
    near = [one for one, project in called.items() if project in projects]
    found = near if len(near) == 1 else list(called)
    if len(found) > 1:
        text = "“{}” is the name of several volumes: {}; choose one by its whole name"
        raise wire.Refused("invalid", text.format(name, ", ".join(found)))
    return found[0] if found else None
