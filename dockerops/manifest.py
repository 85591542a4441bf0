"""What an archive of Docker holds: `manifest.json` of format 1, typed.

The same shape is filled from an archive's record or its listing (`analysis.py`); each thing says in `origin` how it
became known. Texts are as the server said them (odd bytes are lone surrogates); sizes are bytes. A manifest may hold
secrets (environments, options of volume drivers): `Contents.public` leaves them out, and only that is kept in a row.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

from dockerops import host_access, sentences, typed
from dockerops.compose_files import ComposeFile
from dockerops.errors import ManifestUnreadable
from dockerops.shape import Shape, shape_of, table
from dockerops.written import cleaned, no_names

FORMAT = 1
# How something became known, the surest first.
MANIFEST, RECORD, SELECTION, LISTING = "manifest", "record", "selection", "listing"


@dataclass(frozen=True)
class Compose:
    command: str = ""
    version: str = ""


@dataclass(frozen=True)
class Engine:
    version: str = ""
    api_version: str = ""
    data_root: str = ""
    storage_driver: str = ""
    swarm: bool = False
    compose: Compose | None = None


@dataclass(frozen=True)
class Project:
    """A Compose project. `paths`: what of the archive belongs to it, as absolute paths."""

    name: str
    working_dir: str | None = None
    config_files: tuple[str, ...] = ()
    environment_files: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    origin: str = MANIFEST


@dataclass(frozen=True)
class Mount:
    """As the engine resolved it: an anonymous volume has its name."""

    type: str = ""
    name: str | None = None
    source: str | None = None
    destination: str = ""
    writable: bool = True


@dataclass(frozen=True)
class Container:
    """`create` is the body that makes it, `networks` how it is connected: both are secret and empty when public."""

    name: str
    id: str = ""
    project: str | None = None
    service: str | None = None
    number: int | None = None
    oneoff: bool = False
    state: str = ""
    health: str | None = None
    started_at: str | None = None
    restart: str = ""
    image: str = ""
    image_id: str = ""
    stack: dict[str, Any] | None = None
    create: dict[str, Any] = field(default_factory=dict)
    networks: dict[str, Any] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    depends_on: tuple[str, ...] = ()
    dockerfile: str | None = None
    # What of `create` and `networks` is needed for questions and is no secret; `with_facts` fills it.
    shape: Shape = field(default_factory=Shape)
    origin: str = MANIFEST


@dataclass(frozen=True)
class Volume:
    """`path` is the path of the archive whose content is the volume's; `options` may hold passwords."""

    name: str
    driver: str = "local"
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    scope: str = ""
    anonymous: bool = False
    project: str | None = None
    logical: str | None = None
    used_by: tuple[str, ...] = ()
    path: str | None = None
    read: str = ""
    problem: str | None = None
    size_bytes: int | None = None
    files: int | None = None
    still: bool = False  # it was counted while all of its users were paused or stopped
    option_names: tuple[str, ...] = ()
    device: str | None = None  # the directory that a local volume really is (o=bind)
    host_device: str = ""  # what of the machine it is, by its options; empty: nothing
    filesystem: str = ""  # what a local one mounts while it is used, by its options: nfs, ext4, tmpfs
    read_only: bool = False  # its options say so
    origin: str = MANIFEST

    @property
    def is_elsewhere(self) -> bool:
        """Is its content on a filesystem that is mounted only while a container uses it, or behind a plugin?"""
        return self.driver != "local" or (bool(self.option_names) and self.device is None)

    @property
    def is_in_memory(self) -> bool:
        """Is it empty whenever it is used anew?"""
        return self.driver == "local" and self.filesystem in ("tmpfs", "ramfs")


@dataclass(frozen=True)
class Network:
    name: str
    create: dict[str, Any] = field(default_factory=dict)
    project: str | None = None
    logical: str | None = None
    external: bool = False
    driver: str = ""
    subnets: tuple[str, ...] = ()
    internal: bool = False
    assigned: bool = False  # the engine chose its addresses, so another one may choose others
    origin: str = MANIFEST


@dataclass(frozen=True)
class Image:
    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    size_bytes: int | None = None
    stream: str | None = None
    used_by: tuple[str, ...] = ()
    origin: str = MANIFEST


@dataclass(frozen=True)
class Dump:
    container: str
    engine: str = ""
    path: str = ""
    bytes: int | None = None
    version: str | None = None
    origin: str = MANIFEST


@dataclass(frozen=True)
class Bind:
    """A path of the server that containers see; `inside`: below its project's directory."""

    source: str
    kind: str = ""
    containers: tuple[str, ...] = ()
    project: str | None = None
    inside: bool = False
    path: str | None = None
    reason: str = ""
    size_bytes: int | None = None
    origin: str = MANIFEST


@dataclass(frozen=True)
class Quiesced:
    container: str
    how: str = ""


@dataclass(frozen=True)
class Left:
    """What is not in the archive, and why."""

    kind: str
    name: str
    reason: str = ""


@dataclass(frozen=True)
class Contents:
    """All that an archive holds. `origin` is the surest source; `notes` are codes of what is worth knowing about it."""

    format: int = FORMAT
    made_at: str = ""
    hostname: str = ""
    machine: str = ""
    engine: Engine = field(default_factory=Engine)
    projects: tuple[Project, ...] = ()
    containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    networks: tuple[Network, ...] = ()
    images: tuple[Image, ...] = ()
    dumps: tuple[Dump, ...] = ()
    binds: tuple[Bind, ...] = ()
    config_files: tuple[str, ...] = ()
    compose_files: tuple[ComposeFile, ...] = ()  # what Compose files say of names, ports and paths
    sizes: dict[str, int] = field(default_factory=dict)  # bytes below paths of the archive, where they are known
    quiesced: tuple[Quiesced, ...] = ()
    not_included: tuple[Left, ...] = ()
    origin: str = MANIFEST
    notes: tuple[str, ...] = ()
    manifest_sha256: str = ""  # of the manifest's bytes; empty where it is not the source

    def as_json(self) -> dict[str, Any]:
        """JSON that a database keeps; call it on `public()` for anything that is stored or shown."""
        table: dict[str, Any] = typed.written(self)
        return table

    @classmethod
    def from_json(cls, raw: Any) -> Contents:
        """What `as_json` wrote, or a manifest; what is missing is empty. Never raises."""
        return with_facts(typed.read(cls, typed.restored(raw)))

    def public(self) -> Contents:
        """The same without any environment, body or value of a driver's option."""
        return replace(
            self,
            containers=tuple(replace(one, create={}, networks={}) for one in self.containers),
            volumes=tuple(replace(one, options={}) for one in self.volumes),
            networks=tuple(replace(one, create={}) for one in self.networks),
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """`notes` in the active language."""
        return tuple(sentences.note(code, {"path": self.engine.data_root}) for code in self.notes)

    def container(self, name: str) -> Container | None:
        """The container of this name."""
        return next((one for one in self.containers if one.name == name), None)

    def volume(self, name: str) -> Volume | None:
        """The volume of this name."""
        return next((one for one in self.volumes if one.name == name), None)

    def network(self, name: str) -> Network | None:
        """The network of this name."""
        return next((one for one in self.networks if one.name == name), None)

    def project(self, name: str) -> Project | None:
        """The project of this name."""
        return next((one for one in self.projects if one.name == name), None)


def parse(data: bytes | str) -> Contents:
    """A manifest as it lies in the archive. Raises ManifestUnreadable."""
    try:
        raw = json.loads(data)
    except ValueError as error:
        raise ManifestUnreadable(detail=str(error)) from None
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        seen = raw.get("format") if isinstance(raw, dict) else type(raw).__name__
        raise ManifestUnreadable(detail=f"format {seen!r}")
    if bad := next(no_names(raw), ""):
        raise ManifestUnreadable(detail=bad)
    return replace(with_facts(typed.read(Contents, cleaned(raw))), manifest_sha256=sum_of(data))


def sum_of(data: bytes | str) -> str:
    """What a plan says of the manifest that it was made for: SHA-256 in hexadecimal."""
    return hashlib.sha256(data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data).hexdigest()


def with_facts(contents: Contents) -> Contents:
    """The same, with what questions need taken out of bodies, so that it stays when these are left out."""
    return replace(
        contents,
        containers=tuple(_container(one) for one in contents.containers),
        volumes=tuple(_volume(one) for one in contents.volumes),
        networks=tuple(_network(one) for one in contents.networks),
    )


def _volume(one: Volume) -> Volume:
    if not one.options:
        return one
    device = one.options.get("device") or ""
    told = (one.options.get("o") or "").split(",")
    bound = device.startswith("/") and "bind" in told
    return replace(
        one,
        option_names=tuple(sorted(one.options)),
        device=device if bound else None,
        host_device=host_access.device(one.driver, dict(one.options)),
        filesystem=one.options.get("type") or "" if one.driver == "local" and not bound else "",
        read_only=one.driver == "local" and "ro" in told,
    )


def _container(one: Container) -> Container:
    return replace(one, shape=shape_of(one.create, one.networks)) if one.create else one


def _network(one: Network) -> Network:
    if not one.create:
        return one
    blocks = table(one.create.get("IPAM")).get("Config")
    subnets = [str(table(block).get("Subnet") or "") for block in (blocks if isinstance(blocks, list) else [])]
    return replace(
        one,
        driver=str(one.create.get("Driver") or ""),
        subnets=tuple(filter(None, subnets)),
        internal=one.create.get("Internal") is True,
    )
