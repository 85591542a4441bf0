"""What a report says of the Docker engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Compose:
    """The command that this server has: "docker compose" or "docker-compose"."""

    command: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Project:
    name: str | None = None
    working_dir: str | None = None
    config_files: tuple[str, ...] = ()
    environment_files: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    running: int | None = None
    total: int | None = None


@dataclass(frozen=True)
class ContainerMount:
    type: str | None = None
    name: str | None = None
    source: str | None = None
    destination: str | None = None
    writable: bool | None = None


@dataclass(frozen=True)
class Container:
    """`dockerfile` is known of standalone ones only, when it lies beside one of their mounts."""

    id: str | None = None
    name: str | None = None
    image: str | None = None
    state: str | None = None
    project: str | None = None
    service: str | None = None
    dockerfile: str | None = None
    mounts: tuple[ContainerMount, ...] = ()
    networks: tuple[str, ...] = ()
    restart: str | None = None


@dataclass(frozen=True)
class DockerVolume:
    name: str | None = None
    driver: str | None = None
    mountpoint: str | None = None
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    anonymous: bool | None = None
    used_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Network:
    name: str | None = None
    driver: str | None = None
    internal: bool | None = None


@dataclass(frozen=True)
class Docker:
    installed: bool | None
    running: bool | None
    version: str | None
    api_version: str | None
    problem: str | None
    socket: str | None
    data_root: str | None
    storage_driver: str | None
    swarm: bool | None
    compose: Compose | None
    projects: tuple[Project, ...]
    containers: tuple[Container, ...]
    volumes: tuple[DockerVolume, ...]
    networks: tuple[Network, ...]
    config_files: tuple[str, ...]
