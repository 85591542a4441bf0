"""What an engine has: the answer of the helper's verb `docker`, action `inventory`, typed. It knows no environment."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from dockerops import typed
from dockerops.manifest import Engine, Mount

# The ending of what a restore has set aside (planning.py): the beginning of its token.
_ASIDE = re.compile(r".\.phpborg-[0-9a-f]{8}\Z")


@dataclass(frozen=True)
class Published:
    """A port as it is published now."""

    ip: str = ""
    port: int = 0
    protocol: str = "tcp"
    container_port: int = 0


@dataclass(frozen=True)
class Running:
    """A container that is there, in whatever state. `networks`: names; `depends_on`: names of containers."""

    name: str
    id: str = ""
    state: str = ""
    project: str | None = None
    service: str | None = None
    number: int | None = None
    image: str = ""
    image_id: str = ""
    ports: tuple[Published, ...] = ()
    mounts: tuple[Mount, ...] = ()
    networks: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    stack: dict[str, Any] | None = None
    ours: bool = False  # a phpBorg runs in it
    auto_remove: bool = False  # --rm: gone when it stops

    @property
    def is_active(self) -> bool:
        """Does it run, or is it paused or about to come back?"""
        return self.state in ("running", "paused", "restarting")

    @property
    def is_aside(self) -> bool:
        """Is it kept of a state before a restore?"""
        return _ASIDE.search(self.name) is not None


@dataclass(frozen=True)
class VolumeThere:
    name: str
    driver: str = "local"
    options: dict[str, str] = field(default_factory=dict)
    option_names: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    project: str | None = None
    mountpoint: str = ""
    size_bytes: int | None = None
    used_by: tuple[str, ...] = ()
    anonymous: bool = False
    read: str = ""

    @property
    def device(self) -> str:
        """What its options say that it really is: a directory, or whatever its driver mounts; "" for the engine's own.

        Without a trailing “/”, as the kernel takes both for one.
        """
        device = self.options.get("device") or ""
        return device.rstrip("/") if device.startswith("/") else device


@dataclass(frozen=True)
class NetworkThere:
    name: str
    id: str = ""
    driver: str = ""
    subnets: tuple[str, ...] = ()
    internal: bool = False
    attachable: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    containers: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageThere:
    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listening:
    """A port that a process of the machine has, whoever it is."""

    ip: str = ""
    port: int = 0
    protocol: str = "tcp"


@dataclass(frozen=True)
class Place:
    """A path that was asked for. `device` tells filesystems apart; `size_bytes` of what is there, where it is known."""

    exists: bool = False
    kind: str = ""
    mountpoint: str = ""
    free_bytes: int | None = None
    total_bytes: int | None = None
    device: str = ""
    empty: bool | None = None
    size_bytes: int | None = None
    allowed: bool = True
    links: bool = False  # a symbolic link lies on the way to it


@dataclass(frozen=True)
class Inventory:
    """`machine` and `hostname` may be empty: then nobody said."""

    engine: Engine = field(default_factory=Engine)
    machine: str = ""
    hostname: str = ""
    containers: tuple[Running, ...] = ()
    volumes: tuple[VolumeThere, ...] = ()
    networks: tuple[NetworkThere, ...] = ()
    images: tuple[ImageThere, ...] = ()
    listening: tuple[Listening, ...] = ()
    paths: dict[str, Place] = field(default_factory=dict)
    data_root_free_bytes: int | None = None

    def as_json(self) -> dict[str, Any]:
        """JSON that a database keeps."""
        table: dict[str, Any] = typed.written(self)
        return table

    @classmethod
    def from_json(cls, raw: Any) -> Inventory:
        """The helper's answer, or what `as_json` wrote; what it does not say is empty. Never raises."""
        found: Inventory = typed.read(cls, typed.restored(raw))
        return found

    def container(self, name: str) -> Running | None:
        """The container of this name."""
        return next((one for one in self.containers if one.name == name), None)

    def volume(self, name: str) -> VolumeThere | None:
        """The volume of this name."""
        return next((one for one in self.volumes if one.name == name), None)

    def network(self, name: str) -> NetworkThere | None:
        """The network of this name."""
        return next((one for one in self.networks if one.name == name), None)

    def has_image(self, image_id: str) -> bool:
        """Is this very image there?"""
        return any(one.id == image_id for one in self.images)
