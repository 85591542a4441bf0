"""An archive of mongodump into a running MongoDB, by mongorestore.

It replaces collection by collection, which cannot be undone: so the archive is followed to its end once before
anything is touched.
"""

import re
from typing import Any, Dict, Iterable, List, Set, Tuple

from .. import children, validate, wire
from ..holds.mongodb import Way
from ..probes import bson, scram
from ..probes import mongodb as probe
from ..producers import mongodb as tools
from .base import PIPE, Census, Failed, Loader

_RESTORED = re.compile(r"([0-9]+) document\(s\) restored successfully\. ([0-9]+) document\(s\) failed")
_FINISHED = re.compile(r"finished restoring (.+) \(([0-9]+) documents?(?:, ([0-9]+) failures?)?\)")
# What it writes by commands of their own, or never, and does not count. Time series lie in “buckets”.
_ACCOUNTS = ("system.users", "system.roles", "system.version")
_BUCKETS = "system.buckets."
_OPLOG = ("", "oplog")
# mongorestore replays it only into a server that gets all of the dump, under the names of before.
_NOT_REPLAYED = (
    "the dump's log of what was written meanwhile was not replayed: the collections are of moments that differ a little"
)
_MOST_NAMED = 20
_MOST_LISTED = 10000
_SPECIAL = re.compile(r"([\\*$])")
_NOT_IN_NAMES = re.compile(r"[/\\. \"$*<>:|?\0]")


class _Walked(Census):
    """Whole is what ends after the end of every collection."""

    def __init__(self) -> None:
        super().__init__()
        self._walk = tools.Walk()
        # The databases of the last reading.
        self.rehearsed: Set[str] = set()

    def start_again(self) -> None:
        known = self._walk.databases
        super().start_again()
        self.rehearsed = known

    @property
    def held(self) -> Dict[Tuple[str, str], int]:
        """How many documents the archive has of each (database, collection)."""
        return self._walk.held

    def add(self, chunk: bytes) -> None:
        super().add(chunk)
        try:
            self._walk.feed(chunk)
        except bson.Damaged as error:
            raise Failed("the archive is damaged: {}".format(error)) from None

    def judge(self) -> None:
        super().judge()
        missing = self._walk.missing()
        if missing is not None:
            raise Failed("the archive is not whole: {}".format(missing))


def mongodb(into: Dict[str, Any], secrets: Dict[str, Any], token: str) -> Loader:
    """{"database" (null: all, with their users), "as", "replace", "accounts": only those} and the access row."""
    return _Mongodb(into, secrets)


class _Mongodb(Loader):
    what = "mongorestore"
    rehearses = True
    census: _Walked

    def __init__(self, into: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        super().__init__()
        self.census = _Walked()
        program = children.find("mongorestore")
        if program is None:
            raise wire.Refused("missing", "mongorestore is not installed (mongodb-database-tools, or mongo-tools)")
        words, self._fds, _ = tools.reach(into, secrets)
        self._argv = [program, *words, *names(into), "--stopOnError", "--archive"]
        self._into = into
        self._way = Way(into, secrets)

    def start(self, stderr: int) -> Any:
        database = self._into.get("database")
        if database is not None and database not in self.census.rehearsed:
            raise Failed("the archive holds nothing of “{}”".format(database))
        # From the first collection on it cannot be taken back.
        self.untouched = None
        return children.start(self._argv, None, {}, stderr, stdin=PIPE, pass_fds=self._fds)

    def reported(self, lines: Iterable[str]) -> None:
        documents: Dict[str, int] = {}
        failed: Dict[str, int] = {}
        for line in lines:
            match = _FINISHED.search(line)
            if match is not None:
                documents[match.group(1)] = int(match.group(2))
                failed[match.group(1)] = int(match.group(3) or 0)
        wrong = differences(self._wanted(), documents, failed)
        if wrong:
            more = ["and {} more".format(len(wrong) - _MOST_NAMED)] if len(wrong) > _MOST_NAMED else []
            words = "; ".join([*wrong[:_MOST_NAMED], *more])
            raise Failed("mongorestore has not restored what the archive holds: {}".format(words))

    def told(self, words: str) -> None:
        match = _RESTORED.search(words)
        if match is None:
            raise Failed("mongorestore did not say how many documents it has restored: {}".format(words[-500:]))
        if int(match.group(2)):
            raise Failed("{} documents were not restored: {}".format(match.group(2), words[-500:]))
        count = sum(self._wanted().values())
        if int(match.group(1)) < count:
            text = "mongorestore has restored {} documents, the archive holds {}"
            raise Failed(text.format(match.group(1), count))

    def finish(self) -> Dict[str, Any]:
        held = self.census.held
        if self._into.get("accounts") is True:
            counts = {"users": held.get(("admin", "system.users")), "roles": held.get(("admin", "system.roles"))}
        else:
            wanted = self._wanted()
            counts = {"collections": len(wanted), "documents": sum(wanted.values())}
            if self._into.get("replace") is True:
                self._tell_others(set(wanted))
            if _OPLOG in held:
                self.notes.append(_NOT_REPLAYED)
        return dict(counts, bytes=self.census.bytes)

    def _wanted(self) -> Dict[str, int]:
        return expected(self.census.held, self._into)

    def _tell_others(self, wanted: Set[str]) -> None:
        """With --drop mongorestore replaces collections, not a database: those that the archive lacks are still there.

        A server that does not answer fails no load: all that was asked for is there.
        """
        database = self._into["as"]
        try:
            with self._way.open() as connection:
                talk = probe.Talk(connection)
                self._way.sign_in(talk)
                answer = talk.ask("listCollections", database, nameOnly=True, cursor={"batchSize": _MOST_LISTED})
        except (OSError, ValueError, probe.Refused, scram.Failed) as error:
            self.notes.append("it is not known which other collections are there: {}".format(error))
            return
        rows = answer.get("cursor", {}).get("firstBatch", [])
        there = {str(row.get("name")) for row in rows if row.get("type") != "view"}
        others = sorted(name for name in there if not name.startswith("system.") and _of(database, name) not in wanted)
        if others:
            words = ", ".join(others[:_MOST_NAMED]) + (", …" if len(others) > _MOST_NAMED else "")
            self.notes.append("collections that the dump does not hold stay as they are: {}".format(words))


def _of(database: str, name: str) -> str:
    return "{}.{}".format(database, name)


def expected(held: Dict[Tuple[str, str], int], into: Dict[str, Any]) -> Dict[str, int]:
    """Of each collection that is to be there, by “database.collection”: how many documents the archive has."""
    wanted: Dict[str, int] = {}
    if into.get("accounts") is True:
        return wanted
    for (database, collection), count in held.items():
        name = collection[len(_BUCKETS) :] if collection.startswith(_BUCKETS) else collection
        chosen = into.get("database") in (None, database) and database
        if chosen and not name.startswith("$") and (name == "system.js" or not name.startswith("system.")):
            target = _of(into["as"] if into.get("database") is not None else database, name)
            wanted[target] = wanted.get(target, 0) + count
    return wanted


def differences(wanted: Dict[str, int], documents: Dict[str, int], failed: Dict[str, int]) -> List[str]:
    """What mongorestore said otherwise than the archive, one sentence a collection."""
    found = []
    for name, count in sorted(wanted.items()):
        if name not in documents:
            found.append("nothing was said of {}, which has {} documents".format(name, count))
        elif documents[name] < count or failed.get(name):
            found.append("{} of {} documents of {}".format(documents[name], count, name))
    return found


def names(into: Dict[str, Any]) -> List[str]:
    """The options that choose and rename; without a database, all of the archive."""
    words = ["--drop"] if into.get("replace") is True else []
    if into.get("database") is None:
        return words
    database, target = (_name(into.get(key), key) for key in ("database", "as"))
    if into.get("accounts") is True:
        return [*words, *("--nsInclude=admin.{}".format(name) for name in _ACCOUNTS)]
    words.append("--nsInclude={}.*".format(_SPECIAL.sub(r"\\\1", database)))
    if database == "admin":
        # The accounts are another choice; with --drop those that are there would go.
        words += ["--nsExclude=admin.{}".format(name) for name in _ACCOUNTS]
    if target != database:
        words += ["--nsFrom={}.*".format(_SPECIAL.sub(r"\\\1", database)), "--nsTo={}.*".format(target)]
    return words


def _name(value: Any, what: str) -> str:
    found = validate.text(value, what, limit=63)
    if not found or _NOT_IN_NAMES.search(found):
        raise wire.Refused("invalid", "this cannot be the name of a database: {!r}".format(found))
    return found
