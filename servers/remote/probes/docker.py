"""Docker: which engine there is, and its inventory. Never what is in an environment.

What its answers mean is in docker_said.py, what lies on the disk of it in docker_disk.py.
"""

import glob
import json
import os
import re
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple
from urllib.parse import quote

from . import base, docker_said
from .docker_api import Engine, Failed
from .docker_disk import Disk

_SOCKETS = ("/run/docker.sock", "/var/run/docker.sock")
_CONFIG_FILES = (
    "/etc/docker/daemon.json",
    "/etc/default/docker",
    "/etc/sysconfig/docker",
    "/etc/conf.d/docker",
    "/root/.docker/config.json",
)
_DROP_INS = "/etc/systemd/system/docker.service.d/*.conf"
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
    "binds": [],
    "images": [],
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
        facts.update(_inventory(engines[0], look))
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


def _inventory(engine: Engine, look: base.Look) -> Dict[str, Any]:
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
            said = engine.inspect(listed["Id"])
            if docker_said.asks_its_image(said):
                said = docker_said.own_labels(said, _image(engine, said))
            if docker_said.is_to_be_kept(said):
                inspected.append(said)
        except Failed as failure:
            if failure.status != 404:  # 404: it was removed meanwhile
                problems.append(str(failure))
    disk = Disk(look)
    containers = [docker_said.container(said, disk) for said in inspected]
    found["containers"] = containers
    # What is counted first has the most time: volumes are what is asked for most.
    volumes = [one for one in ask("/volumes", {}).get("Volumes") or [] if not _is_ours(one)]
    found["volumes"] = docker_said.volumes({"Volumes": volumes}, containers, disk)
    found["projects"] = docker_said.projects(inspected, disk)
    found["binds"] = docker_said.binds(containers, found["projects"], disk)
    found["networks"] = docker_said.networks([one for one in ask("/networks", []) if not _is_ours(one)])
    found["images"] = docker_said.images(ask("/images/json", []), containers)
    return dict(found, problem="; ".join(problems[:5]) or None)


def _image(engine: Engine, said: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """The image of a container; None for one that is gone."""
    try:
        found: Dict[str, Any] = engine.get("/images/{}/json".format(quote(str(said.get("Image")), safe="")))
    except Failed:
        return None
    return found


def _is_ours(one: Dict[str, Any]) -> bool:
    """A volume or a network."""
    return any(label in (one.get("Labels") or {}) for label in docker_said.OURS)
