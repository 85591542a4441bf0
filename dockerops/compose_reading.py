"""The places of Compose files that say names, ports and paths, found by a real reader of YAML. Pure.

Only places are taken, never whole texts: environments stay where they are. What is written in a way that an edit could
spoil (anchors, tags, words over several lines) is marked `hand`; what cannot be read at all is `unread`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice

import yaml

from dockerops.compose_files import NAME, ComposeFile, Site, may_be_asked
from dockerops.compose_variables import Place, Unclear, Variables, assignments
from dockerops.compose_yaml import Document, Odd, Pair, Scalar, parts_of, port_part
from dockerops.manifest import Contents, Project
from servers.remote.probes.compose_values import is_plain

_PORTS = re.compile(r"[0-9]{1,5}(?:-[0-9]{1,5})?")
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://|git@|github\.com/")
_MOST_SITES, _MOST_LETTERS = 2000, 200
# Of all files of an archive. The reader may need a minute and a half for so much, and people do not have more.
_MOST_FILES, MOST_BYTES = 200, 2 << 20


def env_of(project: Project) -> str:
    """The file of variables that every Compose reads by itself; "" for a project without a directory."""
    return os.path.join(project.working_dir, ".env") if project.working_dir else ""


def wanted(contents: Contents) -> list[str]:
    """The paths to be given to `found_in`: the first of them, and only what can be one in an archive."""
    rows = (path for one in contents.projects if one.working_dir for path in (*one.config_files, env_of(one)))
    return sorted(islice(dict.fromkeys(path for path in rows if may_be_asked(path)), _MOST_FILES))


def found_in(
    contents: Contents, texts: Mapping[str, bytes | None], check: Callable[[], object] = lambda: None
) -> tuple[ComposeFile, ...]:
    """What the files say. `texts`: by path; None for what is no plain file; what is missing is not in the archive.

    `check` is asked before each file, and raises when somebody wants the end.
    """
    known = {
        "container": {one.name for one in contents.containers},
        "volume": {one.name for one in contents.volumes},
        "network": {one.name for one in contents.networks},
    }
    read = _Texts({**dict.fromkeys(_not_asked(contents)), **texts}, check)
    rows = [row for one in contents.projects if one.working_dir for row in _Reading(one, read, known).files()]
    return tuple(rows)


def _not_asked(contents: Contents) -> set[str]:
    """Files of which nobody knows whether the archive has them."""
    named = {path for one in contents.projects if one.working_dir for path in (*one.config_files, env_of(one))}
    return named - set(wanted(contents))


@dataclass
class _Texts:
    """The files, and how much of them is still read: reading takes long, and whoever made the archive chose them.

    A file counts for each project that names it, since its places are looked for with that project's variables.
    """

    by_path: Mapping[str, bytes | None]
    check: Callable[[], object]
    files: int = _MOST_FILES
    bytes: int = MOST_BYTES
    sums: dict[str, str] = field(default_factory=dict)

    def text(self, path: str) -> str | None:
        """None for what is not there, is no plain file or no text, and for what is too much."""
        self.check()
        raw = self.by_path.get(path)
        if raw is None or not self.files or len(raw) > self.bytes:
            return None
        self.files, self.bytes = self.files - 1, self.bytes - len(raw)
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return None

    def sum(self, path: str) -> str:
        """SHA-256 of a plain file; empty for what is none."""
        raw = self.by_path.get(path)
        if raw is not None and path not in self.sums:
            self.sums[path] = hashlib.sha256(raw).hexdigest()
        return self.sums.get(path, "")


@dataclass
class _Reading:
    project: Project
    texts: _Texts
    known: Mapping[str, set[str]]
    sites: list[Site] = field(default_factory=list)
    taken: set[tuple[int, int]] = field(default_factory=set)  # a word that is named twice is one place

    def files(self) -> Iterator[ComposeFile]:
        """All of one project."""
        env, self.variables = env_of(self.project), Variables(self.project.name)
        declared = self._environment(env)
        # Each is let go when its places are taken: what the reader makes of it is much larger than its text.
        read = {path: self._sites(path) for path in self.project.config_files if path != env}
        for path, sites in read.items():
            yield self._file(path, sites)
        yield replace(self._file(env, declared), sha256=self.texts.sum(env))

    def _file(self, path: str, sites: list[Site] | None) -> ComposeFile:
        directory = self.project.working_dir or "/"
        if sites is None:
            return ComposeFile(path, self.project.name, directory, self.texts.sum(path), unread=True)
        fit = tuple(self._checked(site) for site in sites)
        return ComposeFile(path, self.project.name, directory, self.texts.sum(path), sites=fit)

    def _environment(self, path: str) -> list[Site] | None:
        """The project's name in its `.env`, which every Compose takes; None when nobody understands that file."""
        if path not in self.texts.by_path:
            # A file beside it shows that the directory is one, and no link to another.
            above = {
                os.path.dirname(one) for one in self.project.config_files if self.texts.by_path.get(one) is not None
            }
            is_real = self.project.working_dir in above
            return [Site("project", NAME, 0, 1, lead=f"{NAME}=", tail="\n", hand=not is_real)]
        text = self.texts.text(path)
        try:
            rows = assignments(text or "")
        except Unclear:
            return None
        if text is None:
            return None
        self.variables.rows, lines = rows, text.splitlines()
        for one in (row for named in rows.values() for row in named if row.value is None):
            # It may be made of others; which ones, its text would tell.
            self.variables.count(lines[one.line - 1])
        if NAME in rows:
            return [
                Site("project", NAME, one.start, one.line, one.value or "", one.value or "", hand=one.value is None)
                for one in rows[NAME]
            ]
        begin = "" if not text or text.endswith("\n") else "\n"
        return [Site("project", NAME, len(text.encode()), len(lines) + 1, lead=f"{begin}{NAME}=", tail="\n")]

    def _sites(self, path: str) -> list[Site] | None:
        text = self.texts.text(path)
        if text is None:
            return None
        self.sites, self.taken = [], set()  # nodes of another file may have the numbers of these
        try:
            self.document = Document(text)
            for word in self.document.texts():
                self.variables.count(word)
            self._root()
        except (Odd, RecursionError):
            return None
        return self.sites

    # --- the parts of a file ---------------------------------------------------------------------

    def _root(self) -> None:
        table = self.document.table(self.document.root)
        self._take("project", "name", table.get("name"))
        services = table.get("services")
        for name, one in self.document.table(services[1] if services else self.document.root).items():
            self.document.spend(1)
            if isinstance(one[1], yaml.MappingNode):
                self._service(f"services.{name[:_MOST_LETTERS]}", one[1])
        for kind in ("volume", "network"):
            for name, node in self._tables(table, f"{kind}s"):
                self._resource(kind, f"{kind}s.{name[:_MOST_LETTERS]}", name, node)
        for section in ("configs", "secrets"):
            for name, node in self._tables(table, section):
                self._take("path", f"{section}.{name[:_MOST_LETTERS]}.file", self.document.table(node).get("file"))
        if "include" in table:
            self._look("include", table["include"][0])

    def _tables(self, table: Mapping[str, Pair], key: str) -> Iterator[tuple[str, yaml.MappingNode]]:
        if key in table and isinstance(table[key][1], yaml.MappingNode):
            for name, (_, node) in self.document.table(table[key][1]).items():
                if isinstance(node, yaml.MappingNode):
                    yield name, node

    def _service(self, key: str, node: yaml.Node) -> None:
        table = self.document.table(node)
        self._take("container", f"{key}.container_name", table.get("container_name"))
        for name in ("network_mode", "ipc", "pid"):
            self._mode(f"{key}.{name}", table.get(name), is_network=name == "network_mode")
        for at, one in self._items(f"{key}.volumes_from", table.get("volumes_from")):
            self._part("container_used", at, one, _after_container)
        for at, one in self._items(f"{key}.external_links", table.get("external_links")):
            self._part("container_used", at, one, lambda text: parts_of(text)[0])
        self._ports(f"{key}.ports", table.get("ports"))
        for at, one in self._items(f"{key}.volumes", table.get("volumes")):
            self._mount(at, one)
        self._files(key, table)
        for name, one in self._tables(table, "networks"):
            for word in ("ipv4_address", "ipv6_address"):
                if word in self.document.table(one):
                    self._look(
                        f"{key}.networks.{name[:_MOST_LETTERS]}.{word}", self.document.table(one)[word][0], "address"
                    )

    def _files(self, key: str, table: Mapping[str, Pair]) -> None:
        for at, one in self._items(f"{key}.env_file", table.get("env_file")):
            self._path(at, self.document.table(one).get("path", (one, one))[1])
        build = table.get("build")
        if build is not None:
            self._path(f"{key}.build", self.document.table(build[1]).get("context", build)[1])
        extends = table.get("extends")
        if extends is not None and "file" in self.document.table(extends[1]):
            self._look(f"{key}.extends", extends[0])

    def _mode(self, key: str, pair: Pair | None, *, is_network: bool) -> None:
        if pair is None or not isinstance(pair[1], yaml.ScalarNode):
            return
        if pair[1].value.startswith("container:"):
            self._part("container_used", key, pair[1], _after_container)
        elif is_network and ":" not in pair[1].value and pair[1].value not in ("host", "none", "bridge", "default"):
            self._take("external_network", key, pair)

    def _ports(self, key: str, pair: Pair | None) -> None:
        if pair is None or not isinstance(pair[1], yaml.SequenceNode) or not pair[1].value:
            return
        if self._is_new(pair[0]):
            start, old, whole = self.document.list_of(pair[0], pair[1])
            head = old[: old.index(":") + 1] if whole else ""
            line = self.document.line(pair[0])
            self._add(Site("ports", key, start, line, old if whole else "", lead=f"{head} []", hand=not whole))
        for at, one in self._items(key, pair):
            if isinstance(one, yaml.ScalarNode) and "$" in one.value and len(parts_of(one.value)) == 1:
                self._look(at, one, "port")  # it may hold the machine's port, too
            elif isinstance(one, yaml.ScalarNode):
                self._part("port", at, one, port_part)
            else:
                self._take("port", f"{at}.published", self.document.table(one).get("published"))

    def _mount(self, key: str, node: yaml.Node) -> None:
        if isinstance(node, yaml.ScalarNode):
            self._part("mount", key, node, lambda text: parts_of(text)[0] if len(parts_of(text)) > 1 else None)
            return
        table = self.document.table(node)
        if "type" in table and table["type"][1].value == "bind":
            self._take("path", f"{key}.source", table.get("source"))

    def _path(self, key: str, node: yaml.Node) -> None:
        self._part("path", key, node, _all_of_it)

    def _resource(self, kind: str, key: str, name: str, node: yaml.MappingNode) -> None:
        """A volume or a network: how it is really called."""
        table = self.document.table(node)
        external = table.get("external")
        if external is not None and isinstance(external[1], yaml.MappingNode):
            named = self.document.table(external[1]).get("name")
            self._take(f"external_{kind}", f"{key}.external.name", named)
            return
        is_external = external is not None and str(external[1].value).lower() in ("true", "yes", "on")
        if "name" in table:
            self._take(f"external_{kind}" if is_external else kind, f"{key}.name", table["name"])
        elif is_external and external is not None:
            start, lead = self.document.beside(node, *external)
            line = self.document.line(external[0])
            self._add(Site(f"external_{kind}", f"{key}.name", start, line, "", name, lead=f"{lead}name: "))
        if "driver_opts" in table:
            device = self.document.table(table["driver_opts"][1]).get("device")
            if device is not None and device[1].value[:1] in ("/", "$"):
                self._take("path", f"{key}.driver_opts.device", device)
        if "ipam" in table and "config" in self.document.table(table["ipam"][1]):
            self._look(f"{key}.ipam", table["ipam"][0], "address")

    # --- one place -------------------------------------------------------------------------------

    def _add(self, site: Site) -> None:
        if len(self.sites) >= _MOST_SITES:
            raise Odd("it has too many places")
        self.sites.append(site)

    def _items(self, key: str, pair: Pair | None) -> Iterable[tuple[str, yaml.Node]]:
        if pair is None:
            return ()
        if isinstance(pair[1], yaml.SequenceNode):
            words = (len(one.value) for one in pair[1].value if isinstance(one, yaml.ScalarNode))
            self.document.spend(len(pair[1].value) + sum(words))
            return [(f"{key}[{number}]", one) for number, one in enumerate(pair[1].value)]
        return [(key, pair[1])]

    def _look(self, key: str, node: yaml.Node, kind: str = "look") -> None:
        self._add(Site(kind, key, line=self.document.line(node), hand=True))

    def _take(self, kind: str, key: str, pair: Pair | None) -> None:
        if pair is not None:
            self._part(kind, key, pair[1], _all_of_it)

    def _part(self, kind: str, key: str, node: yaml.Node, part_of: Callable[[str], tuple[int, str] | None]) -> None:
        """A part of a word, where it is defined."""
        if not isinstance(node, yaml.ScalarNode) or (found := part_of(node.value)) is None or not found[1]:
            return
        offset, part = found
        if not self._is_new(node, offset):
            return
        scalar = self.document.scalar(node)
        place = self.variables.place(part)
        if kind == "path" and _REMOTE.match(place.value or part):  # an address, and who may have it
            self.variables.leave(place)
            return
        site = Site(
            kind, key, 0, scalar.line, place.old, self._told(kind, place), pattern=place.pattern, hand=place.hand
        )
        if place.assignment is not None:
            site = replace(site, file=env_of(self.project), start=place.assignment.start, line=place.assignment.line)
            # Whether it says something else as well is known when everything is read.
            self._add(replace(site, pattern=place.assignment.name))
            return
        self._add(_in_file(site, scalar, offset, place, self.document))

    def _is_new(self, node: yaml.Node, offset: int = 0) -> bool:
        place = (id(node), offset)
        is_new = place not in self.taken
        self.taken.add(place)
        return is_new

    def _told(self, kind: str, place: Place) -> str:
        """What a text means. With variables in it: only a name that is known anyway, or what plainly is a path."""
        if not place.is_filled:
            return place.value
        may = place.is_plain if kind in ("path", "mount") else self._is_known(kind, place.value)
        return place.value if may else ""

    def _is_known(self, kind: str, name: str) -> bool:
        kind = kind.removeprefix("external_").partition("_")[0]
        return name == self.project.name if kind == "project" else name in self.known.get(kind, ())

    def _checked(self, site: Site) -> Site:
        """Without the value of a variable that is not what it is taken for: that may be a secret."""
        variable = site.pattern if site.file else ""
        if variable:
            site = replace(site, hand=site.hand or self.variables.is_shared(variable), pattern="")
        return site if self._fits(site, variable) else replace(site, old="", value="", hand=True)

    def _fits(self, site: Site, variable: str) -> bool:
        if site.kind in ("look", "address", "ports") or (not site.value and not site.old):
            return True
        if site.kind == "port":
            return _PORTS.fullmatch(site.value) is not None
        if not variable:
            return site.kind != "project" or _PROJECT.fullmatch(site.value) is not None
        if site.kind in ("path", "mount"):
            return site.value[:1] in ("/", ".") and is_plain(variable, site.value)
        return self._is_known(site.kind, site.value)


def _in_file(site: Site, scalar: Scalar, offset: int, place: Place, document: Document) -> Site:
    if place.offset is None or scalar.start is None:
        return replace(site, old="", hand=True)
    start = scalar.start + offset + place.offset
    plain = scalar.plain and place.old == scalar.value
    return replace(site, start=document.byte(start), plain=plain)


def _all_of_it(text: str) -> tuple[int, str]:
    return 0, text


def _after_container(text: str) -> tuple[int, str] | None:
    head, _, rest = text.partition(":")
    return (len(head) + 1, rest.partition(":")[0]) if head == "container" else None
