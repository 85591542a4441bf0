"""Docker: the engine, Compose projects, containers, volumes and networks. Never what is in an environment."""

import glob
import json
import os
import re
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from .. import wire
from . import base
from .docker_api import Engine, Failed

_SOCKETS = ("/run/docker.sock", "/var/run/docker.sock")
_CONFIG_FILES = (
    "/etc/docker/daemon.json",
    "/etc/default/docker",
    "/etc/sysconfig/docker",
    "/etc/conf.d/docker",
    "/root/.docker/config.json",
)
_DROP_INS = "/etc/systemd/system/docker.service.d/*.conf"
_LABEL = "com.docker.compose."
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
_SECRET = re.compile(r"pass(word|wd|phrase)?$|secret|token|key$", re.IGNORECASE)
_EMPTY: Dict[str, Any] = {
    "running": False,
    "version": None,
    "api_version": None,
    "problem": None,
    "socket": None,
    "data_root": None,
    "storage_driver": None,
    "swarm": False,
    "compose": None,
    "projects": [],
    "containers": [],
    "volumes": [],
    "networks": [],
}


def probe(look: base.Look) -> Dict[str, Any]:
    """What the engine says; without an engine that answers, whether there is one and why it does not."""
    daemons = [process for process in look.processes() if process.name == "dockerd" and not process.contained]
    sockets = look.existing(*dict.fromkeys(_sockets(look, daemons)))
    installed = bool(sockets or daemons or look.find("dockerd") or look.find("docker"))
    files = [*_CONFIG_FILES, *(option for daemon in daemons for option in options(daemon.argv, "--config-file"))]
    facts = dict(_EMPTY, installed=installed, config_files=look.existing(*files, *sorted(glob.glob(_DROP_INS))))
    if not installed:
        return facts
    facts["compose"] = _compose(look)
    engines, problems = _engines(sockets)
    try:
        if not engines:
            return dict(
                facts, problem="; ".join(problems) or "no socket of a Docker engine was found: it is not running"
            )
        facts.update(_inventory(engines[0]))
    finally:
        for engine in engines:
            engine.close()
    if len(engines) > 1:
        others = ", ".join(engine.path for engine in engines[1:])
        more = "other engines run here too, which were not asked: {}".format(others)
        facts["problem"] = "; ".join(filter(None, [facts["problem"], more]))
    return facts


def _engines(sockets: Sequence[str]) -> Tuple[List[Engine], List[str]]:
    """Those that answer, and why others do not."""
    engines, problems = [], []
    for path in sockets:
        try:
            engines.append(Engine(path))
        except Failed as failure:
            problems.append(str(failure))
    return engines, problems


def _sockets(look: base.Look, daemons: Sequence[base.Process]) -> Iterator[str]:
    """The usual one, those that engines were told to use, then those of engines without root."""
    hosts = [host for daemon in daemons for option in ("-H", "--host") for host in options(daemon.argv, option)]
    try:
        told = json.loads(look.read(_CONFIG_FILES[0]) or "{}").get("hosts", [])
        hosts += told if isinstance(told, list) else []
    except (ValueError, AttributeError):
        pass  # the engine would not start with it
    for path in [*_SOCKETS, *(str(host)[len("unix://") :] for host in hosts if str(host).startswith("unix://"))]:
        yield os.path.realpath(path)
    for path in sorted(glob.glob("/run/user/*/docker.sock")):
        yield path


def options(argv: Sequence[str], name: str) -> List[str]:
    """The values of an option that may be given several times, as `-H VALUE` or `--host=VALUE`."""
    following = [argv[place + 1] for place, word in enumerate(argv[:-1]) if word == name]
    return following + [word[len(name) + 1 :] for word in argv if word.startswith(name + "=")]


def _compose(look: base.Look) -> Optional[Dict[str, Any]]:
    for command in ("docker compose", "docker-compose"):
        ran = look.run([*command.split(), "version", "--short"])
        version = compose_version(ran.out) if ran.ok else None
        if version:
            return {"command": command, "version": version}
    return None


def compose_version(text: str) -> Optional[str]:
    """`2.24.5`, `v2.24.5` or `1.29.2`; None for a client without the plugin, which prints its help."""
    word = text.strip().lstrip("v")
    return word if re.fullmatch(r"\d+\.\d+[\w.+~-]*", word) else None


def _inventory(engine: Engine) -> Dict[str, Any]:
    found: Dict[str, Any] = {"running": True, "version": engine.version, "api_version": engine.api_version}
    found["socket"] = engine.path
    problems: List[str] = []

    def ask(path: str, otherwise: Any) -> Any:
        try:
            return engine.get(path)
        except Failed as failure:
            problems.append(str(failure))
            return otherwise

    info = ask("/info", {})
    found.update(data_root=info.get("DockerRootDir"), storage_driver=info.get("Driver"))
    found["swarm"] = (info.get("Swarm") or {}).get("LocalNodeState") == "active"
    inspected = []
    for listed in ask("/containers/json?all=1", []):
        try:
            inspected.append(engine.inspect(listed["Id"]))
        except Failed as failure:
            if failure.status != 404:  # 404: it was removed meanwhile
                problems.append(str(failure))
    found["containers"] = [container(said, _is_file) for said in inspected]
    found["projects"] = projects(inspected, _is_file)
    found["volumes"] = volumes(ask("/volumes", {}), found["containers"])
    found["networks"] = networks(ask("/networks", []))
    return dict(found, problem="; ".join(problems[:5]) or None)


def _is_file(path: str) -> bool:
    return os.path.isfile(wire.raw(path))


def _labels(said: Dict[str, Any]) -> Dict[str, str]:
    return (said.get("Config") or {}).get("Labels") or {}


def _name(said: Dict[str, Any]) -> str:
    return str(said["Name"]).lstrip("/")


def container(said: Dict[str, Any], is_file: Callable[[str], bool]) -> Dict[str, Any]:
    """What `GET /containers/ID/json` says of one container. `is_file`: is there a file at this path?"""
    labels = _labels(said)
    project = labels.get(_LABEL + "project")
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
        "name": _name(said),
        "image": (said.get("Config") or {}).get("Image"),
        "state": (said.get("State") or {}).get("Status"),
        "project": project,
        "service": labels.get(_LABEL + "service"),
        "dockerfile": None if project else _dockerfile(mounts, is_file),
        "mounts": mounts,
        "networks": sorted((said.get("NetworkSettings") or {}).get("Networks") or {}),
        "restart": ((said.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name") or "no",
    }


def _dockerfile(mounts: List[Dict[str, Any]], is_file: Callable[[str], bool]) -> Optional[str]:
    """A Dockerfile in a directory that is mounted, beside it, or one level above."""
    for mount in mounts:
        directory = mount["source"] if mount["type"] == "bind" else None
        for _ in range(3):
            if not directory or directory == "/":
                break
            path = os.path.join(directory, "Dockerfile")
            if is_file(path):
                return path
            directory = os.path.dirname(directory)
    return None


def projects(inspected: List[Dict[str, Any]], is_file: Callable[[str], bool]) -> List[Dict[str, Any]]:
    """Compose projects, from the labels that Compose gives to its containers."""
    found: Dict[str, Dict[str, Any]] = {}
    for said in inspected:
        labels = _labels(said)
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
        # Read by every version without being named in a label.
        usual = os.path.join(project["working_dir"] or "/", ".env")
        if project["working_dir"] and usual not in project["environment_files"] and is_file(usual):
            project["environment_files"].append(usual)
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


def volumes(said: Dict[str, Any], containers: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """What `GET /volumes` says, with the containers that use each."""
    return [
        {
            "name": volume["Name"],
            "driver": volume.get("Driver"),
            "mountpoint": volume.get("Mountpoint") or None,
            "options": {key: without_secrets(key, value) for key, value in (volume.get("Options") or {}).items()},
            "labels": volume.get("Labels") or {},
            "anonymous": _is_anonymous(volume),
            "used_by": sorted(
                user["name"]
                for user in containers
                if any(mount["type"] == "volume" and mount["name"] == volume["Name"] for mount in user["mounts"])
            ),
        }
        for volume in said.get("Volumes") or []
    ]


def _is_anonymous(volume: Dict[str, Any]) -> bool:
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
        {"name": network["Name"], "driver": network.get("Driver"), "internal": bool(network.get("Internal"))}
        for network in said
    ]
