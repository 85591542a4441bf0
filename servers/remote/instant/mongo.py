"""MongoDB in its container, asked in its own protocol: the image may have `mongosh`, `mongo` or neither.

The connection leads to the server's socket in the run directory. Answers are a stranger's: their length, depth and
number of values are bounded (probes/bson.py), and a server that does not prove that it knows the session's password is
not believed (probes/scram.py).
"""

import select
import socket
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from .. import validate, wire
from ..probes import bson, mongodb, scram
from . import extended

ADMIN = "admin"
_MOST_COMMANDS = 20
_MOST_COMMAND_BYTES = 1 << 16
_MOST_TOLD, _MOST_LETTERS = 3, 300
_BATCH = 500  # rows of one answer: all their values are bounded together
_SEND_SECONDS = 60.0
# A server's own: no answer of theirs is anybody's data.
_OWN = (ADMIN, "config", "local")
_OVERHEAD = ("ok", "$clusterTime", "operationTime", "$gleStats", "$configServerState", "lastCommittedOpTime")
_PROBLEMS = (mongodb.Refused, scram.Failed, ValueError, TypeError, OverflowError)


class Login(NamedTuple):
    """The session's account."""

    name: str
    password: str


class Query(NamedTuple):
    """Commands for the database `admin`; the last answer holds these fields. `counts`: one collection is read, too.

    `final`: a server that answers otherwise will not change its mind.
    """

    commands: List[str]
    login: Optional[Login]
    holds: Dict[str, Any]
    counts: bool = False
    final: bool = False


class Look(NamedTuple):
    """A command for a database whose answer is handed over. None: each collection is checked by the server."""

    database: str
    command: Optional[str]
    login: Login

    def carry_out(self, end: "Patient", take: Callable[[bytes], None]) -> Tuple[int, bytes]:
        """Tell the answer line by line; 0, or 1 and why there is none. Raises OSError. The connection is used up."""
        with end:
            try:
                mongodb.sign_in(mongodb.Talk(end), self.login.name, self.login.password, ADMIN)  # type: ignore[arg-type]
                talk = mongodb.Talk(end, extended.KINDS)  # type: ignore[arg-type]
                rows = _checked(talk) if self.command is None else _answer(talk, self.database, self.command)
                for row in rows:
                    take(extended.line(row).encode("utf-8", "surrogateescape"))
            except _PROBLEMS as error:
                return 1, str(error).encode("utf-8", "replace")
        return 0, b""


class Patient:
    """A connection that may be silent for hours, while we go on: it stands where Talk wants a socket."""

    def __init__(self, end: socket.socket, control: wire.Control, deadline: float, rest: Callable[[], None]) -> None:
        self._end = end
        self._control = control
        self._deadline = deadline
        self._rest = rest
        end.settimeout(_SEND_SECONDS)
        self.sendall = end.sendall

    def recv(self, size: int) -> bytes:
        """Raises Stopped, and TimeoutError when the time is over, also of a server that has always more to say."""
        while True:
            self._control.check()
            if time.monotonic() > self._deadline:
                raise TimeoutError("it was not answered in time")
            if select.select([self._end], [], [], 0.2)[0]:
                return self._end.recv(size)
            self._rest()

    def __enter__(self) -> "Patient":
        return self

    def __exit__(self, *_: Any) -> None:
        self._end.close()


def ask(end: Patient, query: Query) -> Tuple[bool, str]:
    """Was it answered as it must be, and the last answer. The connection is used up.

    Raises OSError, and Refused for an answer that is final and not good.
    """
    with end:
        good, said = _ask(mongodb.Talk(end), query)  # type: ignore[arg-type]
    if query.final and not good:
        raise wire.Refused("instant", "the database server refuses to be prepared: {}".format(said[:_MOST_LETTERS]))
    return good, said


def _ask(talk: mongodb.Talk, query: Query) -> Tuple[bool, str]:
    answer: Dict[str, Any] = {}
    try:
        if query.login is not None:
            mongodb.sign_in(talk, query.login.name, query.login.password, ADMIN)
        for command in query.commands:
            answer = talk.carry_out(extended.command(command), ADMIN)
            if answer.get("writeErrors"):
                return False, str(answer["writeErrors"])
        if query.counts:
            _count_one(talk)
    except _PROBLEMS as error:
        return False, str(error)
    return all(answer.get(name) == value for name, value in query.holds.items()), str(answer)


def _count_one(talk: mongodb.Talk) -> None:
    """Of the first database that is somebody's, the documents of a collection."""
    for database in _databases(talk):
        if database not in _OWN:
            for collection in _collections(talk, database):
                talk.carry_out({"count": collection}, database)
                return


def _databases(talk: mongodb.Talk) -> List[str]:
    rows = _list(talk.carry_out({"listDatabases": 1}, ADMIN).get("databases"))
    return [name for name in (_table(row).get("name") for row in rows) if isinstance(name, str)]


def _collections(talk: mongodb.Talk, database: str) -> Iterator[str]:
    """Those that hold documents of their own: no views."""
    for row in _cursor(talk, database, {"listCollections": 1, "cursor": {"batchSize": _BATCH}}):
        name = row.get("name")
        # Before 3.4 there were no views, and no word of the kind.
        if isinstance(name, str) and row.get("type", "collection") == "collection":
            yield name


def _cursor(talk: mongodb.Talk, database: str, command: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
    cursor = _table(talk.carry_out(command, database).get("cursor"))
    batch = _list(cursor.get("firstBatch"))
    _, _, collection = str(cursor.get("ns", "")).partition(".")
    while True:
        for row in batch:
            yield _table(row)
        number = cursor.get("id")
        if not isinstance(number, int) or number == 0:
            return
        more = {"getMore": bson.Raw(b"\x12", number.to_bytes(8, "little", signed=True)), "collection": collection}
        cursor = _table(talk.carry_out(dict(more, batchSize=_BATCH), database).get("cursor"))
        batch = _list(cursor.get("nextBatch"))


def _answer(talk: mongodb.Talk, database: str, text: str) -> Iterator[Dict[str, Any]]:
    """Each document of a cursor, to its end; of another answer what it says, in one."""
    command = extended.command(text)
    if next(iter(command)) == "aggregate":
        command.setdefault("cursor", {})  # a server answers no other way
    if next(iter(command)) in ("find", "aggregate", "listCollections", "listIndexes"):
        yield from _cursor(talk, database, command)
        return
    answer = talk.carry_out(command, database)
    yield {name: value for name, value in answer.items() if name not in _OVERHEAD}


def _checked(talk: mongodb.Talk) -> Iterator[Dict[str, Any]]:
    """Of each collection what `validate` found, which reads every document and every key of every index."""
    for database in _databases(talk):
        yield {"database": database}
        try:
            for collection in _collections(talk, database):
                yield dict(_validated(talk, database, collection), collection="{}.{}".format(database, collection))
        except mongodb.Refused as refusal:
            yield {"collection": database, "refused": str(refusal)[:_MOST_LETTERS]}


def _validated(talk: mongodb.Talk, database: str, collection: str) -> Dict[str, Any]:
    try:
        answer = talk.carry_out({"validate": collection, "full": True}, database)
    except mongodb.Refused as refusal:
        return {"refused": str(refusal)[:_MOST_LETTERS]}
    rows = answer.get("nrecords")
    return {
        "valid": answer.get("valid") is True,
        # It is a float, or a whole number, as the server likes.
        "rows": int(rows) if isinstance(rows, (int, float)) and 0 <= rows < 1 << 63 else None,
        "errors": _words(answer.get("errors")),
        "warnings": _words(answer.get("warnings")),
    }


def _words(value: Any) -> List[str]:
    """Bounded: a collection that is all damage fills no line."""
    return [str(one)[:_MOST_LETTERS] for one in _list(value)[:_MOST_TOLD]]


def _list(value: Any) -> List[Any]:
    return value if isinstance(value, list) else []


def _table(value: Any) -> Dict[str, Any]:
    return value if isinstance(value, dict) else {}


# --- what a request says ------------------------------------------------------------------------------


def question(table: Dict[str, Any], secrets: Dict[str, Any]) -> Query:
    """{"mongo": [command as JSON] or a secret's name with one a line, "login", "holds": JSON, "counts", "final"}."""
    said = table["mongo"]
    if isinstance(said, str):
        lines = validate.text(secrets.get(said), "secret", limit=_MOST_COMMAND_BYTES).splitlines()
    else:
        lines = validate.texts(said, "mongo", _MOST_COMMANDS)
        for one in lines:
            _command(one)
    if not lines:
        raise wire.Refused("invalid", "a question has a command", field="mongo")
    login = None if table.get("login") is None else _login(table["login"], secrets)
    holds = _command(validate.text(table.get("holds", '{"ok": 1}'), "holds"))
    return Query(lines, login, holds, table.get("counts") is True, table.get("final") is True)


def look(table: Dict[str, Any], secrets: Dict[str, Any]) -> Look:
    """{"database", "command": JSON, which is the server's to judge, "login"}, or without a command."""
    login = _login(table.get("login"), secrets)
    if table.get("command") is None:
        return Look(ADMIN, None, login)
    text = validate.text(table["command"], "command", limit=_MOST_COMMAND_BYTES)
    return Look(validate.text(table.get("database"), "database", limit=200), text, login)


def _command(text: str) -> Dict[str, Any]:
    try:
        return extended.command(text)
    except ValueError as error:
        raise wire.Refused("invalid", "a command cannot be read: {}".format(error), field="mongo") from None


def _login(value: Any, secrets: Dict[str, Any]) -> Login:
    table = _table(value)
    password = validate.text(secrets.get(str(table.get("password"))), "the session's password", limit=1 << 12)
    return Login(validate.text(table.get("name"), "name", limit=60), password)
