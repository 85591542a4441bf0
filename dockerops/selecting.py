"""What a choice takes out of an archive: names become things, and nothing that was not chosen comes along."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dockerops.choice import Choice
from dockerops.errors import NothingChosen, NotInArchive
from dockerops.manifest import Bind, Container, Contents, Network, Project, Volume


@dataclass(frozen=True)
class Selected:
    """What is restored. `paths`: files and directories outside volumes, none inside another; `files` as in Choice."""

    projects: tuple[Project, ...] = ()
    containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    networks: tuple[Network, ...] = ()
    paths: tuple[str, ...] = ()
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    # Chosen by their own names: even an external one of these is made when it is missing.
    named: frozenset[str] = frozenset()

    @property
    def container_names(self) -> frozenset[str]:
        """Names as in the archive."""
        return frozenset(one.name for one in self.containers)

    @property
    def volume_names(self) -> frozenset[str]:
        """Names as in the archive, also of those of which single files are taken."""
        return frozenset(one.name for one in self.volumes) | frozenset(self.files)


def select(contents: Contents, choice: Choice) -> Selected:
    """Raises NothingChosen and NotInArchive."""
    _check_known(contents, choice)
    picked = _PICKS[choice.mode](contents, choice)
    if not any((picked.projects, picked.containers, picked.volumes, picked.networks, picked.paths, picked.files)):
        raise NothingChosen()
    return picked


def _check_known(contents: Contents, choice: Choice) -> None:
    known = {
        "project": ({one.name for one in contents.projects}, choice.projects),
        "volume": ({one.name for one in contents.volumes}, (*choice.volumes, *choice.files)),
        "container": ({one.name for one in contents.containers}, choice.containers),
        "network": ({one.name for one in contents.networks}, choice.networks),
        "bind": ({one.source for one in contents.binds}, choice.binds),
        "config": (set(contents.config_files), choice.configs),
    }
    for kind, (there, asked) in known.items():
        for name in asked:
            if name not in there:
                raise NotInArchive(kind=kind, name=name)


def _all(contents: Contents, choice: Choice) -> Selected:
    return Selected(
        projects=contents.projects,
        containers=contents.containers,
        volumes=contents.volumes,
        networks=contents.networks,
        paths=_paths([*_project_paths(contents.projects), *_bind_paths(contents.binds), *contents.config_files]),
        named=frozenset(one.name for one in contents.volumes),
    )


def _volumes(contents: Contents, choice: Choice) -> Selected:
    wanted = set(choice.volumes) or ({one.name for one in contents.volumes} if not choice.files else set())
    volumes = tuple(one for one in contents.volumes if one.name in wanted and one.name not in choice.files)
    return Selected(volumes=volumes, files=_files(choice), named=frozenset(wanted))


def _projects(contents: Contents, choice: Choice) -> Selected:
    """Whole applications: definition, containers, own volumes, networks, and what they bind."""
    projects = tuple(one for one in contents.projects if not choice.projects or one.name in choice.projects)
    names = {one.name for one in projects}
    containers = tuple(one for one in contents.containers if one.project in names)
    binds = [one for one in contents.binds if one.project in names]
    return Selected(
        projects=projects,
        containers=containers,
        volumes=tuple(one for one in contents.volumes if one.project in names),
        networks=_networks_of(contents, containers, names),
        paths=_paths([*_project_paths(projects), *_bind_paths(binds)]),
    )


def _configs(contents: Contents, choice: Choice) -> Selected:
    return Selected(paths=_paths([path for path in contents.config_files if path in (choice.configs or (path,))]))


def _custom(contents: Contents, choice: Choice) -> Selected:
    projects = tuple(one for one in contents.projects if one.name in choice.projects)
    names = {one.name for one in projects}
    containers = tuple(one for one in contents.containers if one.project in names or one.name in choice.containers)
    binds = [one for one in contents.binds if one.source in choice.binds]
    # What a project binds outside of its directory is chosen by itself.
    outside = {one.path for one in contents.binds if not one.inside and one.source not in choice.binds}
    own = [path for path in _project_paths(projects) if path not in outside]
    networks = {one.name: one for one in contents.networks if one.name in choice.networks}
    networks.update({one.name: one for one in _networks_of(contents, containers, names) if not one.external})
    return Selected(
        projects=projects,
        containers=containers,
        volumes=tuple(
            one for one in contents.volumes if one.name in choice.volumes and one.name not in choice.files
        ),
        networks=tuple(networks.values()),
        paths=_paths([*own, *_bind_paths(binds), *choice.configs]),
        files=_files(choice),
        named=frozenset((*choice.volumes, *choice.networks)),
    )  # fmt: skip


_PICKS = {"all": _all, "volumes": _volumes, "projects": _projects, "configs": _configs, "custom": _custom}


def _networks_of(contents: Contents, containers: Iterable[Container], projects: set[str]) -> tuple[Network, ...]:
    """Those of the projects, and those that the containers are connected to."""
    used = {link.network for one in containers for link in one.shape.links}
    return tuple(one for one in contents.networks if one.project in projects or one.name in used)


def _project_paths(projects: Iterable[Project]) -> list[str]:
    return [path for one in projects for path in one.paths]


def _bind_paths(binds: Iterable[Bind]) -> list[str]:
    return [one.path for one in binds if one.path]


def _files(choice: Choice) -> dict[str, tuple[str, ...]]:
    """Of each volume, each once: what lies in a chosen folder comes with it."""
    return {volume: _paths(paths) for volume, paths in choice.files.items()}


def _paths(paths: Iterable[str]) -> tuple[str, ...]:
    """Sorted, each once, none inside another."""
    kept: list[str] = []
    for path in sorted({path.rstrip("/") or "/" for path in paths}, key=lambda one: one.split("/")):
        if not kept or not inside(path, kept[-1]):
            kept.append(path)
    return tuple(kept)


def inside(path: str, above: str) -> bool:
    """Is `path` this directory, or below it?"""
    return path == above or path.startswith(above.rstrip("/") + "/")
