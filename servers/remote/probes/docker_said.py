"""What the answers of Docker's engine mean: containers, Compose projects, volumes, networks and images.

Pure: what is on the disk is asked of `Disk`. Never what is in an environment; the names of its variables only tell
which database an image was made for.
"""

import os
import re
from typing import Any, Dict, List, Optional

from .docker_disk import Disk

_LABEL = "com.docker.compose."
# What other programs of ours put beside containers: no part of what is there.
OURS = ("phpborg.session", "phpborg.docker", "phpborg.drill")
_DRILL_LETTERS = 8
# Labels that mean something here.
_MEANT = (_LABEL, "com.docker.swarm.", "phpborg.")
# Of them, those that no image has of Compose.
_MARKS = ("config-hash", "container-number", "oneoff", "project.config_files", "project.working_dir")
# How a restore calls a container that it has set aside.
_ASIDE = re.compile(r"\.phpborg-[0-9A-Za-z]{8}\Z")
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
_SECRET = re.compile(r"pass(word|wd|phrase)?$|secret|token|key$", re.IGNORECASE)
_MOST_NAMES = 200
# Official images say by a variable of this name what they hold; those made from them say it too.
_VARIABLES = {
    "PG_MAJOR": "postgresql",
    "MYSQL_MAJOR": "mysql",
    "MARIADB_VERSION": "mysql",
    "MONGO_MAJOR": "mongodb",
    "MONGO_VERSION": "mongodb",
}
_IMAGES = {
    "postgresql": {"postgres", "postgresql", "postgis", "timescaledb", "timescaledb-ha", "pgvector"},
    "mysql": {"mysql", "mysql-server", "mariadb", "percona", "percona-server"},
    "mongodb": {"mongo", "mongodb", "mongodb-community-server", "percona-server-mongodb"},
}
_PROGRAMS = {"postgres": "postgresql", "mysqld": "mysql", "mariadbd": "mysql", "mongod": "mongodb"}
# These have a client of a database in their image, but no server.
_NO_SERVERS = re.compile(r"exporter|express|admin|backup|client|operator|pooler|bouncer|proxy", re.IGNORECASE)


def labels_of(said: Dict[str, Any]) -> Dict[str, str]:
    """The labels of an inspected container."""
    return (said.get("Config") or {}).get("Labels") or {}


def asks_its_image(said: Dict[str, Any]) -> bool:
    """Has it labels that mean something here, and that its image may have brought?"""
    return any(key.startswith(_MEANT) for key in labels_of(said))


def own_labels(said: Dict[str, Any], image: Optional[Dict[str, Any]]) -> Dict[str, Any]:
    """The inspected container without labels that its image has brought: who builds an image says nothing about here.

    `image`: inspected, or None. Compose labels the images that it builds like their containers; what only a container
    can have tells these from one that an image labels.
    """
    brought = ((image or {}).get("Config") or {}).get("Labels") or {}
    labels = labels_of(said)
    same = {key for key, value in labels.items() if key.startswith(_MEANT) and brought.get(key) == value}
    if any(_LABEL + mark in labels and _LABEL + mark not in same for mark in _MARKS):
        same = {key for key in same if not key.startswith(_LABEL)}
    kept = {key: value for key, value in labels.items() if key not in same}
    return dict(said, Config=dict(said["Config"], Labels=kept)) if same else said


def is_aside(name: str) -> bool:
    """A container that a restore keeps for its rollback: it is there until the window ends, and never runs."""
    return _ASIDE.search(name) is not None


def is_ours(said: Dict[str, Any]) -> bool:
    """An inspected container that this product runs beside the others: by its label, and a name that goes with it.

    A label alone is anybody's, and would hide a container from every backup.
    """
    name = str(said.get("Name") or "").lstrip("/")
    labels = labels_of(said)
    for token in (labels[label] for label in OURS if labels.get(label)):
        if name.startswith("phpborg-{}-".format(token)):
            return True
    drill = labels.get("phpborg.drill") or ""
    return len(drill) >= _DRILL_LETTERS and "phpborg-drill-" + drill[:_DRILL_LETTERS].lower() in name


def is_to_be_kept(said: Dict[str, Any]) -> bool:
    """May an inspected container be part of a backup? None of ours is, nor what a restore has set aside."""
    return not is_ours(said) and not is_aside(str(said.get("Name") or "").lstrip("/"))


def container(said: Dict[str, Any], disk: Disk) -> Dict[str, Any]:
    """What `GET /containers/ID/json` says of one container."""
    labels = labels_of(said)
    project = labels.get(_LABEL + "project")
    number = labels.get(_LABEL + "container-number", "")
    mounts = [
        {
            "type": mount.get("Type"),
            "name": mount.get("Name") or None,
            "source": mount.get("Source") or None,
            "destination": mount.get("Destination"),
            "writable": bool(mount.get("RW")),
        }
        for mount in said.get("Mounts") or []
    ]
    return {
        "id": said["Id"],
        "name": str(said["Name"]).lstrip("/"),
        "image": (said.get("Config") or {}).get("Image"),
        "image_id": said.get("Image"),
        "state": (said.get("State") or {}).get("Status"),
        "project": project,
        "service": labels.get(_LABEL + "service"),
        "number": int(number) if re.fullmatch(r"[0-9]{1,9}", number) else None,
        "oneoff": labels.get(_LABEL + "oneoff", "").lower() == "true",
        "stack": labels.get("com.docker.swarm.service.name") or labels.get("com.docker.swarm.service.id"),
        "engine": database(said),
        "ours": "PHPBORG_VAR" in variables_of(said),
        "dockerfile": None if project else disk.dockerfile(mounts),
        "mounts": mounts,
        "networks": sorted((said.get("NetworkSettings") or {}).get("Networks") or {}),
        "restart": ((said.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no",
    }


def database(said: Dict[str, Any]) -> Optional[str]:
    """The database server that a container is: by its image's name, its program, or a variable of official images."""
    config = said.get("Config") or {}
    name = str(config.get("Image") or "").split("@")[0].split("/")[-1].split(":")[0].lower()
    if _NO_SERVERS.search(name):
        return None
    by_name = [engine for engine, names in _IMAGES.items() if name in names]
    words = [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])][:2]
    by_program = [_PROGRAMS[program] for program in map(os.path.basename, map(str, words)) if program in _PROGRAMS]
    by_variable = [_VARIABLES[variable] for variable in variables_of(said) if variable in _VARIABLES]
    return (by_name + by_program + by_variable + [None])[0]  # type: ignore[list-item]


def variables_of(said: Dict[str, Any]) -> List[str]:
    """The names of its environment's variables; never a value."""
    return [str(word).partition("=")[0] for word in (said.get("Config") or {}).get("Env") or []]


def projects(inspected: List[Dict[str, Any]], disk: Disk) -> List[Dict[str, Any]]:
    """Compose projects, from the labels that Compose gives to its containers and from the files that these name."""
    found: Dict[str, Dict[str, Any]] = {}
    for said in inspected:
        labels = labels_of(said)
        name = labels.get(_LABEL + "project")
        # What `run` started once is no part of what is up.
        if not name or labels.get(_LABEL + "oneoff", "").lower() == "true":
            continue
        project = found.setdefault(name, _project(name))
        project["total"] += 1
        project["running"] += (said.get("State") or {}).get("Status") == "running"
        project["working_dir"] = project["working_dir"] or labels.get(_LABEL + "project.working_dir")
        for key, label in (("config_files", "config_files"), ("environment_files", "environment_file")):
            paths = files(labels.get(_LABEL + "project." + label), project["working_dir"])
            project[key] += [path for path in paths if path not in project[key]]
        project["services"] = sorted({*project["services"], *filter(None, [labels.get(_LABEL + "service")])})
    for project in found.values():
        disk.complete(project)
    return [found[name] for name in sorted(found)]


def _project(name: str) -> Dict[str, Any]:
    project: Dict[str, Any] = {"name": name, "working_dir": None, "config_files": [], "environment_files": []}
    project.update(services=[], running=0, total=0)
    return project


def files(label: Optional[str], directory: Optional[str]) -> List[str]:
    """Absolute paths of a label that joins them by commas; version 1 writes them as they were given.

    Where the first is absolute all are, and a comma before anything but a slash is part of a name.
    """
    parts = re.split(r",(?=/)" if (label or "").startswith("/") else ",", label or "")
    # “-” is standard input: no file that could be saved.
    named = [part for part in parts if part and part != "-"]
    return [os.path.normpath(os.path.join(directory or "/", part)) for part in named]


def volumes(said: Dict[str, Any], containers: List[Dict[str, Any]], disk: Disk) -> List[Dict[str, Any]]:
    """What `GET /volumes` says, with the containers that use each, and whether its content is to be seen now."""
    return [
        {
            "name": volume["Name"],
            "driver": volume.get("Driver"),
            "mountpoint": volume.get("Mountpoint") or None,
            "options": {key: without_secrets(key, value) for key, value in (volume.get("Options") or {}).items()},
            "labels": volume.get("Labels") or {},
            "anonymous": is_anonymous(volume),
            "project": (volume.get("Labels") or {}).get(_LABEL + "project"),
            "logical": (volume.get("Labels") or {}).get(_LABEL + "volume"),
            "used_by": sorted(
                user["name"]
                for user in containers
                if any(mount["type"] == "volume" and mount["name"] == volume["Name"] for mount in user["mounts"])
            ),
            **disk.volume(volume),
        }
        for volume in sorted(said.get("Volumes") or [], key=lambda one: str(one["Name"]))
    ]


def is_anonymous(volume: Dict[str, Any]) -> bool:
    """Was it made for one container, without a name?"""
    marked = "com.docker.volume.anonymous" in (volume.get("Labels") or {})
    return marked or bool(_ANONYMOUS.fullmatch(volume["Name"]))


def without_secrets(key: str, value: Any) -> str:
    """A driver's option; the password of `username=u,password=p`, as a network mount has it, is left out."""
    if _SECRET.search(key):
        return "***"
    words = str(value).split(",")
    return ",".join(
        "{}=***".format(word.partition("=")[0]) if _SECRET.search(word.partition("=")[0]) and "=" in word else word
        for word in words
    )


def networks(said: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """What `GET /networks` says."""
    return [
        {
            "name": network["Name"],
            "driver": network.get("Driver"),
            "internal": bool(network.get("Internal")),
            "attachable": bool(network.get("Attachable")),
            "scope": network.get("Scope"),
            "subnets": [
                str(one["Subnet"]) for one in (network.get("IPAM") or {}).get("Config") or [] if one.get("Subnet")
            ],
            "project": (network.get("Labels") or {}).get(_LABEL + "project"),
        }
        for network in said
    ]


def binds(containers: List[Dict[str, Any]], projects: List[Dict[str, Any]], disk: Disk) -> List[Dict[str, Any]]:
    """Each place of this machine that containers see, once: who sees it, what it is, in which project's directory."""
    directories = {project["name"]: project["working_dir"] for project in projects}
    found: Dict[str, Dict[str, Any]] = {}
    for one in containers:
        for mount in one["mounts"]:
            source = mount["source"] if mount["type"] == "bind" else None
            if not source or not source.startswith("/"):
                continue
            new = {"source": source, "containers": [], "project": one["project"], "inside": False, "writable": False}
            row = found.setdefault(source, new)
            row["containers"] += [one["name"]] if one["name"] not in row["containers"] else []
            row["inside"] = row["inside"] or lies_in(directories.get(one["project"]), source)
            row["writable"] = row["writable"] or mount["writable"]
    return [{**found[source], **disk.place(source)} for source in sorted(found)]


def lies_in(directory: Optional[str], path: str) -> bool:
    """Does `path` lie in this directory, or is it the directory itself?"""
    above = (directory or "").rstrip("/")
    return bool(above) and (path == above or path.startswith(above + "/"))


def images(said: List[Dict[str, Any]], containers: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """What `GET /images/json` says of the images that containers are made of."""
    used: Dict[str, List[str]] = {}
    for one in containers:
        used.setdefault(one["image_id"], []).append(one["name"])
    return [
        {
            "id": image["Id"],
            "tags": [tag for tag in image.get("RepoTags") or [] if tag != "<none>:<none>"][:_MOST_NAMES],
            "digests": [name for name in image.get("RepoDigests") or [] if name != "<none>@<none>"][:_MOST_NAMES],
            "size_bytes": image.get("Size"),
            "used_by": sorted(used[image["Id"]]),
        }
        for image in said
        if image["Id"] in used
    ]
