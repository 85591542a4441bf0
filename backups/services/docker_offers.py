"""What the wizard shows of a server's Docker engine: what can be chosen, what is read by default, and why (not)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from backups.sources.docker_choice import SYSTEM, engine_of, key_of, why_left
from backups.sources.docker_config import DUMP, NONE, PAUSE, STOP
from backups.sources.docker_words import reason_words
from phpborg.errors import PhpBorgError, describe
from phpborg.ui.format import byte_size
from servers.capabilities import sayings
from servers.capabilities.docker import Bind, Container, Docker, DockerVolume, Project
from servers.capabilities.report import Report

ENGINES = {"postgresql": "PostgreSQL", "mysql": "MySQL / MariaDB", "mongodb": "MongoDB"}
_TOLD = 3


@dataclass(frozen=True)
class EngineOffer:
    """The engine as one thing to choose. `reason` says why it cannot be chosen."""

    title: str
    text: str
    possible: bool
    reason: str = ""


@dataclass(frozen=True)
class Entry:
    """One thing in a list. `reason`: why it is not read by default; `possible`: can it be chosen all the same?"""

    name: str
    text: str
    reason: str = ""
    possible: bool = True


@dataclass(frozen=True)
class StillEntry:
    """Containers of one key that can be kept still. `ways`: those that are possible; `reason`: why not all are."""

    key: str
    text: str
    ways: tuple[str, ...]
    reason: str = ""


def engine_offer(report: Report | None) -> EngineOffer | None:
    """None where nobody has looked, or no Docker is installed."""
    if report is None:
        return None
    probe, docker = report.probe("docker"), report.docker
    if docker is not None and docker.installed is False:
        return None
    if docker is None and probe is None:
        return None
    try:
        engine = engine_of(report)
    except PhpBorgError as error:
        words = describe(error.code, error.facts).title
        return EngineOffer("Docker", "", False, " ".join(filter(None, (words, sayings.shown(error.detail)))))
    return EngineOffer(f"Docker {engine.version or ''}".strip(), counted(engine), True)


def counted(docker: Docker) -> str:
    """“2 projects · 3 containers that belong to none · 4 volumes”"""
    projects, alone, volumes = len(docker.projects), len(docker.standalone), len(docker.volumes)
    return " · ".join(
        [
            ngettext("{count} Compose project", "{count} Compose projects", projects).format(count=projects),
            ngettext("{count} container of no project", "{count} containers of no project", alone).format(count=alone),
            ngettext("{count} volume", "{count} volumes", volumes).format(count=volumes),
        ]
    )


def projects(docker: Docker) -> list[Entry]:
    """Compose projects."""
    return [Entry(one.name, _project_words(one)) for one in docker.projects if one.name]


def containers(docker: Docker) -> list[Entry]:
    """Containers that belong to no project."""
    return [Entry(one.name, _container_words(one)) for one in docker.standalone if one.name]


def volumes(docker: Docker) -> list[Entry]:
    """All volumes: named, without a name, used by nobody."""
    return [Entry(one.name, _volume_words(one)) for one in docker.volumes if one.name]


def binds(docker: Docker) -> list[Entry]:
    """Places of the machine that containers see, and that lie outside of their projects' directories."""
    found = []
    for one in docker.binds:
        if one.source and not one.inside:
            reason = why_left(one, docker.data_root)
            found.append(Entry(one.source, _bind_words(one), reason_words(reason), reason in ("", SYSTEM)))
    return found


def images_bytes(docker: Docker) -> int | None:
    """What all images of containers take together; None when it is not known of each."""
    sizes = [one.size_bytes for one in docker.images]
    return sum(size for size in sizes if size is not None) if sizes and None not in sizes else None


def still(docker: Docker) -> list[StillEntry]:
    """Containers by their key, with the ways in which each can be kept still."""
    found: dict[str, StillEntry] = {}
    for one in docker.containers:
        key = key_of(one)
        if not key or one.oneoff or key in found:
            continue
        ways, reason = [NONE, PAUSE, STOP], ""
        if one.stack:
            ways = [NONE]
            reason = _(
                "It is a task of the Swarm service “{stack}”, which would start another one in its place."
            ).format(stack=one.stack)
        if one.ours:
            ways, reason = [NONE], _("phpBorg itself runs in it, which makes the backup.")
        if one.engine:
            ways.append(DUMP)
        text = " · ".join(filter(None, (one.image, ENGINES.get(one.engine or ""), one.state)))
        found[key] = StillEntry(key, text, tuple(ways), reason)
    return list(found.values())


def _project_words(project: Project) -> str:
    said = [project.working_dir or _("directory not known")]
    if project.total is not None:
        words = ngettext(
            "{running} of {count} container running", "{running} of {count} containers running", project.total
        )
        said.append(words.format(running=project.running or 0, count=project.total))
    if project.size_bytes is not None:
        said.append(byte_size(project.size_bytes))
    if project.profiles:
        said.append(_("profiles: {names}").format(names=", ".join(project.profiles[:_TOLD])))
    return " · ".join(said)


def _container_words(container: Container) -> str:
    said = [container.image, container.state]
    if container.stack:
        said.append(_("Swarm"))
    if container.dockerfile:
        said.append(container.dockerfile)
    return " · ".join(filter(None, said))


def _volume_words(volume: DockerVolume) -> str:
    said: list[str | None] = [byte_size(volume.size_bytes) if volume.size_bytes is not None else _("size not known")]
    if volume.driver != "local":
        said.append(volume.driver)
    if volume.anonymous:
        said.append(_("without a name of its own"))
    said.append(_listed(volume.used_by) if volume.used_by else _("used by nobody"))
    if volume.readable is False:
        said.append(_("mounted only while it is used") if volume.mountpoint else _("shows no directory"))
    elif volume.empty:
        said.append(_("empty"))
    return " · ".join(filter(None, said))


def _bind_words(bind: Bind) -> str:
    kinds: dict[str, Callable[[], str]] = {
        "directory": lambda: _("directory"),
        "file": lambda: _("file"),
        "socket": lambda: _("socket"),
        "missing": lambda: _("not there"),
    }
    said = [kinds.get(bind.kind or "", lambda: _("special file"))(), _listed(bind.containers)]
    if bind.size_bytes is not None:
        said.insert(1, byte_size(bind.size_bytes))
    return " · ".join(said)


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    return ", ".join(known[:_TOLD]) + (" …" if len(known) > _TOLD else "")
