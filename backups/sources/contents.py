"""The streams of a dump: names in the archive for databases and configuration files, and what a record says of each."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from backups import source_errors as e
from backups.borg import names
from backups.sources import databases as shared
from backups.sources.base import Stream
from backups.sources.databases import DatabaseSource, Row, Seen
from servers.capabilities.databases import Database
from servers.capabilities.storage import normal
from servers.capabilities.volumes import holds

MOST_STREAMS = 2000  # the helper carries no more in one run
_LONGEST_PART, _LONGEST_NAME = 200, 4000  # bytes of a stream's name
# What the probes call configuration and is a folder of it: a stream is one plain file.
_FOLDERS = ("/etc/mysql",)


@dataclass
class Contents:
    """Streams of one archive with the two lists of its record."""

    streams: list[Stream] = field(default_factory=list)
    included: list[Row] = field(default_factory=list)
    left_out: list[Row] = field(default_factory=list)

    def add(self, kind: str, name: str, stream: Stream, **more: Any) -> None:
        """A stream, and what of the server is in it."""
        self.streams.append(stream)
        self.included.append({"kind": kind, "name": name, "path": stream.name, **more})

    def add_files(self, files: Sequence[str]) -> None:
        """Configuration files that exist, below `config/`; what is no plain file is told."""
        for path in dict.fromkeys(files):
            reason = why_no_stream(path)
            if reason:
                self.left_out.append(shared.left_out(path, reason, "config"))
            else:
                self.add("config", path, Stream(f"config{path}", "file", {"path": path}, path))

    def check(self) -> None:
        """Raises TooManyStreams."""
        if len(self.streams) > MOST_STREAMS:
            raise e.TooManyStreams(count=len(self.streams), limit=MOST_STREAMS)


def why_no_stream(path: str) -> str:
    """Why a configuration file cannot be a stream of its own path; empty when it can."""
    if not path.startswith("/") or normal(path) != path or path == "/" or len(path.encode()) > _LONGEST_NAME:
        return shared.ODD_NAME
    if any(len(part.encode()) > _LONGEST_PART for part in path.split("/")):
        return shared.ODD_NAME
    return shared.FOLDER if path in _FOLDERS or posixpath.basename(path).endswith(".d") else ""


def files_beside(seen: Seen[Any], places: Sequence[str]) -> tuple[list[str], list[Row]]:
    """(configuration files to add to a copy of these places, those that cannot be added, as rows of a record).

    What lies in the places is read anyway.
    """
    wanted = seen.instance.config_files if seen.config.config_files else ()
    beside = [path for path in dict.fromkeys(wanted) if not any(holds(place, path) for place in places)]
    out = [shared.left_out(path, reason, "config") for path in beside if (reason := why_no_stream(path))]
    return [path for path in beside if not why_no_stream(path)], out


def stream_name(folder: str, number: int, name: str, ending: str) -> str:
    """“postgresql/0003-weird-db-name.sql”: the number makes it unique, the words are for people."""
    # The letter before it keeps what has no plain letter of its own from being called something else.
    words = names.slug(f"x {name}")[2:] or "database"
    return f"{folder}/{number:04d}-{words}{ending}"


def chosen(
    source: DatabaseSource[Any], seen: Seen[Any], known: Sequence[Database], why_not: Callable[[Database], str]
) -> tuple[list[str], list[Row]]:
    """(names to dump, in their order; what is left out, with the reason).

    `why_not` says why a database is never dumped on its own; empty when it is. Raises DatabaseGone,
    DatabaseNotDumped, InstanceUnclear. When no login was seen to work, the chosen names are taken as they are.
    """
    wanted = seen.config.databases
    if not known and not seen.login_is_known:
        return list(wanted), []
    if source.never_empty:
        source.need(seen.instance, known or None, _("its databases are not known"))
    found = {one.name: one for one in known if one.name}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise source.error(e.DatabaseGone, seen.instance, names=shared.listed(missing))
    for name in wanted:
        if reason := why_not(found[name]):
            words = str(shared.REASONS[reason])
            raise source.error(e.DatabaseNotDumped, seen.instance, name=name, reason=words)
    out = [shared.left_out(None, shared.NAMELESS) for one in known if not one.name]
    names_of: list[str] = []
    for name, one in found.items():
        reason = why_not(one) or (shared.NOT_CHOSEN if wanted and name not in wanted else "")
        if reason:
            out.append(shared.left_out(name, reason))
        else:
            names_of.append(str(name))
    return names_of, out


def files_words(count: int) -> list[str]:
    """A sentence about configuration files; none without any."""
    if not count:
        return []
    words = ngettext("Adds {count} configuration file.", "Adds {count} configuration files.", count)
    return [words.format(count=count)]


def databases_words(count: int) -> str:
    """How many databases are dumped."""
    return ngettext(
        "Dumps {count} database, straight into the archive; nothing is written to the server's disk.",
        "Dumps {count} databases one after the other, straight into the archive; nothing is written to the "
        "server's disk.",
        count,
    ).format(count=count)


def unproven_words() -> str:
    """When a login was given that nobody has tried yet."""
    return _("Which databases there are is asked with the given login when it runs.")
