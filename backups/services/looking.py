"""Short questions to a server while a job is defined: its folders, its hooks, what an exclusion drops.

Nothing here raises because a server does not answer: the page says so and goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backups import sources
from backups.borg import specs
from backups.models import BackupJob
from backups.services.plan import keep_out
from backups.sources import paths as spelling
from backups.sources.base import PathFact, SourceFacts
from backups.sources.files import FilesConfig, left_out_mounts
from phpborg.errors import PhpBorgError
from servers.models import Server
from servers.services.reach import host_for

SHORT_SECONDS = 12
PREVIEW_SECONDS = 30
FOLDER_ENTRIES = 500
_DROPPED = 200


@dataclass(frozen=True)
class Hooks:
    """The hooks that a server offers; `problem` when it could not be asked."""

    names: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    problem: str = ""


def hooks_of(server: Server) -> Hooks:
    """The scripts in /etc/phpborg/hooks on this server."""
    try:
        answer = host_for(server).call("hooks", timeout=SHORT_SECONDS)
    except PhpBorgError as error:
        return Hooks(problem=str(error))
    refused = tuple((str(row["name"]), str(row["problem"])) for row in answer["refused"])
    return Hooks(tuple(str(name) for name in answer["hooks"]), refused)


@dataclass(frozen=True)
class Entry:
    """One line of the folder picker."""

    path: bytes
    name: str
    kind: str

    @property
    def is_folder(self) -> bool:
        """Can it be opened?"""
        return self.kind == "directory"

    @property
    def can_be_chosen(self) -> bool:
        """Borg cannot begin at a name that is not UTF-8 (below a chosen folder any name is fine)."""
        try:
            specs.source(self.path)
        except PhpBorgError:
            return False
        return True

    @property
    def value(self) -> str:
        """For the form."""
        return spelling.to_form(self.path)


@dataclass(frozen=True)
class Folder:
    """A folder on a server, one page of it; `problem` when it could not be read."""

    path: bytes
    entries: tuple[Entry, ...] = ()
    after: str = ""
    problem: str = ""

    @property
    def value(self) -> str:
        """For the form."""
        return spelling.to_form(self.path)

    @property
    def shown(self) -> str:
        """For people."""
        return spelling.shown(self.path)

    @property
    def trail(self) -> list[tuple[str, str]]:
        """Name and form value of each folder above, from the root on."""
        parts = [part for part in self.path.split(b"/") if part]
        above = [(b"/" + b"/".join(parts[: depth + 1]), part) for depth, part in enumerate(parts)]
        return [("/", "/"), *((spelling.shown(part), spelling.to_form(path)) for path, part in above)]


def folder(server: Server, path: bytes, *, after: str = "") -> Folder:
    """What is in this folder; folders first within a page."""
    try:
        path = spelling.clean(path)
        answer = host_for(server).call(
            "list_dir",
            {"path": spelling.to_wire(path), "after": after, "limit": FOLDER_ENTRIES},
            timeout=SHORT_SECONDS,
        )
    except PhpBorgError as error:
        return Folder(path, problem=str(error))
    rows = [_entry(path, row) for row in answer["entries"]]
    last = spelling.to_form(spelling.from_wire(answer["entries"][-1]["name"])) if answer["more"] else ""
    return Folder(path, tuple(sorted(rows, key=lambda row: not row.is_folder)), after=last)


def _entry(path: bytes, row: dict[str, Any]) -> Entry:
    name = spelling.from_wire(str(row["name"]))
    full = (path if path != b"/" else b"") + b"/" + name
    return Entry(full, spelling.shown(name), str(row["kind"]))


@dataclass(frozen=True)
class Preview:
    """What exclusions would drop. `unmatched` are patterns that match nothing; None: not known in the time."""

    complete: bool
    included: int
    excluded: int
    dropped: tuple[str, ...]
    unmatched: tuple[str, ...]
    unknown: tuple[str, ...]
    messages: tuple[str, ...]
    mounts: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]


def preview(server: Server, config: FilesConfig) -> Preview:
    """Ask borg on the server, limited in time. Raises the errors of servers."""
    host = host_for(server)
    facts = ask_paths(server, config.paths)
    options = [f"--exclude={pattern}" for pattern in config.excludes]
    options += ["--one-file-system"] if config.one_file_system else []
    options += ["--exclude-caches"] if config.exclude_caches else []
    answer = host.call(
        "exclude_preview",
        {
            "paths": [spelling.to_wire(path) for path in config.paths],
            "options": [*options, *(f"--exclude=pp:{spelling.to_wire(place)}" for place in keep_out(server))],
            "limit_seconds": PREVIEW_SECONDS,
        },
        timeout=PREVIEW_SECONDS + 15,
    )
    own = {f"--exclude={pattern}": pattern for pattern in config.excludes}
    matched = {own[row["option"]]: row["matched"] for row in answer["excludes"] if row["option"] in own}
    return Preview(
        complete=answer["complete"] is True,
        included=int(answer["included"]),
        excluded=int(answer["excluded"]),
        dropped=tuple(spelling.shown(spelling.from_wire(path)) for path in answer["dropped"][:_DROPPED]),
        unmatched=tuple(pattern for pattern, found in matched.items() if found is False),
        unknown=tuple(pattern for pattern, found in matched.items() if found is None),
        messages=tuple(str(line) for line in answer["messages"][:10]),
        mounts=tuple((spelling.shown(path), kind) for path, kind in left_out_mounts(config, facts.values())),
        missing=tuple(spelling.shown(fact.path) for fact in facts.values() if not fact.exists),
    )


def ask_paths(server: Server, paths: Sequence[bytes]) -> dict[bytes, PathFact]:
    """What the server says about these paths. Raises the errors of servers."""
    answer = host_for(server).call(
        "paths", {"paths": [spelling.to_wire(path) for path in paths]}, timeout=SHORT_SECONDS
    )
    return dict(zip(paths, (PathFact.from_answer(row) for row in answer["paths"]), strict=True))


def facts_of(job: BackupJob) -> tuple[SourceFacts, PhpBorgError | None]:
    """The facts for a plan; empty, with the reason, when the server does not answer."""
    source = sources.get(job.source_kind)
    try:
        return SourceFacts(ask_paths(job.server, source.asks(source.parse(job.source)))), None
    except PhpBorgError as error:
        return SourceFacts(), error
