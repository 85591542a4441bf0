"""An archive of mongodump into a running MongoDB, by mongorestore.

It replaces collection by collection, which cannot be undone: so the archive is followed to its end once before
anything is touched.
"""

import re
from typing import Any, Dict, List, Optional

from .. import children, validate, wire
from ..probes import bson
from ..producers import mongodb as tools
from .base import PIPE, Census, Failed, Loader

_RESTORED = re.compile(r"([0-9]+) document\(s\) restored successfully\. ([0-9]+) document\(s\) failed")
_SPECIAL = re.compile(r"([\\*$])")
_NOT_IN_NAMES = re.compile(r"[/\\. \"$*<>:|?\0]")


class _Walked(Census):
    """Whole is what ends after the end of every collection."""

    def __init__(self) -> None:
        super().__init__()
        self._walk = tools.Walk()

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
    """{"database" (null: all, with their users), "as", "replace"} and the access row."""
    return _Mongodb(into, secrets)


class _Mongodb(Loader):
    what = "mongorestore"
    rehearses = True

    def __init__(self, into: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        super().__init__()
        self.census = _Walked()
        program = children.find("mongorestore")
        if program is None:
            raise wire.Refused("missing", "mongorestore is not installed (mongodb-database-tools, or mongo-tools)")
        words, self._fds, _ = tools.reach(into, secrets)
        self._argv = [program, *words, *names(into), "--stopOnError", "--archive"]
        self._documents: Optional[int] = None

    def start(self, stderr: int) -> Any:
        # From the first collection on it cannot be taken back.
        self.untouched = None
        return children.start(self._argv, None, {}, stderr, stdin=PIPE, pass_fds=self._fds)

    def told(self, words: str) -> None:
        match = _RESTORED.search(words)
        if match is None:
            raise Failed("mongorestore did not say how many documents it has restored: {}".format(words[-500:]))
        if int(match.group(2)):
            raise Failed("{} documents were not restored: {}".format(match.group(2), words[-500:]))
        self._documents = int(match.group(1))

    def finish(self) -> Dict[str, Any]:
        return {"documents": self._documents, "bytes": self.census.bytes}


def names(into: Dict[str, Any]) -> List[str]:
    """The options that choose and rename; without a database, all of the archive."""
    words = ["--drop"] if into.get("replace") is True else []
    if into.get("database") is None:
        return words
    database, target = (_name(into.get(key), key) for key in ("database", "as"))
    words.append("--nsInclude={}.*".format(_SPECIAL.sub(r"\\\1", database)))
    if target != database:
        words += ["--nsFrom={}.*".format(_SPECIAL.sub(r"\\\1", database)), "--nsTo={}.*".format(target)]
    return words


def _name(value: Any, what: str) -> str:
    found = validate.text(value, what, limit=63)
    if not found or _NOT_IN_NAMES.search(found):
        raise wire.Refused("invalid", "this cannot be the name of a database: {!r}".format(found))
    return found
