"""The configuration of a Docker job: what is chosen, what is left out, and how containers are kept still."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.job_errors import ListTooLong
from backups.sources import paths as spelling
from phpborg.errors import InvalidInput
from servers.capabilities.docker_places import is_virtual

MOST_NAMES = 2000
_LONGEST = 4096
DIGESTS, SAVED = "digests", "saved"
NONE, PAUSE, STOP, DUMP = "none", "pause", "stop", "dump"
# How a container is kept still while it is read: words, and what it means.
WAYS: dict[str, tuple[Promise, Promise]] = {
    NONE: (
        gettext_lazy("Leave it running"),
        gettext_lazy("Its files are read while it writes them: what it is writing may be half in the archive."),
    ),
    PAUSE: (
        gettext_lazy("Pause it"),
        gettext_lazy(
            "Its processes stand still while Borg reads, as at a power cut; connections wait. What they had not "
            "written yet is not in the archive."
        ),
    ),
    STOP: (
        gettext_lazy("Stop it"),
        gettext_lazy("It ends in good order before Borg reads and is started again after: it is away for that long."),
    ),
    DUMP: (
        gettext_lazy("Dump its database"),
        gettext_lazy(
            "It goes on working. Its own tool writes all its databases into a file of the archive, which can be loaded "
            "again; its volume is read as well, while it changes."
        ),
    ),
}
_KEYS = {"projects", "volumes", "containers", "exclude", "binds", "images", "config_files", "quiesce"}


@dataclass(frozen=True)
class DockerConfig:
    """None means all: projects, volumes of what is chosen, containers of no project, places that make sense.

    `ways`: how a container is kept still, by `project/service` for Compose, else by its name; `way` is for the others.
    """

    projects: tuple[str, ...] | None = None
    volumes: tuple[str, ...] | None = None
    containers: tuple[str, ...] | None = None
    binds: tuple[str, ...] | None = None
    without_projects: tuple[str, ...] = ()
    without_volumes: tuple[str, ...] = ()
    without_binds: tuple[str, ...] = ()
    images: str = DIGESTS
    config_files: bool = True
    way: str = NONE
    ways: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """As stored in the job."""
        return {
            "projects": _as_list(self.projects),
            "volumes": _as_list(self.volumes),
            "containers": _as_list(self.containers),
            "binds": _as_list(self.binds),
            "exclude": {
                "projects": list(self.without_projects),
                "volumes": list(self.without_volumes),
                "binds": list(self.without_binds),
            },
            "images": self.images,
            "config_files": self.config_files,
            "quiesce": {"default": self.way, "containers": dict(self.ways)},
        }

    @property
    def takes_all(self) -> bool:
        """Everything that the engine has, also what is made later."""
        return self.projects is None and self.volumes is None and self.containers is None

    def way_of(self, key: str) -> str:
        """How the container of this key is kept still."""
        return self.ways.get(key, self.way)


def parse(data: Mapping[str, Any]) -> DockerConfig:
    """Checked; names without repetition, in their order. Raises InvalidInput, ListTooLong."""
    if set(data) - _KEYS:
        raise InvalidInput(field=_("Source"), problem=_("it holds a setting that is not known"))
    without = _table(data.get("exclude"), _("What is left out"), {"projects", "volumes", "binds"})
    quiesce = _table(data.get("quiesce"), _("Keeping containers still"), {"default", "containers"})
    config_files = data.get("config_files", True)
    if not isinstance(config_files, bool):
        raise InvalidInput(field=_("Configuration files"), problem=_("it is either on or off"))
    config = DockerConfig(
        projects=_chosen(data.get("projects"), _("Projects")),
        volumes=_chosen(data.get("volumes"), _("Volumes")),
        containers=_chosen(data.get("containers"), _("Containers")),
        binds=_places(data.get("binds")),
        without_projects=_names(without.get("projects", []), _("Projects")),
        without_volumes=_names(without.get("volumes", []), _("Volumes")),
        without_binds=tuple(map(_path, _names(without.get("binds", []), _("Places outside")))),
        images=_one_of(data.get("images", DIGESTS), (DIGESTS, SAVED), _("Images")),
        config_files=config_files,
        way=_one_of(quiesce.get("default", NONE), (NONE, PAUSE, STOP), _("Keeping containers still")),
        ways=_ways(quiesce.get("containers")),
    )
    # Without names of volumes, those of what is chosen are meant.
    if config.projects == config.containers == () and not config.volumes:
        raise InvalidInput(field=_("Projects"), problem=_("choose at least one project, volume or container"))
    return config


def _as_list(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else list(names)


def _table(value: Any, label: str, keys: set[str]) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or set(value) - keys:
        raise InvalidInput(field=label, problem=_("it holds a setting that is not known"))
    return value


def _chosen(value: Any, label: str) -> tuple[str, ...] | None:
    return None if value is None else _names(value, label)


def _names(value: Any, label: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidInput(field=label, problem=_("a list is needed"))
    if len(value) > MOST_NAMES:
        raise ListTooLong(count=len(value), limit=MOST_NAMES)
    for name in value:
        if not isinstance(name, str) or not name or len(name) > _LONGEST or "\0" in name:
            raise InvalidInput(field=label, problem=_("it is no name"))
    return tuple(dict.fromkeys(value))


def _places(value: Any) -> tuple[str, ...] | None:
    chosen = _chosen(value, _("Places outside"))
    if chosen is None:
        return None
    paths = tuple(dict.fromkeys(map(_path, chosen)))
    for path in paths:
        # Where the engine keeps its own is known only from a report: the plan looks again.
        if is_virtual(path):
            problem = _("{path} belongs to the machine itself and is never read").format(path=path)
            raise InvalidInput(field=_("Places outside"), problem=problem)
    return paths


def _path(text: str) -> str:
    return spelling.to_wire(spelling.clean(spelling.from_wire(text)))


def _one_of(value: Any, known: tuple[str, ...], label: str) -> str:
    if value not in known:
        raise InvalidInput(field=label, problem=_("choose one of: {choices}").format(choices=", ".join(known)))
    return str(value)


def _ways(value: Any) -> dict[str, str]:
    label = _("Keeping containers still")
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput(field=label, problem=_("a list is needed"))
    names = _names(list(value), label)
    return {name: _one_of(value[name], tuple(WAYS), label) for name in names}
