"""A dump of MySQL or MariaDB into a running server.

These servers cannot rename a database, and a dump may name its own in the middle (routines and triggers of another
character set): it comes back under its own name. What is replaced is dropped first, which cannot be undone; so the
dump is read to its end once before anything is touched.
"""

import re
from typing import Any, Dict

from .. import children, mysql_access, streams, validate, wire
from .base import PIPE, Census, Failed, Loader, answer_of

_TABLE = b"\n-- Table structure for table `"
_KEEP = len(_TABLE) - 1
_NAME_LENGTH = 64
# Between two such lines; of a long one the beginning may be cut off.
_REPEATED = re.compile(r"(?:\A|^-{14}\n).*?^-{14}\n\n(?=ERROR )", re.DOTALL | re.MULTILINE)
# "… the right syntax to use near 'PASSWORD '*94BDC…' at line 3": the piece goes over quotes and line ends.
_QUOTED = re.compile(r"(\(42000\)[^\n]*? near )'.*?(?:' at line [0-9]+|(?=\nERROR )|\Z)", re.DOTALL)
# Nothing but statements: no command of the client's own, no file of this server.
_OPTIONS = ["--batch", "--binary-mode", "--default-character-set=utf8mb4", "--local-infile=0", "--connect-timeout=20"]
_VIRTUAL = ("mysql", "information_schema", "performance_schema", "sys")


class DumpCensus(Census):
    """Tables of a dump by mariadb-dump or mysqldump. In data a line end is written as two letters."""

    trailer = b"-- Dump completed"

    def __init__(self) -> None:
        super().__init__()
        self.tables = 0
        # Bytes of the longest line: a row is on one, and a server takes no longer statement than it is told to.
        self.longest = 0
        self._line = 0
        self._rest = b""

    def start_again(self) -> None:
        """What the rehearsal has seen of lines stays known."""
        longest = self.longest
        super().start_again()
        self.longest = longest

    def add(self, chunk: bytes) -> None:
        super().add(chunk)
        data = self._rest + chunk
        self.tables += data.count(_TABLE)
        self._rest = data[-_KEEP:]
        first, *others = chunk.split(b"\n")
        self._line += len(first)
        self.longest = max(self.longest, self._line, *(len(piece) for piece in others))
        if others:
            self._line = len(others[-1])


class Server:
    """A server and how we get into it."""

    def __init__(self, row: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        access = mysql_access.access(row, secrets)
        self._argv = [mysql_access.client(), *access.options, *_OPTIONS]
        self._user, self.fds = access.user, access.fds

    def client(self, stderr: int, *options: str) -> Any:
        """The client, reading a pipe; it stops at the first error."""
        argv = [*self._argv, *options]
        return children.start(argv, self._user, {}, stderr, stdin=PIPE, pass_fds=self.fds)

    def ask(self, text: str) -> str:
        """The answer to some SQL. Raises Failed with the server's own words."""
        with streams.Said() as said:
            child = self.client(said.descriptor, "--skip-column-names")
            out = answer_of(child, wire.raw(text))
            if child.returncode != 0:
                raise Failed(without_statements(said.text()) or "the client ended with {}".format(child.returncode))
        return out.decode("utf-8", "surrogateescape").rstrip("\n")


def without_statements(words: str) -> str:
    """A client's words without the statement that it repeats and the piece of it that the server quotes (1064).

    Either may hold the hash of a password.
    """
    return _QUOTED.sub(r"\1(not shown)", _REPEATED.sub("", words))


def name(text: str) -> str:
    """An identifier."""
    return "`{}`".format(text.replace("`", "``"))


def literal(value: str) -> str:
    """A text, whatever the server's mode is."""
    return "CONVERT(0x{} USING utf8mb4)".format(wire.raw(value).hex()) if value else "''"


def mysql_database(into: Dict[str, Any], secrets: Dict[str, Any], token: str) -> Loader:
    """{"database", "replace"} and the access row."""
    return _Database(into, secrets)


class _Database(Loader):
    what = "the client"
    rehearses = True

    def __init__(self, into: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        super().__init__()
        self.census: DumpCensus = DumpCensus()
        self._name = validate.text(into.get("database"), "database", limit=_NAME_LENGTH)
        if not self._name or self._name.lower() in _VIRTUAL:
            raise wire.Refused("invalid", "this database is the server's own: {!r}".format(self._name))
        if into.get("as", self._name) != self._name:
            raise wire.Refused("invalid", "a dump of MySQL or MariaDB comes back under its own name")
        self._replace = into.get("replace") is True
        self._server = Server(into, secrets)

    def prepare(self) -> None:
        if not self._replace and self._is_there():
            raise wire.Refused("exists", "there is a database “{}” already".format(self._name))

    def _is_there(self) -> bool:
        question = "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = {};"
        return self._server.ask(question.format(literal(self._name))) == "1"

    def _check_room(self) -> None:
        """Before anything is dropped: would the server refuse a row that it has once held? Raises Failed."""
        limit = int(self._server.ask("SELECT @@GLOBAL.max_allowed_packet;"))
        if self.census.longest >= limit:
            text = (
                "a row of the dump has {} bytes as a statement and the server takes {}: raise max_allowed_packet first"
            )
            raise Failed(text.format(self.census.longest, limit))

    def start(self, stderr: int) -> Any:
        self._check_room()
        self.untouched = False
        if self._replace:
            self._server.ask("DROP DATABASE IF EXISTS {};".format(name(self._name)))
        return self._server.client(stderr)

    def finish(self) -> Dict[str, Any]:
        if not self._is_there():
            raise Failed("after all statements there is no database “{}”".format(self._name))
        question = (
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = {} "
            "AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED');"
        )
        tables = int(self._server.ask(question.format(literal(self._name))))
        if tables != self.census.tables:
            raise Failed("the dump has {} tables and {} are there".format(self.census.tables, tables))
        return {"tables": tables, "bytes": self.census.bytes, "name": self._name}
