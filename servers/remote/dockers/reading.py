"""What an engine has: rows for the manifest of a backup and for the verb's inventory, from the same answers.

`read` asks everything once; the functions below it are pure. Rows of a manifest hold environments and the options of
drivers and are for the archive alone; `inventory_of` leaves both out.
"""

import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from .. import wire
from ..probes import docker_said as probe
from ..probes.docker_disk import plainly_a_file, uncounted
from . import bodies
from .engine import Engine

COMPOSE = bodies.COMPOSE
SWARM = "com.docker.swarm."
OURS = probe.OURS
_NO_TIME = "0001-01-01T00:00:00Z"
_NETWORK = ("Driver", "Internal", "Attachable", "EnableIPv6", "IPAM", "Options", "Labels", "Scope", "ConfigOnly")
Table = Dict[str, Any]


class Seen(NamedTuple):
    """The engine's own answers: `info`, and what `inspect` says of everything. `names`: {id: name}."""

    version: str
    api_version: str
    info: Table
    containers: List[Table]
    volumes: List[Table]
    networks: List[Table]
    images: List[Table]
    names: Dict[str, str]

    @property
    def hostname(self) -> str:
        """The machine's own name."""
        return str(self.info.get("Name") or "")


def read(engine: Engine) -> Seen:
    """Ask for everything. What vanishes meanwhile is left out. Raises Refused."""
    info = engine.get("/info")
    listed = engine.get("/containers/json", all=True)
    inspected = [engine.container(one["Id"]) for one in listed]
    networks = [engine.find("/networks/" + one["Id"]) for one in engine.get("/networks")]
    volumes = engine.get("/volumes").get("Volumes") or []
    images = engine.get("/images/json")
    containers = [said for said in inspected if said is not None]
    names = {said["Id"]: name_of(said) for said in containers}
    names.update({said["Id"]: said["Name"] for said in networks if said is not None})
    spoken = "{}.{}".format(*engine.api)
    found = [said for said in networks if said is not None]
    return Seen(engine.version, spoken, info, containers, volumes, found, images, names)


def engine_row(seen: Seen, compose: Optional[Table]) -> Table:
    """The engine itself. `compose`: {"command", "version"} or None."""
    return {
        "version": seen.version,
        "api_version": seen.api_version,
        "data_root": seen.info.get("DockerRootDir"),
        "storage_driver": seen.info.get("Driver"),
        "swarm": (seen.info.get("Swarm") or {}).get("LocalNodeState") == "active",
        "compose": compose,
    }


def name_of(said: Table) -> str:
    """The name of an inspected container."""
    return str(said["Name"]).lstrip("/")


def labels_of(said: Table) -> Dict[str, str]:
    """The labels of an inspected container."""
    return (said.get("Config") or {}).get("Labels") or {}


def is_ours(said: Table) -> bool:
    """A container that this product runs beside those that are there; what a restore set aside is told to it."""
    return probe.is_ours(said)


def to_be_kept(seen: Seen) -> Seen:
    """What a backup may hold: without our own containers, also those that a restore has set aside."""
    theirs = [said for said in seen.containers if probe.is_to_be_kept(said)]
    return seen._replace(containers=theirs)


def container_row(said: Table, seen: Seen, is_file: Callable[[str], bool]) -> Table:
    """A manifest's row of one container, with its body: it holds the environment."""
    labels = labels_of(said)
    state = said.get("State") or {}
    started = state.get("StartedAt")
    number = labels.get(COMPOSE + "container-number", "")
    service = labels.get(SWARM + "service.name")
    row = {
        "name": name_of(said),
        "id": said["Id"],
        "project": labels.get(COMPOSE + "project"),
        "service": labels.get(COMPOSE + "service"),
        "number": int(number) if re.fullmatch(r"[0-9]{1,9}", number) else None,
        "oneoff": labels.get(COMPOSE + "oneoff", "").lower() == "true",
        "state": state.get("Status"),
        "health": (state.get("Health") or {}).get("Status"),
        "started_at": None if not started or started == _NO_TIME else started,
        "restart": ((said.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no",
        "image": (said.get("Config") or {}).get("Image"),
        "image_id": said.get("Image"),
        "ours": "PHPBORG_VAR" in probe.variables_of(said),  # phpBorg itself runs in it
        "stack": {"service": service, "id": labels.get(SWARM + "service.id")} if service else None,
        "dockerfile": probe.container(said, uncounted(is_file))["dockerfile"],
        "depends_on": depends_on(said, seen),
    }
    return dict(row, **bodies.from_inspect(said, seen.names, seen.hostname))


def depends_on(said: Table, seen: Seen) -> List[str]:
    """Names of containers that must run before this one: by Compose's label, links, and what it shares."""
    labels, host = labels_of(said), said.get("HostConfig") or {}
    project = labels.get(COMPOSE + "project")
    services = {one.partition(":")[0] for one in labels.get(COMPOSE + "depends_on", "").split(",") if one}
    found = [
        name_of(other)
        for other in seen.containers
        if labels_of(other).get(COMPOSE + "project") == project
        and labels_of(other).get(COMPOSE + "service") in services
    ]
    references = [str(link).partition(":")[0].lstrip("/") for link in host.get("Links") or []]
    for one in ((said.get("NetworkSettings") or {}).get("Networks") or {}).values():
        references += [str(link).partition(":")[0].lstrip("/") for link in (one or {}).get("Links") or []]
    references += [str(one).partition(":")[0] for one in host.get("VolumesFrom") or []]
    for key in ("NetworkMode", "IpcMode", "PidMode"):
        kind, _, name = str(host.get(key) or "").partition(":")
        references += [name] if kind == "container" and name else []
    known = {name_of(other) for other in seen.containers}
    named = [seen.names.get(one, one) for one in references]
    return sorted({*found, *(name for name in named if name in known)} - {name_of(said)})


def project_rows(seen: Seen, is_file: Callable[[str], bool]) -> List[Table]:
    """Compose projects with the names of what they have; `paths` is for whoever decides what is read."""
    rows = []
    for project in probe.projects(seen.containers, uncounted(is_file)):
        name = project["name"]
        own = [said for said in seen.containers if labels_of(said).get(COMPOSE + "project") == name]
        used = {mount["Name"] for said in own for mount in said.get("Mounts") or [] if mount.get("Name")}
        labelled = {one["Name"] for one in seen.volumes if (one.get("Labels") or {}).get(COMPOSE + "project") == name}
        joined = {network for said in own for network in (said.get("NetworkSettings") or {}).get("Networks") or {}}
        joined |= {one["Name"] for one in seen.networks if (one.get("Labels") or {}).get(COMPOSE + "project") == name}
        rows.append(
            {
                "name": name,
                "working_dir": project["working_dir"],
                "config_files": project["config_files"],
                "environment_files": project["environment_files"],
                "services": project["services"],
                "containers": sorted(map(name_of, own)),
                "volumes": sorted(used | labelled),
                "networks": sorted(joined - set(bodies.ALWAYS)),
            }
        )
    return rows


def volume_rows(seen: Seen) -> List[Table]:
    """A manifest's rows without what was read of each; `options` are the real ones and may hold passwords."""
    users: Dict[str, List[str]] = {}
    projects: Dict[str, str] = {}
    for said in seen.containers:
        for mount in said.get("Mounts") or []:
            if mount.get("Type") == "volume" and mount.get("Name"):
                users.setdefault(mount["Name"], []).append(name_of(said))
                project = labels_of(said).get(COMPOSE + "project")
                if project:
                    projects.setdefault(mount["Name"], project)
    return [
        {
            "name": one["Name"],
            "driver": one.get("Driver"),
            "options": one.get("Options") or {},
            "labels": one.get("Labels") or {},
            "scope": one.get("Scope"),
            "anonymous": probe.is_anonymous(one),
            "project": (one.get("Labels") or {}).get(COMPOSE + "project")
            or (projects.get(one["Name"]) if probe.is_anonymous(one) else None),
            "logical": (one.get("Labels") or {}).get(COMPOSE + "volume"),
            "used_by": sorted(set(users.get(one["Name"], []))),
            "mountpoint": one.get("Mountpoint") or None,
        }
        for one in seen.volumes
        if not any(label in (one.get("Labels") or {}) for label in OURS)
    ]


def network_rows(seen: Seen) -> List[Table]:
    """A manifest's rows of the networks that somebody made.

    `assigned`: the engine seems to have chosen the subnets itself, so another engine may choose others.
    """
    rows = []
    for one in seen.networks:
        if one["Name"] in bodies.ALWAYS or one.get("Ingress") or one["Name"] == "docker_gwbridge":
            continue
        create = {key: one[key] for key in _NETWORK if one.get(key) not in (None, False)}
        create["IPAM"] = {key: value for key, value in (one.get("IPAM") or {}).items() if value is not None}
        if (one.get("ConfigFrom") or {}).get("Network"):
            create["ConfigFrom"] = one["ConfigFrom"]
        labels = one.get("Labels") or {}
        if any(label in labels for label in OURS):
            continue
        project = labels.get(COMPOSE + "project")
        rows.append(
            {
                "name": one["Name"],
                "create": create,
                "project": project,
                "logical": labels.get(COMPOSE + "network"),
                "external": project is None and any(_joined(said, one["Name"]) for said in seen.containers),
                "assigned": _is_assigned(one, seen),
            }
        )
    return rows


def _joined(said: Table, network: str) -> bool:
    """A container of a project that is in this network."""
    networks = (said.get("NetworkSettings") or {}).get("Networks") or {}
    return COMPOSE + "project" in labels_of(said) and network in networks


def _is_assigned(network: Table, seen: Seen) -> bool:
    """Every block is as the engine chooses them, and nobody has an address of his own choice in it."""
    blocks = (network.get("IPAM") or {}).get("Config") or []
    pools = seen.info.get("DefaultAddressPools") or []
    sizes = {int(pool["Size"]) for pool in pools if pool.get("Size")} or {16, 20}
    for said in seen.containers:
        one = ((said.get("NetworkSettings") or {}).get("Networks") or {}).get(network["Name"]) or {}
        if any((one.get("IPAMConfig") or {}).values()):
            return False
    for block in blocks:
        address, _, size = str(block.get("Subnet") or "").partition("/")
        if set(block) - {"Subnet", "Gateway"} or not block.get("Gateway") or not size.isdigit():
            return False
        # Its first address is the gateway: with another one somebody chose.
        first = re.sub(r"(\d+)$", lambda last: str(int(last.group(1)) + 1), address)
        if ":" in address or int(size) not in sizes or str(block["Gateway"]).partition("/")[0] != first:
            return False
    return True


def image_rows(seen: Seen) -> List[Table]:
    """All images that have a name or a user."""
    rows = []
    for one in seen.images:
        users = sorted(name_of(said) for said in seen.containers if said.get("Image") == one["Id"])
        tags = [tag for tag in one.get("RepoTags") or [] if not tag.startswith("<none>")]
        if tags or users or one.get("RepoDigests"):
            digests = [text for text in one.get("RepoDigests") or [] if not text.startswith("<none>")]
            row = {"id": one["Id"], "tags": tags, "digests": digests, "size_bytes": one.get("Size"), "used_by": users}
            rows.append(row)
    return rows


def ports_of(said: Table) -> List[Table]:
    """[{"ip", "port", "protocol", "container_port"}] that it has, or will have when it is started.

    A port of a range, or one that the engine chooses at each start, is told only while it is taken.
    """
    taken = (said.get("NetworkSettings") or {}).get("Ports") or {}
    running = (said.get("State") or {}).get("Running")
    asked = taken if running else (said.get("HostConfig") or {}).get("PortBindings") or {}
    rows = []
    for inside, bindings in sorted(asked.items()):
        number, _, protocol = inside.partition("/")
        for binding in bindings or []:
            port = str(binding.get("HostPort") or "")
            if port.isdigit() and int(port) and number.isdigit():
                row = {"ip": binding.get("HostIp") or "0.0.0.0", "port": int(port), "protocol": protocol or "tcp"}
                rows.append(dict(row, container_port=int(number)))
    return rows


def inventory_of(seen: Seen, is_file: Callable[[str], bool]) -> Table:
    """Containers, volumes, networks and images as they are now: no environment, no value of a driver's option."""
    return {
        "containers": [_present(said, seen, is_file) for said in seen.containers if not is_ours(said)],
        "volumes": [_without_values(row) for row in volume_rows(seen)],
        "networks": [_network_there(one, seen) for one in seen.networks],
        "images": [{key: row[key] for key in ("id", "tags", "digests", "size_bytes")} for row in image_rows(seen)],
        "projects": project_rows(seen, is_file),
    }


def _present(said: Table, seen: Seen, is_file: Callable[[str], bool]) -> Table:
    row = container_row(said, seen, is_file)
    del row["create"]
    networks: Sequence[str] = sorted(row["networks"])
    labels = {key: value for key, value in labels_of(said).items() if key.startswith((COMPOSE, SWARM))}
    auto_remove = bool((said.get("HostConfig") or {}).get("AutoRemove"))
    return dict(row, networks=networks, ports=ports_of(said), labels=labels, auto_remove=auto_remove)


def _without_values(row: Table) -> Table:
    shown = {key: probe.without_secrets(key, value) for key, value in row["options"].items()}
    return dict(row, options=shown, option_names=sorted(row["options"]))


def _network_there(one: Table, seen: Seen) -> Table:
    blocks = (one.get("IPAM") or {}).get("Config") or []
    return {
        "name": one["Name"],
        "id": one["Id"],
        "driver": one.get("Driver"),
        "subnets": [block["Subnet"] for block in blocks if block.get("Subnet")],
        "internal": bool(one.get("Internal")),
        "attachable": bool(one.get("Attachable")),
        "labels": one.get("Labels") or {},
        "containers": sorted(
            name_of(said)
            for said in seen.containers
            if one["Name"] in ((said.get("NetworkSettings") or {}).get("Networks") or {})
        ),
    }


def is_file(path: str) -> bool:
    """Is there a file at this path of the machine?"""
    return plainly_a_file(path)


def raw(path: str) -> bytes:
    """A path that the engine or a label names."""
    return wire.raw(path)
