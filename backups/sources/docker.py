"""Docker: Compose projects, containers, volumes and what belongs to them, read under their own names.

What is only in the engine (how containers, networks and volumes are made), images and dumps are written by the snapshot
kind `docker` on the server (servers/remote/snapshots/docker.py) into DOCKER_PLACE, which Borg reads as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from backups.sources import docker_config, docker_words, own_names
from backups.sources import paths as spelling
from backups.sources.base import Freeze, SourceFacts, SourcePlan, View
from backups.sources.databases import Row, listed
from backups.sources.docker_choice import MISSING, NEVER, Chosen, choose, engine_of
from backups.sources.docker_config import DUMP, SAVED, DockerConfig
from backups.sources.frozen import outermost
from phpborg.errors import InvalidInput
from servers.capabilities.docker import Docker, Project
from servers.capabilities.docker_places import is_own_directory, is_virtual
from servers.capabilities.storage import normal
from servers.capabilities.volumes import holds

# Where Borg sees what is generated for the archive: manifest.json, images/, dumps/.
DOCKER_PLACE = "/var/lib/phpborg/docker"


class DockerSource:
    """One engine."""

    kind = "docker"
    label = gettext_lazy("Docker")

    def parse(self, data: Mapping[str, Any]) -> DockerConfig:
        """Checked. Raises InvalidInput, ListTooLong."""
        return docker_config.parse(data)

    def asks(self, config: DockerConfig) -> tuple[bytes, ...]:
        """None: the report knows every path."""
        return ()

    def probes(self, config: DockerConfig) -> tuple[str, ...]:
        """The engine's own."""
        return ("docker",)

    def summary(self, config: DockerConfig) -> str:
        """A few words for a list."""
        if config.takes_all:
            return _("all of Docker")
        parts = []
        if config.projects is None:
            parts.append(_("all projects"))
        elif config.projects:
            parts.append(listed(config.projects, 3))
        if config.containers:
            parts.append(listed(config.containers, 3))
        if config.volumes:
            count = len(config.volumes)
            parts.append(ngettext("{count} volume", "{count} volumes", count).format(count=count))
        return " · ".join(parts) or _("all volumes")

    def plan(self, config: DockerConfig, facts: SourceFacts) -> SourcePlan:
        """What Borg reads, by the report; without one, what will be looked at.

        Raises EngineUnknown, EngineStopped, SourceMissing, VolumeAmbiguous, SwarmTask, DumpImpossible.
        """
        if facts.report is None:
            return SourcePlan(sentences=(docker_words.outlook(),))
        docker = engine_of(facts.report)
        chosen = choose(config, docker)
        reading = Reading(docker)
        reading.all_of(config, chosen)
        paths = outermost([DOCKER_PLACE, *reading.paths])
        left_out = (*chosen.left_out, *reading.left_out)
        return SourcePlan(
            paths=tuple(path.encode() for path in paths),
            excludes=_excludes(paths, config, facts.keep_out),
            sentences=docker_words.sentences(config, docker, chosen, left_out),
            findings=docker_words.findings(config, facts.report, chosen, left_out),
            freeze=_freeze(config, docker, chosen, paths),
            left_out=left_out,
        )


class Reading:
    """Collects the paths to be read; what cannot be is told, and keeps nothing else from being read."""

    def __init__(self, docker: Docker) -> None:
        self.paths: list[str] = []
        self.left_out: list[Row] = []
        self._docker = docker

    def all_of(self, config: DockerConfig, chosen: Chosen) -> None:
        """Volumes, projects, places outside, Dockerfiles, and the engine's own configuration."""
        for volume in chosen.volumes:
            if volume.mountpoint:
                self._add("volume", volume.mountpoint)
        for project in chosen.projects:
            self._project(project)
        for bind in chosen.binds:
            self._add("bind", bind.source, bind.target)
        for container in chosen.containers:
            if container.dockerfile:
                directory = normal(container.dockerfile).rpartition("/")[0]
                whole = is_own_directory(directory, self._docker.data_root)
                self._add("file", directory if whole else container.dockerfile)
        if config.config_files:
            for path in self._docker.config_files:
                self._add("file", path)

    def _project(self, project: Project) -> None:
        """Its directory with all that is in it; and the files and build contexts that lie outside."""
        directory = project.working_dir or ""
        if project.directory == "directory" and is_own_directory(project.target or directory, self._docker.data_root):
            self._add("project", directory, project.target)
        else:
            wide = project.directory == "directory"
            reason = docker_words.WIDE if wide else docker_words.NO_FOLDER
            self.left_out.append({"kind": "project_directory", "name": directory or project.name, "reason": reason})
        for path in (*project.config_files, *project.environment_files, *project.files):
            if path in project.missing_files:
                self.left_out.append({"kind": "file", "name": path, "reason": MISSING})
            else:
                self._add("file", path)
        for name in project.unclear:
            self.left_out.append({"kind": "file", "name": name, "reason": docker_words.UNCLEAR})
        for build in project.builds:
            if build.exists and build.context:
                whole = is_own_directory(build.context, self._docker.data_root)
                self._add("file", build.context if whole else build.dockerfile)

    def _add(self, kind: str, *paths: str | None) -> None:
        for path in filter(None, paths):
            try:
                clean = spelling.clean(spelling.from_wire(path)).decode()
            except (InvalidInput, UnicodeError):
                self.left_out.append({"kind": kind, "name": path, "reason": docker_words.ODD_NAME})
                continue
            if is_virtual(clean):
                self.left_out.append({"kind": kind, "name": path, "reason": NEVER})
            else:
                self.paths.append(clean)


def _excludes(paths: Sequence[str], config: DockerConfig, keep_out: Iterable[bytes]) -> tuple[str, ...]:
    """What lies inside a path that is read, and is not wanted: places that were left out, phpBorg's own, restores'."""
    ours = [spelling.to_wire(place) for place in keep_out]
    inside = [
        place for place in (*config.without_binds, *ours) if any(holds(path, place) and path != place for path in paths)
    ]
    return (*(f"pp:{place}" for place in inside), *own_names.of_restores())


def _freeze(config: DockerConfig, docker: Docker, chosen: Chosen, paths: Sequence[str]) -> Freeze:
    """What the helper writes down, and which containers it keeps still meanwhile."""
    still = [
        {
            "container": one.container.name,
            "project": one.container.project,
            "service": one.container.service,
            "number": one.container.number,
            "how": one.way,
        }
        for one in chosen.still
        if one.way != DUMP
    ]
    used = {one.image_id for one in chosen.containers}
    plan = {
        "containers": [one.name for one in chosen.containers],
        "volumes": [one.name for one in chosen.volumes],
        "paths": [path for path in paths if path != DOCKER_PLACE],
        "binds": [one.source for one in chosen.binds],
        "networks": None,
        "images": [one.id for one in docker.images if one.id in used] if config.images == SAVED else [],
        "quiesce": still,
        "dumps": [
            {"container": one.container.name, "engine": one.container.engine} for one in chosen.still if one.way == DUMP
        ],
        "config_files": list(docker.config_files) if config.config_files else [],
    }
    return Freeze(
        kind="docker",
        arguments={"kind": "docker", "socket": docker.socket, "plan": plan},
        views=(View("/", DOCKER_PLACE),),
        sentence=docker_words.freezes(config, docker, chosen),
        undo=docker_words.undo(chosen),
    )
