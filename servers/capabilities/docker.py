"""What a report says of the Docker engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Compose:
    """The command that this server has: "docker compose" or "docker-compose"."""

    command: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Build:
    """Where a service's image is built; known where the Compose file says it without a variable."""

    service: str | None = None
    context: str | None = None
    dockerfile: str | None = None
    exists: bool | None = None


@dataclass(frozen=True)
class Project:
    """A Compose project. `directory` is what its working directory is, `target` where it leads when it is a link.

    `files` are those of configs, secrets, includes and extensions; `unclear` names of files with a variable in them.
    """

    name: str | None = None
    working_dir: str | None = None
    directory: str | None = None
    target: str | None = None
    size_bytes: int | None = None
    config_files: tuple[str, ...] = ()
    environment_files: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    missing_files: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    builds: tuple[Build, ...] = ()
    services: tuple[str, ...] = ()
    running: int | None = None
    total: int | None = None
    problem: str | None = None


@dataclass(frozen=True)
class ContainerMount:
    type: str | None = None
    name: str | None = None
    source: str | None = None
    destination: str | None = None
    writable: bool | None = None


@dataclass(frozen=True)
class Container:
    """`dockerfile` is known of standalone ones only, when it lies beside one of their mounts.

    `stack` is the Swarm service that it is a task of, `engine` the database server that its image was made for.
    `ours`: phpBorg runs in it.
    """

    id: str | None = None
    name: str | None = None
    image: str | None = None
    image_id: str | None = None
    state: str | None = None
    project: str | None = None
    service: str | None = None
    number: int | None = None
    oneoff: bool | None = None
    stack: str | None = None
    engine: str | None = None
    ours: bool | None = None
    dockerfile: str | None = None
    mounts: tuple[ContainerMount, ...] = ()
    networks: tuple[str, ...] = ()
    restart: str | None = None


@dataclass(frozen=True)
class DockerVolume:
    """`readable`: is its content to be seen at `mountpoint` now? Drivers and options mount it only while it is used.

    `project` and `logical` (its name in the Compose file) are from the labels that Compose gives.
    """

    name: str | None = None
    driver: str | None = None
    mountpoint: str | None = None
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    anonymous: bool | None = None
    project: str | None = None
    logical: str | None = None
    used_by: tuple[str, ...] = ()
    readable: bool | None = None
    empty: bool | None = None
    size_bytes: int | None = None

    @property
    def is_orphan(self) -> bool:
        """Does no container use it?"""
        return not self.used_by


@dataclass(frozen=True)
class Network:
    name: str | None = None
    driver: str | None = None
    internal: bool | None = None
    attachable: bool | None = None
    scope: str | None = None
    subnets: tuple[str, ...] = ()
    project: str | None = None


@dataclass(frozen=True)
class Bind:
    """A place of the machine that containers see. `kind`: directory, file, socket, other, missing.

    `inside`: it lies in its project's directory; `target`: where it leads when it is a link.
    """

    source: str | None = None
    kind: str | None = None
    target: str | None = None
    containers: tuple[str, ...] = ()
    project: str | None = None
    inside: bool | None = None
    writable: bool | None = None
    size_bytes: int | None = None


@dataclass(frozen=True)
class Image:
    id: str | None = None
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    size_bytes: int | None = None
    used_by: tuple[str, ...] = ()


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
    binds: tuple[Bind, ...] = ()
    images: tuple[Image, ...] = ()

    @property
    def standalone(self) -> tuple[Container, ...]:
        """Containers of no Compose project; what `run` started once is none."""
        return tuple(one for one in self.containers if one.project is None and not one.oneoff)
