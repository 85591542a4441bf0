"""What a drill sees, judged. Pure: counts of an archive beside its manifest, containers, databases, answers."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils.translation import gettext_noop

from dockerops import sentences
from dockerops.drill_judging import has_done_its_work, was_unwell
from dockerops.drill_manifest import Said
from dockerops.manifest import Container, Contents
from dockerops.planning import PLACE

# A volume that is in use changes while it is read: less than this share of what was counted is no change, but a loss.
_LEAST = 0.5
_FEW = 20
_RUNNING = {"running": "running", "restarting": "running", "paused": "paused"}
_LETTERS = 500

EMPTY = gettext_noop("The volume is empty, and {expected} files were in it.")
GONE = gettext_noop("The volume is not in the archive.")
LESS = gettext_noop("The volume has {files} files, and {expected} were in it.")
NO_FILE = gettext_noop("{kind} is not in the archive.")
SHORT = gettext_noop("The dump has {bytes} bytes, and {expected} were written.")
OTHER_IMAGE = gettext_noop("It was made of {image}, and {wanted} was backed up.")
OTHER_STATE = gettext_noop("It is {state}, and it was {wanted}.")
NOT_HEALTHY = gettext_noop("It runs, and its health check says {health}.")
_KINDS = {
    "compose": gettext_noop("The Compose file"),
    "environment": gettext_noop("The environment file"),
    "image": gettext_noop("The saved image"),
    "dump": gettext_noop("The dump"),
    "bind": gettext_noop("What a container binds"),
    "project": gettext_noop("What belongs to the project"),
}


@dataclass
class Count:
    """Of what is no directory; `there`: the path itself is in the archive."""

    files: int = 0
    bytes: int = 0
    there: bool = False


@dataclass
class Tally:
    """Counts an archive's entries below the paths that are asked for; paths as the archive has them, text."""

    counts: dict[str, Count] = field(default_factory=dict)

    @classmethod
    def of(cls, contents: Contents) -> Tally:
        """For everything that `missing` asks about."""
        paths = [one.path for one in contents.volumes if one.path]
        paths += [path for _, path, _ in _files(contents)]
        return cls({_key(path): Count() for path in paths})

    def take(self, kind: str, size: int, path: bytes) -> None:
        """One entry."""
        name = path.decode("utf-8", "surrogateescape").strip("/")
        exact = self.counts.get(name)
        if exact is not None:
            exact.there = True
        if kind == "d":
            return
        while name:
            count = self.counts.get(name)
            if count is not None:
                count.files += 1
                count.bytes += size
                count.there = True
            name = posixpath.dirname(name)

    def at(self, path: str) -> Count:
        """What was counted there."""
        return self.counts.get(_key(path), Count())


def _key(path: str) -> str:
    return path.strip("/")


def _files(contents: Contents) -> list[tuple[str, str, int | None]]:
    """(kind, path, bytes where they have to be exactly so)."""
    found: list[tuple[str, str, int | None]] = []
    for project in contents.projects:
        found += [("compose", path, None) for path in project.config_files]
        found += [("environment", path, None) for path in project.environment_files]
        found += [("project", path, None) for path in project.paths]
    found += [("image", f"{PLACE}/{one.stream}", None) for one in contents.images if one.stream]
    found += [("dump", f"{PLACE}/{one.path}", one.bytes) for one in contents.dumps if one.path]
    found += [("bind", one.path, None) for one in contents.binds if one.path]
    return list(dict.fromkeys(found))


def missing(contents: Contents, tally: Tally) -> list[Said]:
    """What the manifest says is in the archive, and is not."""
    found = [said for one in contents.volumes if (said := _volume(contents, one.name, tally)) is not None]
    for kind, path, size in _files(contents):
        count = tally.at(path)
        if not count.there:
            found.append(Said(path, NO_FILE, {"kind": _KINDS[kind]}))
        elif size is not None and count.bytes != size:
            found.append(Said(path, SHORT, {"bytes": str(count.bytes), "expected": str(size)}))
    return found


def _volume(contents: Contents, name: str, tally: Tally) -> Said | None:
    one = contents.volume(name)
    if one is None or not one.path:
        return None
    count = tally.at(one.path)
    if not count.there:
        return Said(name, GONE)
    if one.files is None:
        return None
    facts = {"files": str(count.files), "expected": str(one.files)}
    if one.files and not count.files:
        return Said(name, EMPTY, facts)
    still = one.still or not any(_is_active(contents.container(user)) for user in one.used_by)
    lost = one.files >= _FEW and count.files < one.files * _LEAST
    return Said(name, LESS, facts) if lost or (still and count.files < one.files) else None


def _is_active(one: Container | None) -> bool:
    return one is None or one.state in _RUNNING


def volumes(contents: Contents, tally: Tally) -> list[dict[str, Any]]:
    """For the evidence: every volume, what was counted and what had been."""
    rows = []
    for one in contents.volumes:
        count = tally.at(one.path) if one.path else Count()
        rows.append({"name": one.name, "files": count.files, "bytes": count.bytes, "expected_files": one.files})
    return rows


# --- containers --------------------------------------------------------------------------------------


def containers(contents: Contents, new_names: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> list[Said]:
    """What is not as it was: image, state, health. `new_names`: of the archive → in the drill."""
    seen = {str(row.get("name")): row for row in rows}
    found = []
    for one in contents.containers:
        row = seen.get(new_names.get(one.name, one.name)) or {}
        if row.get("image_id") != one.image_id:
            facts = {"image": str(row.get("image_id") or "–"), "wanted": one.image_id}
            found.append(Said(one.name, OTHER_IMAGE, facts))
            continue
        wanted, state = _RUNNING.get(one.state), str(row.get("state") or "–")
        if was_unwell(one) or has_done_its_work(one, state, row.get("exit_code")):
            continue
        if wanted and state != wanted:
            found.append(Said(one.name, OTHER_STATE, {"state": state, "wanted": wanted}))
        elif wanted == "running" and row.get("health") not in (None, "none", "healthy"):
            found.append(Said(one.name, NOT_HEALTHY, {"health": str(row.get("health"))}))
    return found


# --- what a person asks ------------------------------------------------------------------------------

_YOUNGER = re.compile(r"younger than (\d{1,6}) ?(s|min|h|d)")
_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_HTTP = re.compile(r"https?://|[^/\s]+:\d{1,5}(/|$)")


@dataclass(frozen=True)
class Target:
    """Whom a question is for. `port` 0: a database (`database` may be empty: the usual one)."""

    service: str
    database: str = ""
    port: int = 0
    path: str = "/"


def target_of(name: str) -> Target:
    """`SERVICE`, `SERVICE/DATABASE`, `PROJECT/SERVICE/DATABASE`, or `SERVICE:PORT/PATH`, also with http:// before."""
    plain = name.removeprefix("http://")
    if plain != name or _HTTP.match(plain):
        where, slash, path = plain.partition("/")
        service, _, port = where.partition(":")
        return Target(service, port=int(port) if port.isdigit() else 80, path=slash + path or "/")
    if name.count("/") == 2:
        service, _, database = name.rpartition("/")
    else:
        service, _, database = name.partition("/")
    return Target(service, database)


def answer_is(expected: tuple[str, ...] | None, rows: tuple[str, ...], at: datetime) -> bool:
    """Rows as expected; “younger than 24 h” means: the first is a moment so long before `at` at most."""
    if expected is None:
        return True
    if len(expected) == 1 and (match := _YOUNGER.fullmatch(expected[0].strip())):
        moment = _moment(rows[0]) if rows else None
        return moment is not None and moment >= at - timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    return tuple(row.rstrip() for row in expected) == rows


def _moment(text: str) -> datetime | None:
    plain = text.strip()
    if re.search(r"[+-]\d\d$", plain):
        plain += ":00"
    try:
        found = datetime.fromisoformat(plain)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def http_is(expected: tuple[str, ...] | None, status: int | None, text: str) -> bool:
    """`200` is a status, anything else has to be in the text; without an expectation any status below 400 is good."""
    if status is None:
        return False
    if not expected:
        return status < 400
    words = [row.strip() for row in expected]
    statuses = [word for word in words if re.fullmatch(r"[1-5]\d\d", word)]
    good = str(status) in statuses if statuses else status < 400
    return good and all(word in text for word in words if word not in statuses)


def plain(value: Any) -> Any:
    """JSON for the evidence: names of servers as text that every database takes."""
    if isinstance(value, str):
        return sentences.shown(value)[: 40 * _LETTERS]
    if isinstance(value, Mapping):
        return {plain(str(key)): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def row_of(said: Said) -> dict[str, Any]:
    """For the evidence."""
    return {"where": said.subject, "words": said.words, "facts": said.facts}
