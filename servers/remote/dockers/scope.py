"""What of a plan is there: the engine's own names of what the archive is to hold."""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from .. import wire
from .planned import Plan
from .quiesce import Finding, finding
from .reading import COMPOSE, Seen, labels_of, name_of

_ENGINES_OWN = ("bridge", "host", "none")
Table = Dict[str, Any]


class Scope(NamedTuple):
    """Names, in the plan's order."""

    containers: List[str]
    volumes: List[str]
    networks: List[str]


def by_name(seen: Seen) -> Dict[str, Table]:
    """Every container of the engine."""
    return {name_of(said): said for said in seen.containers}


def of(plan: Plan, seen: Seen) -> Tuple[Scope, List[Finding]]:
    """What of the plan is there, and what is not. Raises Refused for a volume's name that means several."""
    told = []
    there = by_name(seen)
    for name in plan.containers:
        if name not in there:
            told.append(finding("docker_left_out", "container_missing", name, "there is no such container any more"))
    volumes = []
    for name in plan.volumes:
        found = volume_of(name, plan, seen)
        if found is None:
            told.append(finding("docker_volume_unread", "volume_missing", name, "there is no such volume"))
        else:
            volumes.append(found)
    known = [str(one["Name"]) for one in seen.networks if one["Name"] not in _ENGINES_OWN]
    networks = [name for name in known if plan.networks is None or name in plan.networks]
    return Scope([name for name in plan.containers if name in there], list(dict.fromkeys(volumes)), networks), told


def volume_of(name: str, plan: Plan, seen: Seen) -> Optional[str]:
    """The volume of this name, or the one that a Compose file calls so: the engine's has the project's name before it.

    Nothing is ever made. Raises Refused when several projects have one.
    """
    if any(one["Name"] == name for one in seen.volumes):
        return name
    there = by_name(seen)
    projects = {labels_of(there[one]).get(COMPOSE + "project") for one in plan.containers if one in there}
    labels = {str(one["Name"]): one.get("Labels") or {} for one in seen.volumes}
    called = [one for one in sorted(labels) if labels[one].get(COMPOSE + "volume") == name]
    near = [one for one in called if labels[one].get(COMPOSE + "project") in projects]
    found = near if len(near) == 1 else called
    if len(found) > 1:
        text = "“{}” is the name of several volumes: {}; choose one by its whole name"
        raise wire.Refused("invalid", text.format(name, ", ".join(found)))
    return found[0] if found else None
