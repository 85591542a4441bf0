"""What a look into the archive found, laid out for the pages: sections of the same shape, whatever they list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dockerops import typed
from dockerops.manifest import Contents
from dockerops.models import DockerRestore
from dockerops.templatetags.docker_tags import shown
from dockerops.views.frame import LABELS, Step

KINDS = ("projects", "volumes", "containers", "networks", "binds", "configs")
FEW = 8  # a longer list is narrowed down by a text


@dataclass(frozen=True)
class Row:
    """One thing of the archive. `value` stands for its name in a form; `lacks` says why it cannot be restored."""

    name: str
    value: str
    origin: str
    size_bytes: int | None = None
    details: tuple[str, ...] = ()
    lacks: str = ""

    @property
    def shown(self) -> str:
        return shown(self.name)


@dataclass(frozen=True)
class Section:
    """All of one kind. `has_sizes`: a column of sizes says something here."""

    kind: str
    title: str
    icon: str
    rows: tuple[Row, ...]
    has_sizes: bool = False

    @property
    def total_bytes(self) -> int | None:
        """Of those whose size is known; None when none is."""
        known = [row.size_bytes for row in self.rows if row.size_bytes is not None]
        return sum(known) if known else None

    @property
    def origin(self) -> str:
        """How all of them are known, where that is the same for all; else each says it."""
        found = {row.origin for row in self.rows}
        return found.pop() if len(found) == 1 else ""

    @property
    def is_long(self) -> bool:
        return len(self.rows) > FEW


def contents_of(row: DockerRestore) -> Contents:
    """The typed contents of a draft or record."""
    return Contents.from_json(row.contents)


def of(row: DockerRestore) -> dict[str, Any]:
    """What the page of contents shows."""
    contents = contents_of(row)
    return {
        "contents": contents,
        "sections": [section for section in sections(contents) if section.rows],
        "images": contents.images,
        "dumps": contents.dumps,
        "left": contents.not_included,
    }


def sections(contents: Contents) -> list[Section]:
    """Everything that can be chosen, in the order of the pages."""
    return [
        Section("projects", _("Compose projects"), "list", _projects(contents)),
        Section("volumes", _("Volumes"), "storage", _volumes(contents), has_sizes=True),
        Section("containers", _("Containers"), "container", _containers(contents)),
        Section("networks", _("Networks"), "globe", _networks(contents)),
        Section("binds", _("Paths of the server"), "folder", _binds(contents), has_sizes=True),
        Section("configs", _("Configuration of the engine"), "settings", _configs(contents)),
    ]


def first_stations() -> list[dict[str, Any]]:
    """The stations of a wizard that has not begun."""
    return [{"key": step.name, "label": LABELS[step], "url": None, "done": False} for step in Step]


def _value(name: str) -> str:
    return str(typed.stored(name))


def _row(one: Any, details: list[str], **more: Any) -> Row:
    return Row(one.name, _value(one.name), one.origin, details=tuple(filter(None, details)), **more)


def _projects(contents: Contents) -> tuple[Row, ...]:
    rows = []
    for one in contents.projects:
        count = len(one.containers)
        details = [
            shown(one.working_dir) if one.working_dir else "",
            ngettext("{count} container", "{count} containers", count).format(count=count) if count else "",
            ngettext("{count} volume", "{count} volumes", len(one.volumes)).format(count=len(one.volumes)),
        ]
        rows.append(_row(one, details))
    return tuple(rows)


def _volumes(contents: Contents) -> tuple[Row, ...]:
    rows = []
    for one in contents.volumes:
        driver = _("driver {driver}").format(driver=shown(one.driver)) if one.driver not in ("", "local") else ""
        details = [_of_project(one.project), _("anonymous") if one.anonymous else "", driver, _used_by(one.used_by)]
        lacks = "" if one.path else (one.problem and shown(one.problem)) or _("Its data is not in the archive.")
        rows.append(_row(one, details, size_bytes=one.size_bytes, lacks=lacks))
    return tuple(rows)


def _containers(contents: Contents) -> tuple[Row, ...]:
    from dockerops.templatetags.docker_tags import container_state

    rows = []
    for one in contents.containers:
        details = [shown(one.image), container_state(one.state) if one.state else "", _of_project(one.project)]
        rows.append(_row(one, details))
    return tuple(rows)


def _networks(contents: Contents) -> tuple[Row, ...]:
    rows = []
    for one in contents.networks:
        details = [one.driver, ", ".join(one.subnets), _of_project(one.project), _("external") if one.external else ""]
        rows.append(_row(one, [shown(word) for word in details]))
    return tuple(rows)


def _binds(contents: Contents) -> tuple[Row, ...]:
    """Those that are there: what was left out stands in its own list."""
    return tuple(
        Row(
            one.source,
            _value(one.source),
            one.origin,
            one.size_bytes,
            tuple(filter(None, [_of_project(one.project), _used_by(one.containers)])),
        )
        for one in contents.binds
        if one.path
    )


def _configs(contents: Contents) -> tuple[Row, ...]:
    return tuple(Row(path, _value(path), contents.origin) for path in contents.config_files)


def _of_project(name: str | None) -> str:
    return _("of {project}").format(project=shown(name)) if name else ""


def _used_by(names: tuple[str, ...]) -> str:
    return _("used by {names}").format(names=", ".join(map(shown, names))) if names else ""
