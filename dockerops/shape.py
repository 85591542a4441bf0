"""What decides about order and conflicts of a container, taken from the body that makes it: no secret is in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dockerops import host_access


@dataclass(frozen=True)
class Port:
    """A published port; `host` is empty when the engine chooses one."""

    container_port: str  # 80/tcp
    ip: str = ""
    host: str = ""

    @property
    def key(self) -> str:
        """As `renames["ports"]` names it: 80/tcp@0.0.0.0:8080."""
        return f"{self.container_port}@{self.ip or '0.0.0.0'}:{self.host}"  # noqa: S104 - a name


@dataclass(frozen=True)
class Link:
    """How a container is connected to one network."""

    network: str
    addresses: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shape:
    """What decides about order and conflicts, and is no secret."""

    ports: tuple[Port, ...] = ()
    links: tuple[Link, ...] = ()
    network_mode: str = ""
    pid_mode: str = ""
    ipc_mode: str = ""
    volumes_from: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()  # of the labels of Compose: "service:condition:restart"
    linked: tuple[str, ...] = ()  # "container:alias"
    health_checked: bool = False
    health_seconds: int = 0  # after so long its own health check has judged it
    # What it would get of the machine (host_access.py), and the volumes that it mounts.
    rights: tuple[str, ...] = ()
    host_paths: tuple[str, ...] = ()
    volume_names: tuple[str, ...] = ()
    # Where PostgreSQL is told to keep its data; where a database's own command line says so.
    pgdata: str = ""
    told_data: str = ""


def shape_of(create: dict[str, Any], networks: dict[str, Any]) -> Shape:
    """What decides about order and conflicts, from the body that makes a container."""
    host = table(create.get("HostConfig"))
    labels = table(create.get("Labels"))
    depends = str(labels.get("com.docker.compose.depends_on") or "")
    health = table(create.get("Healthcheck"))
    check = health.get("Test")
    return Shape(
        ports=tuple(_ports(table(host.get("PortBindings")))),
        links=tuple(_link(name, table(networks[name])) for name in sorted(networks)),
        network_mode=str(host.get("NetworkMode") or ""),
        pid_mode=str(host.get("PidMode") or ""),
        ipc_mode=str(host.get("IpcMode") or ""),
        volumes_from=_texts(host.get("VolumesFrom")),
        depends=tuple(filter(None, depends.split(","))),
        linked=_texts(host.get("Links")),
        health_checked=bool(check) and check != ["NONE"],
        health_seconds=_health_seconds(health) if check and check != ["NONE"] else 0,
        rights=host_access.rights(create),
        host_paths=host_access.paths(create),
        volume_names=host_access.volumes(create),
        pgdata=_variable(create, "PGDATA"),
        told_data=_told_data((*_texts(create.get("Entrypoint")), *_texts(create.get("Cmd")))),
    )


def _health_seconds(health: dict[str, Any]) -> int:
    """What it gives itself to start, and its tries after that; the engine's own numbers where it says none."""

    def seconds(key: str, usual: float) -> float:
        nanoseconds = health.get(key)
        return nanoseconds / 1e9 if isinstance(nanoseconds, int) and nanoseconds > 0 else usual

    retries = health.get("Retries")
    tries = retries if isinstance(retries, int) and retries > 0 else 3
    each = seconds("Interval", 30) + seconds("Timeout", 30)
    return math.ceil(seconds("StartPeriod", 0) + (tries + 1) * each)


def table(raw: Any) -> dict[str, Any]:
    """A table of a stranger's JSON; {} for anything else."""
    return raw if isinstance(raw, dict) else {}


def _texts(raw: Any) -> tuple[str, ...]:
    return tuple(one for one in raw if isinstance(one, str)) if isinstance(raw, list) else ()


def _variable(create: dict[str, Any], name: str) -> str:
    """An absolute path that its environment says; "" for anything else."""
    found = next((row.partition("=")[2] for row in _texts(create.get("Env")) if row.startswith(f"{name}=")), "")
    return found if found.startswith("/") else ""


def _told_data(words: tuple[str, ...]) -> str:
    """What `-D`, `--datadir` or `--dbpath` name; "" when nothing does."""
    for word, following in zip(words, [*words[1:], ""] if words else [], strict=True):
        option, _, value = word.partition("=")
        if option in ("-D", "--datadir", "--dbpath", "--pgdata"):
            return value or following
        if word.startswith("-D/"):
            return word[2:]
    return ""


def _ports(bindings: dict[str, Any]) -> list[Port]:
    return [
        Port(inside, str(table(one).get("HostIp") or ""), str(table(one).get("HostPort") or ""))
        for inside in sorted(bindings)
        for one in (bindings[inside] if isinstance(bindings[inside], list) else [])
    ]


def _link(network: str, endpoint: dict[str, Any]) -> Link:
    fixed = table(endpoint.get("IPAMConfig"))
    addresses = (fixed.get("IPv4Address"), fixed.get("IPv6Address"))
    return Link(network, tuple(str(one) for one in addresses if one), _texts(endpoint.get("Aliases")))
