"""What a Docker job means on a server as it is now: projects, containers, volumes and places, and what is left out.

Pure, from a report. The plan reads what is chosen here; the wizard lists the same with the same reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext_noop

from backups.docker_errors import DumpImpossible, EngineStopped, EngineUnknown, SwarmTask, VolumeAmbiguous
from backups.errors import SourceMissing
from backups.sources.databases import Row, listed
from backups.sources.docker_config import DUMP, NONE, PAUSE, STOP, DockerConfig
from servers.capabilities.docker import Bind, Container, Docker, DockerVolume, Project
from servers.capabilities.docker_places import Place, place_of
from servers.capabilities.report import Report

# Why something is left out, as the record of an archive says it; a page shows the sentence translated.
NOT_CHOSEN = gettext_noop("it was not chosen")
NEVER = gettext_noop("it belongs to the machine itself and is never read")
SYSTEM = gettext_noop("it is a part of the system and was not chosen")
SOCKET = gettext_noop("it is a socket")
SPECIAL = gettext_noop("it is neither a file nor a directory")
MISSING = gettext_noop("it is not there")
NO_DIRECTORY = gettext_noop("its driver shows no directory of it on this machine")
_BY_KIND = {"socket": SOCKET, "other": SPECIAL, "missing": MISSING}


@dataclass(frozen=True)
class Still:
    """How one container is kept still."""

    container: Container
    key: str
    way: str


@dataclass(frozen=True)
class Chosen:
    """What is read of an engine. `left_out` rows have "kind", "name" and "reason"."""

    projects: tuple[Project, ...]
    containers: tuple[Container, ...]  # also those of the projects
    volumes: tuple[DockerVolume, ...]
    binds: tuple[Bind, ...]
    still: tuple[Still, ...]
    # Tasks of a Swarm that the job's default would have stopped, and those to be dumped that do not run.
    swarm: tuple[Container, ...]
    asleep: tuple[Container, ...]
    # Volumes that are read while containers write to them which the job has nothing to do with: (name, containers).
    shared: tuple[tuple[str, tuple[str, ...]], ...]
    left_out: tuple[Row, ...]


def engine_of(report: Report) -> Docker:
    """The engine, when it answers. Raises EngineUnknown, EngineStopped."""
    probe, docker = report.probe("docker"), report.docker
    if docker is None or probe is None or probe.state != "ok":
        raise EngineUnknown((probe and probe.problem) or "")
    if not docker.running:
        raise EngineStopped(docker.problem or "")
    return docker


def key_of(container: Container) -> str:
    """What names a container also after it was made anew: project/service, else its name."""
    if container.project is not None and container.service is not None:
        return f"{container.project}/{container.service}"
    return container.name or ""


def choose(config: DockerConfig, docker: Docker) -> Chosen:
    """What the configuration means here.

    Raises SourceMissing for what was chosen by name and is gone, VolumeAmbiguous, SwarmTask, DumpImpossible.
    """
    projects = _projects(config, docker)
    containers = _containers(config, docker, projects)
    volumes = _volumes(config, docker, projects, containers)
    binds, out = _binds(config, docker, containers)
    left_out = [
        *_rest("project", docker.projects, projects),
        *_rest("container", docker.standalone, containers),
        *_rest("volume", docker.volumes, volumes),
        *({"kind": "volume", "name": one.name, "reason": NO_DIRECTORY} for one in volumes if not one.mountpoint),
        *out,
    ]
    still, swarm, asleep = _still(config, containers)
    shared = _shared(docker, containers, volumes)
    return Chosen(projects, containers, volumes, binds, still, swarm, asleep, shared, tuple(left_out))


def why_left(bind: Bind, data_root: str | None) -> str:
    """Why a place is not read unless it is chosen; empty when it is. NEVER, SOCKET …: also when it is chosen."""
    if bind.kind in _BY_KIND:
        return _BY_KIND[bind.kind]
    places = {place_of(path, data_root) for path in (bind.source, bind.target) if path}
    if Place.NEVER in places:
        return NEVER
    return SYSTEM if Place.SYSTEM in places else ""


def _projects(config: DockerConfig, docker: Docker) -> tuple[Project, ...]:
    known = {one.name: one for one in docker.projects if one.name}
    names = list(known) if config.projects is None else config.projects
    _check_there(name for name in names if name not in known)
    return tuple(known[name] for name in names if name not in config.without_projects)


def _containers(config: DockerConfig, docker: Docker, projects: Sequence[Project]) -> tuple[Container, ...]:
    alone = {one.name: one for one in docker.standalone if one.name}
    names = list(alone) if config.containers is None else config.containers
    _check_there(name for name in names if name not in alone)
    of_projects = {one.name for one in projects}
    members = [one for one in docker.containers if one.project in of_projects and one.name]
    return (*members, *(alone[name] for name in names))


def _volumes(
    config: DockerConfig, docker: Docker, projects: Sequence[Project], containers: Sequence[Container]
) -> tuple[DockerVolume, ...]:
    known = {one.name: one for one in docker.volumes if one.name}
    without = {_resolve(name, known, projects) for name in config.without_volumes}
    if config.volumes is not None:
        found = {name: _resolve(name, known, projects) for name in config.volumes}
        _check_there(name for name, volume in found.items() if volume is None)
        wanted = [name for name in found.values() if name is not None]
    elif config.takes_all and not config.without_projects:
        wanted = list(known)
    else:
        # Of a part of the engine: the volumes that belong to this part, or are used in it.
        names, users = {one.name for one in projects}, {one.name for one in containers}
        wanted = [name for name, one in known.items() if one.project in names or users & set(one.used_by)]
        if config.takes_all:
            wanted += [name for name, one in known.items() if one.is_orphan and one.project is None]
    return tuple(known[name] for name in dict.fromkeys(wanted) if name not in without)


def _resolve(name: str, known: dict[str, DockerVolume], projects: Sequence[Project]) -> str | None:
    """The volume of this name, or the one that a project calls so. None without any. Raises VolumeAmbiguous."""
    if name in known:
        return name
    logical = [one for one in known.values() if one.logical == name]
    mine = [one for one in logical if one.project in {project.name for project in projects}] or logical
    if len(mine) > 1:
        raise VolumeAmbiguous(name=name, volumes=listed([str(one.name) for one in mine]))
    return mine[0].name if mine else None


def _binds(config: DockerConfig, docker: Docker, containers: Sequence[Container]) -> tuple[tuple[Bind, ...], list[Row]]:
    names = {one.name for one in containers}
    known = {one.source: one for one in docker.binds if one.source}
    if config.binds is not None:
        _check_there(path for path in config.binds if path not in known)
    found, out = [], []
    for path, bind in known.items():
        chosen = config.binds is not None and path in config.binds
        if not (chosen or names & set(bind.containers)):
            continue
        reason = why_left(bind, docker.data_root)
        if reason == SYSTEM and chosen:
            reason = ""
        elif not reason and (path in config.without_binds or (config.binds is not None and not chosen)):
            reason = "" if bind.inside and path not in config.without_binds else NOT_CHOSEN
        if reason:
            out.append({"kind": "bind", "name": path, "reason": reason})
        else:
            found.append(bind)
    return tuple(found), out


def _still(
    config: DockerConfig, containers: Sequence[Container]
) -> tuple[tuple[Still, ...], tuple[Container, ...], tuple[Container, ...]]:
    still, swarm, asleep = [], [], []
    for one in containers:
        key = key_of(one)
        way = config.way_of(key)
        if way == NONE or one.oneoff or (one.ours and way in (PAUSE, STOP)):
            continue  # what makes the backup cannot wait for its end
        if way in (PAUSE, STOP) and one.stack:
            if key in config.ways:
                raise SwarmTask(container=one.name or "", stack=one.stack)
            swarm.append(one)
        elif way == DUMP and not one.engine:
            raise DumpImpossible(container=one.name or "")
        elif one.state == "running" or (one.state == "restarting" and way != DUMP):
            # One that the engine is just starting anew may run by then; if it does not, the server tells it.
            still.append(Still(one, key, way))
        elif way == DUMP:
            asleep.append(one)
    return tuple(still), tuple(swarm), tuple(asleep)


def _shared(
    docker: Docker, containers: Sequence[Container], volumes: Sequence[DockerVolume]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Containers outside of the job that run and may write to a volume of it: it never keeps them still."""
    mine = {one.id for one in containers}
    users: dict[str, list[str]] = {}
    for one in docker.containers:
        if one.id in mine or one.state not in ("running", "restarting"):
            continue
        for name in sorted({mount.name for mount in one.mounts if mount.name and mount.writable is not False}):
            users.setdefault(name, []).append(one.name or "")
    return tuple((one.name, tuple(users[one.name])) for one in volumes if one.name in users)


def _rest(kind: str, known: Iterable[Project | Container | DockerVolume], taken: Sequence[object]) -> list[Row]:
    names = {one.name for one in taken}  # type: ignore[attr-defined]
    return [{"kind": kind, "name": one.name, "reason": NOT_CHOSEN} for one in known if one.name not in names]


def _check_there(names: Iterable[str]) -> None:
    gone = list(names)
    if gone:
        raise SourceMissing(paths=listed(gone))
