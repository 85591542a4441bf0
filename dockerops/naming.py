"""Which names, paths and ports everything gets on the target: the `renames` of a plan."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dockerops.manifest import Container, Contents, Network, Volume
from dockerops.options import Options
from dockerops.scripts.filling import moved
from dockerops.selecting import Selected

PROJECT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
SUFFIX = re.compile(r"[a-zA-Z0-9_.-]{0,40}")
_HIGHEST_PORT = 65_535
# Placements that leave the originals as they are: everything gets another name.
BESIDE = ("other_project", "drill")


@dataclass(frozen=True)
class Names:
    """Old names to new ones; what is missing keeps its name. `freed`: networks whose addresses the engine chooses."""

    project: dict[str, str] = field(default_factory=dict)
    containers: dict[str, str] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    ports: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    freed: frozenset[str] = frozenset()

    def container(self, name: str) -> str:
        """The container's new name."""
        return self.containers.get(name, name)

    def volume(self, name: str) -> str:
        """The volume's new name."""
        return self.volumes.get(name, name)

    def network(self, name: str) -> str:
        """The network's new name."""
        return self.networks.get(name, name)

    def path(self, path: str) -> str:
        """Where the path is put."""
        return moved(path, self.paths)

    def project_of(self, name: str | None) -> str | None:
        """The project's new name."""
        return self.project.get(name, name) if name else name

    def port(self, key: str, host: str) -> str:
        """The port of the machine; empty: not published."""
        return self.ports.get(key, host)

    def as_renames(self) -> dict[str, dict[str, str]]:
        """As `bodies.rewrite` takes it."""
        tables = ("project", "containers", "volumes", "networks", "paths", "ports", "addresses")
        found = {name: dict(sorted(getattr(self, name).items())) for name in tables}
        return {name: table for name, table in found.items() if table}


def problems(options: Options, selected: Selected) -> list[str]:
    """Codes of what is wrong with the options themselves: "project_name", "path", "suffix", "one_project", "ports"."""
    found = []
    other = options.placement in BESIDE
    if other and not PROJECT_NAME.fullmatch(options.project_name):
        found.append("project_name")
    if options.placement == "other_project" and len({one.name for one in selected.projects} | _owners(selected)) > 1:
        found.append("one_project")
    if not SUFFIX.fullmatch(options.name_suffix):
        found.append("suffix")
    if (options.placement == "other_path" or options.path) and not _absolute(options.path):
        found.append("path")
    if options.ports == "shift" and _unshiftable(options, selected):
        found.append("ports")
    return found


def _absolute(path: str) -> bool:
    parts = path.split("/")[1:]
    odd = any(ord(letter) < 32 for letter in path) or any(part in ("", ".", "..") for part in parts)
    return path.startswith("/") and path != "/" and not odd


def _unshiftable(options: Options, selected: Selected) -> bool:
    ports = [int(port.host) for one in selected.containers for port in one.shape.ports if port.host.isdigit()]
    return any(not 0 < port + options.port_shift <= _HIGHEST_PORT for port in ports)


def names_for(contents: Contents, selected: Selected, options: Options, freed: Iterable[str] = ()) -> Names:
    """The new names of everything that is restored. `freed`: networks (old names) that get other addresses."""
    other = options.placement in BESIDE
    project = _projects(selected, options) if other else {}
    suffix = _suffix(options)
    free = set(freed) | ({one.name for one in selected.networks if not one.external} if other else set())
    # Beside the originals, their static addresses are taken: also in networks that both are in.
    given_up = free | ({one.name for one in contents.networks} if other else set())
    return Names(
        project=project,
        containers=_changed({one.name: _container_name(one, project, suffix) for one in selected.containers}),
        volumes=_volume_names(contents, selected, project, options) if other else {},
        networks=_network_names(selected, project, options) if other else {},
        paths=_places(selected, options),
        ports=_ports(selected, options),
        addresses=dict.fromkeys(_addresses(selected, given_up), ""),
        freed=frozenset(free),
    )


def _suffix(options: Options) -> str:
    return options.name_suffix or (f"-{options.project_name}" if options.placement in BESIDE else "")


def declared_name(kind: str, name: str, owner: str, contents: Contents, names: Names, options: Options) -> str:
    """What a file of the project `owner` has to say for a name of it, also of what the archive does not have."""
    if kind == "container":
        return _container_name(Container(name, project=owner, service=owner), names.project, _suffix(options))
    known = contents.volume(name) if kind == "volume" else contents.network(name)
    if known is not None or owner not in names.project:
        return names.volume(name) if kind == "volume" else names.network(name)
    return _own_name(name, owner, names.project, options)


def _projects(selected: Selected, options: Options) -> dict[str, str]:
    """In a drill several projects are started beside each other."""
    if options.placement == "drill":
        names = sorted({one.name for one in selected.projects} | _owners(selected))
        return {name: options.project_name + (f"-{n}" if n else "") for n, name in enumerate(names)}
    project = {one.name: options.project_name for one in selected.projects}
    return project or dict.fromkeys(_owners(selected), options.project_name)


def _owners(selected: Selected) -> set[str]:
    """Projects of which something is restored."""
    found = {one.project for one in selected.containers} | {one.project for one in selected.volumes}
    return {name for name in found if name}


def base_of(options: Options) -> str:
    """The directory below which files are put; empty: at their own places."""
    if options.placement == "in_place":
        return ""
    return options.path or f"/srv/{options.project_name}"


def files_only(selected: Selected, options: Options) -> bool:
    """At another path and without containers, a volume is a directory of files: the engine is not touched."""
    return options.placement == "other_path" and not selected.containers


def _changed(names: dict[str, str]) -> dict[str, str]:
    return {old: new for old, new in names.items() if new != old}


def _volume_names(
    contents: Contents, selected: Selected, project: Mapping[str, str], options: Options
) -> dict[str, str]:
    rows = [one for one in contents.volumes if one.name in selected.volume_names]
    return _changed({one.name: _volume_name(one, project, options) for one in rows})


def _network_names(selected: Selected, project: Mapping[str, str], options: Options) -> dict[str, str]:
    return _changed({one.name: _network_name(one, project, options) for one in selected.networks})


def _container_name(one: Container, project: Mapping[str, str], suffix: str) -> str:
    new = project.get(one.project or "")
    if new and one.service:
        for sign in ("_", "-"):
            if one.name.startswith(f"{one.project}{sign}"):
                return new + one.name[len(one.project or "") :]
    return one.name + suffix


def _volume_name(one: Volume, project: Mapping[str, str], options: Options) -> str:
    if one.anonymous:
        return hashlib.sha256(f"{one.name} {options.project_name}".encode("utf-8", "surrogateescape")).hexdigest()
    return _own_name(one.name, one.project, project, options)


def _network_name(one: Network, project: Mapping[str, str], options: Options) -> str:
    # An external network is where others are met: it stays what it is.
    return one.name if one.external else _own_name(one.name, one.project, project, options)


def _own_name(name: str, owner: str | None, project: Mapping[str, str], options: Options) -> str:
    if owner and owner in project and name.startswith(f"{owner}_"):
        return project[owner] + name[len(owner) :]
    return f"{name}_{options.project_name}"


def _places(selected: Selected, options: Options) -> dict[str, str]:
    base = base_of(options).rstrip("/")
    devices = [one.device for one in selected.volumes if one.device]
    return {path: base + path for path in (*selected.paths, *devices)} if base else {}


def _ports(selected: Selected, options: Options) -> dict[str, str]:
    found = {}
    for one in selected.containers:
        for port in one.shape.ports:
            if options.ports == "none":
                found[port.key] = ""
            elif options.ports == "shift" and port.host.isdigit():
                found[port.key] = str(int(port.host) + options.port_shift)
    return found


def _addresses(selected: Selected, freed: set[str]) -> list[str]:
    return sorted(
        address
        for one in selected.containers
        for link in one.shape.links
        if link.network in freed
        for address in link.addresses
    )
