"""A dump of PostgreSQL into a new database that takes the name of the old one only when it is whole.

Whatever fails before that last moment leaves what was there as it was.
"""

import json
import re
import subprocess
from typing import Any, Dict, List, Optional

from .. import children, streams, validate, wire
from ..producers import postgresql as tools
from . import postgresql_sql as sql
from .base import PIPE, Census, Failed, Loader, answer_of
from .postgresql_restricted import Restricted

# In a table's data each of these lines stands alone; outside of it they are comments of pg_dump.
_TABLE = re.compile(rb"-- Name: .*; Type: TABLE; Schema: ")
_DATA = re.compile(rb"-- Data for Name: .*; Type: TABLE DATA; Schema: ")
_NAME_BYTES = 63
_SWAPS = 5
_TEMPLATES = ("template0", "template1")


class SqlCensus(Census):
    """Tables and rows of a dump by pg_dump."""

    trailer = b"-- PostgreSQL database dump complete"

    def __init__(self) -> None:
        super().__init__()
        self.tables = 0
        self.rows = 0
        self._rest = b""
        self._in_data = False
        self._expects_data = False

    def add(self, chunk: bytes) -> None:
        super().add(chunk)
        data = self._rest + chunk
        start = 0
        while True:
            begin = start
            start = self._data(data, start) if self._in_data else self._line(data, start)
            if start == begin:
                break
        self._rest = data[start:]

    def _line(self, data: bytes, start: int) -> int:
        """One line of statements."""
        end = data.find(b"\n", start) + 1
        if not end:
            return start
        if data.startswith(b"-- ", start):
            line = data[start:end]
            self.tables += 1 if _TABLE.match(line) else 0
            self._expects_data = self._expects_data or bool(_DATA.match(line))
        elif self._expects_data and data.endswith(b" FROM stdin;\n", start, end):
            self._in_data, self._expects_data = True, False
        return end

    def _data(self, data: bytes, start: int) -> int:
        """Rows, as many as there are whole ones."""
        if data.startswith(b"\\.\n", start):
            self._in_data = False
            return start + 3
        end = data.find(b"\n\\.\n", start) + 1
        if not end:
            end = data.rfind(b"\n", start) + 1
        if not end:
            return start
        self.rows += data.count(b"\n", start, end)
        return end


class Server:
    """A cluster and how we get into it."""

    def __init__(self, row: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        self._client = tools.client(row, secrets)

    def psql(self, database: str, *options: str, stderr: int) -> "subprocess.Popen[bytes]":
        """A psql that reads a pipe and stops at the first error."""
        words = ["--no-psqlrc", "--set=ON_ERROR_STOP=1", "--dbname=" + sql.connection(database), *options, "--file=-"]
        client = self._client
        argv = [*client.argv, *words]
        return children.start(argv, client.user, client.env, stderr, stdin=PIPE, pass_fds=client.fds)

    def ask(self, text: str, database: str = "postgres", *options: str) -> str:
        """The answer to some SQL. Raises Failed with the server's own words."""
        with streams.Said() as said:
            child = self.psql(database, "--quiet", "--no-align", "--tuples-only", *options, stderr=said.descriptor)
            out = answer_of(child, wire.raw(text))
            if child.returncode != 0:
                raise Failed(said.text() or "psql ended with {}".format(child.returncode))
        return out.decode("utf-8", "surrogateescape").rstrip("\n")

    def exists(self, database: str) -> bool:
        """Is there a database of this name?"""
        question = "SELECT count(*) FROM pg_catalog.pg_database WHERE datname = {};"
        return self.ask(question.format(sql.text(database))) == "1"

    @property
    def version(self) -> int:
        """As in 150004."""
        return int(self.ask("SHOW server_version_num;"))


def pg_database(into: Dict[str, Any], secrets: Dict[str, Any], token: str) -> Loader:
    """{"database", "as", "replace", "properties" or null} and the access row."""
    return _Database(into, secrets, token)


class _Database(Loader):
    what = "psql"

    def __init__(self, into: Dict[str, Any], secrets: Dict[str, Any], token: str) -> None:
        super().__init__()
        self.census: SqlCensus = SqlCensus()
        self._target = validate.text(into.get("as"), "database", limit=_NAME_BYTES)
        if not self._target or len(wire.raw(self._target)) > _NAME_BYTES or self._target in _TEMPLATES:
            raise wire.Refused("invalid", "this cannot be the name of a database: {!r}".format(self._target))
        self._replace = into.get("replace") is True
        known = into.get("properties")
        self._known: Optional[Dict[str, Any]] = known if isinstance(known, dict) else None
        self._server = Server(into, secrets)
        short = token.replace("-", "")[:32]
        self._new, self._old = "phpborg-" + short, "phpborg-old-" + short
        self._restricted: Optional[Restricted] = None
        self._made = False
        self._rows = 0
        self._version = 0
        # Nobody can be connected to what is renamed.
        self._desk = "template1" if self._target == "postgres" else "postgres"

    def prepare(self) -> None:
        there = self._server.exists(self._target)
        if there and not self._replace:
            raise wire.Refused("exists", "there is a database “{}” already".format(self._target))
        self._version = self._server.version
        if self._known is None:
            self._known = self._take_over() if there else {}
        self._restricted = Restricted(self._server.ask)
        self._server.ask(sql.create(self._new, self._known, self._version), self._desk)
        self._made = True

    def _take_over(self) -> Dict[str, Any]:
        """The properties of the one that is replaced."""
        self.notes.append("the archive does not say how the database was set up: taken from the one that is replaced")
        found = json.loads(self._server.ask(sql.PROPERTIES + sql.text(self._target) + ";"))
        return found if isinstance(found, dict) else {}

    def passed(self, chunk: bytes, last: bool = False) -> bytes:
        assert self._restricted is not None
        return self._restricted.passed(chunk, last)

    def start(self, stderr: int) -> Any:
        # Not in one transaction: a dump with thousands of tables would need a lock for each.
        return self._server.psql(self._new, stderr=stderr)

    def hear(self, line: bytes) -> None:
        if line.startswith(b"COPY ") and line[5:].strip().isdigit():
            self._rows += int(line[5:])

    def finish(self) -> Dict[str, Any]:
        tables = int(self._server.ask(sql.TABLES, self._new))
        facts = {"tables": tables, "rows": self._rows, "bytes": self.census.bytes, "name": self._target}
        if tables != self.census.tables:
            raise Failed("the dump has {} tables and {} are there".format(self.census.tables, tables))
        if self._rows != self.census.rows:
            raise Failed("the dump has {} rows and {} arrived".format(self.census.rows, self._rows))
        for what, statements in sql.properties(self._new, self._known or {}):
            try:
                self._server.ask(statements, self._desk)
            except Failed as failure:
                self.notes.append("{}: {}".format(what, failure))
        self._put_in_place()
        return facts

    def _put_in_place(self) -> None:
        if not self._server.exists(self._target):
            rename = "ALTER DATABASE {} RENAME TO {};".format(sql.name(self._new), sql.name(self._target))
            self._server.ask(rename, self._desk)
            self._made = False
            return
        if not self._replace:
            raise Failed("meanwhile somebody has made a database “{}”".format(self._target))
        for attempt in range(_SWAPS):
            try:
                self._server.ask(sql.swap(self._target, self._old, self._new), self._desk)
                break
            except Failed:
                if not self._server.exists(self._new):
                    break  # only the answer was lost
                # Somebody came back between being sent away and the new name.
                if attempt == _SWAPS - 1:
                    raise
        self._made = False
        self._drop(self._old)

    def _drop(self, database: str) -> Optional[str]:
        """Take one of our two names away; a sentence when that cannot be."""
        force = " WITH (FORCE)" if (self._version or self._server.version) >= 130000 else ""
        try:
            self._server.ask("ALTER DATABASE {} IS_TEMPLATE false;".format(sql.name(database)), self._desk)
            self._server.ask("DROP DATABASE {}{};".format(sql.name(database), force), self._desk)
        except Failed as failure:
            sentence = "the database “{}” could not be removed: {}".format(database, failure)
            self.notes.append(sentence)
            self.left.append(database)
            return sentence
        return None

    def undo(self) -> Optional[str]:
        if self._made:
            self._made = False
            self._drop(self._new)
        return None

    def clean(self) -> List[str]:
        found = [name for name in (self._new, self._old) if self._server.exists(name)]
        for name in found:
            sentence = self._drop(name)
            if sentence is not None:
                raise Failed(sentence)
        return found
