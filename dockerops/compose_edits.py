"""Which edits make a project's restored files fit the plan's names, ports and paths, and what is left to people. Pure.

Edits, and not texts: a Compose file may hold secrets, and a plan lies in the database. An edit is the place in the file
with what stands there and what will; with the file's SHA-256 that is as sure as its whole new text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from dockerops.compose_files import NAME_TAKEN, ComposeFile, Site
from dockerops.manifest import Contents
from dockerops.naming import Names, base_of, declared_name, files_only
from dockerops.options import Options
from dockerops.plan import Note
from dockerops.scripts.filling import moved
from dockerops.selecting import Selected, inside

_NUMBER = re.compile(r"[0-9]+")
_HIGHEST_PORT = 65_535
# Letters that mean nothing to YAML, to Compose and in an `.env`; others are new only where they stood before.
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-@+=,")
_TOLD = 50
Edit = dict[str, Any]


@dataclass
class Rewriting:
    """`files`: rows of the step, but for where each is extracted. `notes`: what is left to people.

    `known`: did anybody look into the files of what is restored?
    """

    files: list[dict[str, Any]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    known: bool = False


def rewriting(contents: Contents, selected: Selected, names: Names, options: Options) -> Rewriting:
    """For everything that is restored. A drill's files go with it, and files alone are put back as they were."""
    found = Rewriting()
    if options.placement == "drill" or not names.as_renames() or files_only(selected, options):
        return found
    projects = {one.name for one in selected.projects}
    mine = [one for one in contents.compose_files if one.project in projects and _is_restored(one, selected)]
    found.known = bool(mine)
    edits: dict[str, list[Edit]] = {}
    for one in mine:
        maker = _Maker(one, contents, names, options)
        if one.unread:
            found.notes.append(Note("compose_unread", {"path": maker.placed(one.path)}))
        for site in one.sites:
            maker.edit(site, edits, found.notes)
    sums = {one.path: one.sha256 for one in mine}
    for path in sorted(edits):
        if path not in sums:
            found.notes += [_by_hand(row["line"], base_of(options) + path, row["key"]) for row in edits[path]]
        elif rows := list(_apart(edits[path], base_of(options) + path, found.notes)):
            row = {"path": _placed(path, options), "source": path, "sha256": sums[path], "edits": rows}
            found.files.append(row)
    del found.notes[_TOLD:]
    return found


def _is_restored(one: ComposeFile, selected: Selected) -> bool:
    """Is this file put in place? An `.env` that the archive does not have is made where its project's files are."""
    files = [one.path] if one.sha256 or one.unread else [one.directory]
    return any(inside(path, above) for path in files for above in selected.paths)


def _placed(path: str, options: Options) -> str:
    return base_of(options).rstrip("/") + path


def _by_hand(line: int, path: str, key: str) -> Note:
    return Note("by_hand", {"line": line, "path": path, "key": key})


def _apart(rows: Iterable[Edit], path: str, notes: list[Note]) -> Iterator[Edit]:
    """Those that do not stand in each other's way; a place that would have to say two things says what it did."""
    at = -1
    together: list[list[Edit]] = []
    for row in sorted(rows, key=lambda one: (one["start"], one["key"])):
        if row["start"] < at or (together and row["start"] == together[-1][0]["start"]):
            together[-1].append(row)
        else:
            together.append([row])
        at = max(at, row["start"] + len(row["old"].encode()))
    for group in together:
        if all((one["start"], one["old"], one["new"]) == _what(group[0]) for one in group):
            yield group[0]
        else:
            notes += [_by_hand(one["line"], path, one["key"]) for one in group]


def _what(row: Edit) -> tuple[int, str, str]:
    return row["start"], row["old"], row["new"]


@dataclass
class _Maker:
    """The edits of one file."""

    file: ComposeFile
    contents: Contents
    names: Names
    options: Options

    def placed(self, path: str) -> str:
        """Where a file of the project is put."""
        return _placed(path, self.options)

    def edit(self, site: Site, edits: dict[str, list[Edit]], notes: list[Note]) -> None:
        """Add what becomes of one place: nothing, an edit, or a note."""
        wanted = self._wanted(site)
        is_known = bool(wanted) or site.kind == "ports"
        if wanted is None or (is_known and wanted == site.value and not site.lead):
            return
        if site.pattern and site.pattern.replace(NAME_TAKEN, self._project()) == wanted:
            return  # it follows from the project's name
        path = site.file or self.file.path
        new = site.lead + self._quoted(site, wanted) + site.tail
        if site.hand or not is_known or not set(wanted) <= _SAFE | set(site.old):
            notes.append(_by_hand(site.line, self.placed(path), site.key))
            return
        row = {"start": site.start, "line": site.line, "key": site.key, "old": site.old, "new": new}
        edits.setdefault(path, []).append(row)

    def _project(self) -> str:
        return self.names.project.get(self.file.project, self.file.project)

    def _wanted(self, site: Site) -> str | None:
        """What the place has to say; None: what it says. "" where nobody can know."""
        if site.hand and not site.value and not site.pattern:
            return "" if self._concerns(site) else None
        kind = site.kind.removeprefix("external_")
        if kind != site.kind:
            new = self.names.volume(site.value) if kind == "volume" else self.names.network(site.value)
            return None if new == site.value else new
        return _WANTED[kind](self, site)

    def _concerns(self, site: Site) -> bool:
        """Would a place that nobody can read have to change?"""
        if site.kind in ("port", "ports"):
            return self.options.ports == ("shift" if site.kind == "port" else "none")
        if site.kind == "address":
            return bool(self.names.freed)
        if site.kind in ("path", "mount"):
            return bool(self.names.paths)
        if site.kind in ("container", "container_used"):
            return bool(self.names.containers or self.names.project)
        return site.kind == "look" or bool(self.names.project)

    def _name(self, site: Site) -> str | None:
        new = declared_name(site.kind, site.value, self.file.project, self.contents, self.names, self.options)
        return None if new == site.value else new

    def _of_project(self, site: Site) -> str | None:
        return self._project() if self.file.project in self.names.project else None

    def _used(self, site: Site) -> str | None:
        return self.names.container(site.value)

    def _port(self, site: Site) -> str | None:
        if self.options.ports != "shift":
            return None
        numbers = [int(word) + self.options.port_shift for word in _NUMBER.findall(site.value)]
        if not all(0 < one <= _HIGHEST_PORT for one in numbers):
            return ""
        return "-".join(map(str, numbers))

    def _ports(self, site: Site) -> str | None:
        return "" if self.options.ports == "none" else None

    def _mount(self, site: Site) -> str | None:
        return self._path(site) if site.value.startswith(("/", ".")) else None

    def _path(self, site: Site) -> str | None:
        """Where the path is now, when the file would no longer lead there."""
        if site.value.startswith("~"):
            return None
        if site.value.startswith("/"):
            return moved(site.value, self.names.paths)
        was = os.path.normpath(os.path.join(self.file.directory, site.value))
        now = os.path.normpath(os.path.join(self.placed(self.file.directory), site.value))
        wanted = self.names.path(was)
        return None if wanted == now else wanted

    def _quoted(self, site: Site, wanted: str) -> str:
        """A name that YAML would take for a number or the like gets quotes."""
        is_word = site.plain or site.lead.endswith("name: ")
        if not is_word or site.kind in ("port", "ports", "path", "mount"):
            return wanted
        try:
            is_text = yaml.safe_load(wanted) == wanted
        except (yaml.YAMLError, ValueError):  # "2024-13-45" is the date of no day
            is_text = False
        return wanted if is_text else f'"{wanted}"'


_WANTED: dict[str, Callable[[_Maker, Site], str | None]] = {
    "project": _Maker._of_project,
    "container": _Maker._name,
    "container_used": _Maker._used,
    "volume": _Maker._name,
    "network": _Maker._name,
    "port": _Maker._port,
    "ports": _Maker._ports,
    "path": _Maker._path,
    "mount": _Maker._mount,
}
