"""What the paths of an archive tell of Docker: volumes, Compose files, the engine's configuration, sizes. Pure.

The memory is bounded by what is found, not by the number of files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from dockerops.manifest import LISTING, Contents, Engine, Project, Volume

_VOLUME = re.compile(r"(.*?)/volumes/([^/]+)/_data(?:/|\Z)", re.S)
_COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDE = re.compile(r"(docker-)?compose\.override\.ya?ml")
_CONFIGS = ("/etc/default/docker", "/etc/sysconfig/docker", "/etc/conf.d/docker", "/root/.docker/config.json")
_CONFIG_DIRECTORIES = ("/etc/docker", "/etc/systemd/system/docker.service.d")
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
MOST_FOUND = 20_000
_DIRECTORY = "d"


@dataclass
class _Found:
    path: str
    bytes: int = 0
    files: int = 0


@dataclass
class Listing:
    """Takes every entry of an archive once. `wanted`: absolute paths whose sizes are asked for."""

    wanted: Iterable[str] = ()
    volumes: dict[str, _Found] = field(default_factory=dict)
    compose: dict[str, list[str]] = field(default_factory=dict)
    environments: set[str] = field(default_factory=set)
    configs: set[str] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)
    roots: dict[str, int] = field(default_factory=dict)
    cut: bool = False

    def __post_init__(self) -> None:
        self.sizes = dict.fromkeys(self.wanted, 0)

    def add(self, path: str, kind: str = "-", size: int = 0) -> None:
        """One entry: its path as borg lists it, `d` for a directory, its bytes."""
        path = "/" + path.strip("/")
        self._count(path, size)
        match = _VOLUME.match(path)
        if match is not None:
            self._volume(match[1], match[2], kind, size)
        elif kind != _DIRECTORY:
            self._file(path)

    def _count(self, path: str, size: int) -> None:
        above = path if self.sizes and size else ""
        while len(above) > 1:
            if above in self.sizes:
                self.sizes[above] += size
            above = posixpath.dirname(above)

    def _volume(self, root: str, name: str, kind: str, size: int) -> None:
        if name not in self.volumes:
            if len(self.volumes) >= MOST_FOUND:
                self.cut = True
                return
            self.volumes[name] = _Found(f"{root}/volumes/{name}/_data")
            self.roots[root] = self.roots.get(root, 0) + 1
        if self.volumes[name].path == f"{root}/volumes/{name}/_data":
            self.volumes[name].bytes += size
            self.volumes[name].files += kind != _DIRECTORY

    def _file(self, path: str) -> None:
        directory, name = posixpath.split(path)
        if name in _COMPOSE_FILES or _OVERRIDE.fullmatch(name):
            if len(self.compose) >= MOST_FOUND and directory not in self.compose:
                self.cut = True
                return
            self.compose.setdefault(directory, []).append(path)
        elif name == ".env" and len(self.environments) < MOST_FOUND:
            self.environments.add(path)
        elif path in _CONFIGS or directory in _CONFIG_DIRECTORIES:
            self.configs.add(path)

    @property
    def data_root(self) -> str:
        """Where the engine kept most of the volumes; empty without any."""
        return max(self.roots, key=lambda root: self.roots[root], default="")

    def contents(self) -> Contents:
        """What the paths alone tell."""
        projects = tuple(self._project(directory) for directory in sorted(self.compose) if self._is_project(directory))
        names = [one.name for one in projects]
        volumes = tuple(_volume(name, found, names) for name, found in sorted(self.volumes.items()))
        owned = {one.name: tuple(row.name for row in volumes if row.project == one.name) for one in projects}
        return Contents(
            engine=Engine(data_root=self.data_root),
            projects=tuple(_with_volumes(one, owned[one.name]) for one in projects),
            volumes=volumes,
            config_files=tuple(sorted(self.configs)),
            sizes=dict(self.sizes),
            origin=LISTING,
        )

    def _is_project(self, directory: str) -> bool:
        return any(posixpath.basename(path) in _COMPOSE_FILES for path in self.compose[directory])

    def _project(self, directory: str) -> Project:
        environment = f"{directory.rstrip('/')}/.env"
        return Project(
            name=project_name(directory),
            working_dir=directory,
            config_files=tuple(sorted(self.compose[directory], key=_base_first)),
            environment_files=(environment,) if environment in self.environments else (),
            paths=(directory,),
            origin=LISTING,
        )

    def files_of(self, directory: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(Compose files, environment files) of a project's directory."""
        if directory is None or directory not in self.compose:
            return (), ()
        found = self._project(directory)
        return found.config_files, found.environment_files


def _base_first(path: str) -> tuple[bool, str]:
    return bool(_OVERRIDE.fullmatch(posixpath.basename(path))), path


def project_name(directory: str) -> str:
    """As Compose calls a project that nobody named."""
    return re.sub(r"[^a-z0-9_-]", "", posixpath.basename(directory).lower()).lstrip("_-") or "default"


def _volume(name: str, found: _Found, projects: Iterable[str]) -> Volume:
    owner = owner_of(name, projects)
    return Volume(
        name=name,
        anonymous=bool(_ANONYMOUS.fullmatch(name)),
        project=owner,
        logical=name[len(owner) + 1 :] if owner else None,
        path=found.path,
        read="path",
        size_bytes=found.bytes,
        files=found.files,
        origin=LISTING,
    )


def owner_of(volume: str, projects: Iterable[str]) -> str | None:
    """The project whose prefix the volume's name has; the longest one."""
    return max((one for one in projects if volume.startswith(f"{one}_")), key=len, default=None)


def _with_volumes(one: Project, volumes: tuple[str, ...]) -> Project:
    return Project(
        one.name,
        one.working_dir,
        one.config_files,
        one.environment_files,
        volumes=volumes,
        paths=one.paths,
        origin=one.origin,
    )
