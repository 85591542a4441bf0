"""A database that was dumped inside its container, loaded there again by its own client.

Its data were copied while it ran, so what lay in its volume was not put back: the container has just initialised an
empty database by itself. What it made of its own is taken away before, so nothing of it is in the way of the dump. A
database that was there before its container is never touched. A refusal names the statement and
the number of the error, and none of the server's words: they quote rows, over several lines, in any language.
"""

import re
import time
from typing import Any, List, NamedTuple, Optional, Tuple

from .. import validate, wire
from ..probes import docker_said as probe
from . import containers, drilling, dumping, streaming
from .creating import _seconds
from .engine import Engine
from .journal import Record
from .patience import MOST_SECONDS
from .pouring import pour
from .sqldump import SYSTEM, Passing
from .starting import _end
from .steps import Context, Kind, Note, Table
from .timely import Late, within

ENGINES = ["postgresql", "mysql"]
_LOOK_SECONDS = 0.5
# Behind a shell nobody knows which server is the last one: the one for its initialisation seldom lives so long.
_SETTLED_SECONDS = 15
_CLOCKS_SECONDS = 5.0
# In all, whatever is heard meanwhile; tables of MySQL are opened one by one to be counted.
_QUESTION_SECONDS = 60.0
_COUNT_SECONDS = 3600.0
_TRIES = 5
_WORDS = 64000
_SHOWN = 300
# What the most frequent numbers mean: SQLSTATE, and those of MySQL that say more.
_MEANINGS = {
    "0A000": "not supported by this version",
    "22P02": "a value has not the form of its type",
    "23502": "a value is missing",
    "23503": "a row that another one needs is missing",
    "23505": "a value stands twice that may stand once",
    "28000": "the account is not allowed in",
    "42501": "the account is not allowed to",
    "42601": "a statement that this version does not understand",
    "42704": "something that it names is not there",
    "42710": "it is there already",
    "42883": "a function that it names is not there",
    "42P01": "a table that it names is not there",
    "42P04": "the database is there already",
    "42P07": "the table is there already",
    "53100": "no room is left",
    "53200": "no memory is left",
    "1007": "the database is there already",
    "1044": "the account is not allowed to",
    "1045": "the account is not allowed in",
    "1050": "the table is there already",
    "1062": "a value stands twice that may stand once",
    "1064": "a statement that this version does not understand",
    "1114": "no room is left",
    "1146": "a table that it names is not there",
    "1273": "a collation that this version does not have",
    "1366": "a value has not the form of its type",
}
_SERVERS = ("postgres", "postmaster", "mysqld", "mariadbd")
_REAPERS = ("docker-init", "tini", "dumb-init", "catatonit")
_MYSQL = ["--user=root", "--batch", "--binary-mode", "--default-character-set=utf8mb4", "--max-allowed-packet=1G"]
# Room, memory, connections, locks, a server that ends: SQLSTATE's classes, and MySQL's own numbers.
_LACKING_CLASSES = ("08", "53", "57", "55P03", "58030", "25006")
_LACKING = frozenset("3 20 28 1021 1030 1037 1038 1040 1041 1053 1114 1205 1206 1290 1317 2006 2013".split())
_NOT_SYSTEM = "({})".format(", ".join("'{}'".format(name) for name in SYSTEM))


class Way(NamedTuple):
    """What is asked of a kind of server, and how its dump is loaded."""

    database: str
    age: str  # seconds since it was started
    made: str  # when its data were initialised, as a Unix time
    clear: List[str]
    tables: str
    error: Any


_WAYS = {
    "postgresql": Way(
        database="template1",
        age="SELECT floor(extract(epoch FROM now() - pg_postmaster_start_time()))::bigint",
        made="SELECT system_identifier >> 32 FROM pg_control_system()",
        clear=[
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname IS NOT NULL",
            "SELECT format('DROP DATABASE %I', datname) FROM pg_database WHERE NOT datistemplate \\gexec\n"
            "CREATE DATABASE postgres TEMPLATE template0",
        ],
        tables="",
        # Of the kinds 00 to 02 are notices and warnings.
        error=re.compile(
            r"^psql:[^:\n]{0,80}:(?P<line>[0-9]{1,12}): [^\s:]{1,40} ?: +(?P<code>(?!0[012])[0-9A-Z]{5}):", re.MULTILINE
        ),
    ),
    "mysql": Way(
        database="",
        age="SHOW GLOBAL STATUS LIKE 'Uptime'",
        made="SELECT UNIX_TIMESTAMP(MIN(create_time)) FROM information_schema.tables WHERE table_schema = 'mysql'",
        clear=[],
        # A sequence is none: its dump makes it by a statement of its own.
        tables="SELECT COUNT(*) FROM information_schema.tables "
        "WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND table_schema NOT IN " + _NOT_SYSTEM,
        error=re.compile(
            r"^ERROR (?P<code>[0-9]{1,5}(?: \([0-9A-Z]{5}\))?) at line (?P<line>[0-9]{1,12})\b", re.MULTILINE
        ),
    ),
}


class LoadDump(Kind):
    """{"container", "engine": "postgresql" or "mysql", "stream", "bytes": of the dump or null, "seconds"}

    Beside the step the request has what `extract --stdout` of the stream needs, as for `load_image`. What it does goes
    with the container and its volumes: their own undos take it away.
    """

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, params)
        self._name = containers.named(params.get("container"), "container")
        self._kind = validate.choice(params.get("engine"), "engine", ENGINES)
        self._seconds = validate.number(params.get("seconds", 60), "seconds", 1, MOST_SECONDS)
        self._bytes = None if params.get("bytes") is None else validate.number(params["bytes"], "bytes", 0, 1 << 60)
        self._way = _WAYS[self._kind]
        self._said: Table = {}

    def prepare(self) -> Table:
        self._said = containers.there(self.engine, self._name)
        made = [one.undo.get("id") for one in self.context.records if one.op == "create_container" and not one.undone]
        if self._said["Id"] not in made:
            raise wire.Refused(
                "invalid", "{} was not made by this restore: nothing is loaded into it".format(self._name)
            )
        if probe.database(self._said) not in (self._kind, None):
            raise wire.Refused("invalid", "{} is no database of the kind {}".format(self._name, self._kind))
        return {"container": containers.identity_of(self._said)}

    def apply(self, note: Note) -> Table:
        self._wait()
        self._check_new()
        self._clear()
        passing, told, size = self._load()
        facts: Table = {"bytes": size, "tables": passing.tables, "rows": passing.rows}
        self._check_all(passing, told)
        return facts

    # --- until it answers ----------------------------------------------------------------------------

    def _wait(self) -> None:
        """Until its server answers, and is not the one that only initialises it. Raises Refused."""
        deadline = time.monotonic() + self._seconds
        while True:
            self.context.control.check()
            said = containers.there(self.engine, self._said["Id"])
            if not containers.is_active(said):
                raise self._refused("it has ended with {}".format(_end(said["State"])))
            age = self._age(said)
            if age is not None and (is_final(said) or age >= _SETTLED_SECONDS):
                self._said = said
                return
            if time.monotonic() > deadline:
                raise self._refused("its database does not answer within {} s".format(self._seconds))
            self.context.tell(step="load_dump", container=self._name, state="waits for its database")
            time.sleep(_LOOK_SECONDS)

    def _age(self, said: Table) -> Optional[int]:
        """Seconds since its server was started; None while none answers."""
        if containers.state_of(said) != "running":
            return None
        try:
            rows = self._ask(self._way.age, said, min(_QUESTION_SECONDS, self._seconds))
        except wire.Refused as refusal:
            if refusal.facts.get("status") in (404, 409):  # it is just ending, or starting anew
                return None
            raise
        words = (rows or [""])[0].split("\t")[-1]
        return drilling._number(words)

    def _ask(self, sql: str, said: Optional[Table] = None, seconds: float = _QUESTION_SECONDS) -> Optional[List[str]]:
        """The rows of an answer; None when it was refused, or did not come in time."""
        more = {"postgresql": ["--set=ON_ERROR_STOP=1"]}
        text = wire.raw(sql + ("\n" if sql.endswith("\n") else ";\n"))
        try:
            with within(self.engine, seconds):
                code, out, _ = drilling._client(self.engine, said or self._said, self._way.database, text, more)
        except Late:
            return None
        return None if code else out.decode("utf-8", "surrogateescape").splitlines()

    # --- nothing is in its way -----------------------------------------------------------------------

    def _check_new(self) -> None:
        """Raises Refused for data that were there before their container: they may be all that somebody has."""
        rows = self._ask(self._way.made)
        made = drilling._number((rows or [""])[0].partition(".")[0])
        if made is None:
            raise self._refused("nobody can tell when its data were initialised")
        if made < _seconds(self._said.get("Created")) - _CLOCKS_SECONDS:
            raise self._refused("its data were there before this restore made it")

    def _clear(self) -> None:
        """Databases that the container made for itself at its first start go: the dump makes its own."""
        for number in range(_TRIES):
            if self._kind == "mysql":
                names = self._ask(
                    "SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN " + _NOT_SYSTEM
                )
                wanted = ["DROP DATABASE `{}`".format(name.replace("`", "``")) for name in names or []]
                done = names is not None and all(self._ask(one) is not None for one in wanted)
            else:
                done = all(self._ask(one) is not None for one in self._way.clear)
            if done:
                return
            time.sleep(_LOOK_SECONDS * number)
        raise self._refused("what it made at its first start could not be taken away: somebody uses it")

    # --- the dump ------------------------------------------------------------------------------------

    def _load(self) -> Tuple[Passing, "_Told", int]:
        """Raises Refused with the statement that was refused."""
        roles = self._ask("SELECT rolname FROM pg_roles") if self._kind == "postgresql" else []
        passing, told = Passing(self._kind, roles or []), _Told()
        command, env = self._command()
        with streaming.out_of_the_archive(self.context, lambda size: self._tell(size, passing)) as stream:

            def chunks() -> Any:
                for chunk in stream.chunks():
                    yield passing.feed(chunk)
                yield passing.end()
                if self._kind == "mysql":
                    yield b"\nFLUSH PRIVILEGES;\n"

            code = pour(self.engine, str(self._said["Id"]), command, chunks(), told.out, told.err, env)
        if code:
            raise self._why(code, told, passing)
        return passing, told, stream.bytes

    def _command(self) -> Tuple[List[str], drilling.Env]:
        told = dumping._Environment(self.engine, self._said)
        if self._kind == "postgresql":
            user = told.first("POSTGRES_USER", otherwise="postgres")
            words = ["psql", "--no-psqlrc", "--no-align", "--tuples-only", "--no-password", "--username=" + user]
            words += ["--dbname=postgres", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose", "--file=-"]
            return words, drilling._postgresql_env(told)
        command = [self._program(("mariadb", "mysql")), *drilling.OWN_MYSQL, *_MYSQL]
        return command, dict(dumping._mysql(told).env)

    def _program(self, names: Tuple[str, ...]) -> str:
        for name in names:
            asked, out = [name, "--version"], bytearray()
            with within(self.engine, _QUESTION_SECONDS):
                found = drilling._execute(self.engine, self._said, asked, {}, b"", out, out)
            if found == 0:
                return name
        raise self._refused("it has none of {}".format(", ".join(names)))

    def _tell(self, size: int, passing: Passing) -> None:
        words = "{} MiB".format(size >> 20)
        if self._bytes:
            words += " / {} MiB".format(self._bytes >> 20)
        self.context.tell(step="load_dump", container=self._name, text=words, bytes=size, tables=passing.tables)

    def _why(self, code: int, told: "_Told", passing: Passing) -> wire.Refused:
        words = "its dump was refused: {}"
        match = self._way.error.search(told.words)
        if match is None:
            return self._refused(words.format("its client ended with {}".format(code)))
        line, number = int(match.group("line")), match.group("code").partition(" ")[0]
        meaning = _MEANINGS.get(number)
        said = "error {}".format(match.group("code")) + (", " + meaning if meaning else "")
        words = words.format("line {} ({}): {}".format(line, passing.statement(line) or "?", said))
        return self._refused(words) if lacks_something(number) else self._bad(words)

    def _check_all(self, passing: Passing, told: "_Told") -> None:
        """The dump was whole, and as much is there as it announced. Raises Refused."""
        if not passing.whole:
            raise self._bad("its dump has no end: it was cut off")
        tables = told.tables
        if self._kind == "mysql":
            counted = drilling._number((self._ask(self._way.tables, seconds=_COUNT_SECONDS) or [""])[0])
            if counted is None:
                raise self._refused("its tables could not be counted")
            tables = counted
        if tables != passing.tables:
            raise self._bad("{} tables are there, and its dump has {}".format(tables, passing.tables))
        if passing.rows is not None and told.rows != passing.rows:
            raise self._bad("{} rows were taken, and its dump has {}".format(told.rows, passing.rows))

    def _refused(self, words: str, code: str = "engine") -> wire.Refused:
        return wire.Refused(code, "{}: {}".format(self._name, words))

    def _bad(self, words: str) -> wire.Refused:
        """The dump itself is not good; all other refusals say nothing of it."""
        return self._refused(words, "bad-dump")

    @staticmethod
    def undo(engine: Engine, record: Record) -> Optional[str]:
        """It lies in the container's volumes: who made them takes them away."""
        return None


class _Told:
    """What the client says: psql names every table that it filled, with its rows."""

    def __init__(self) -> None:
        self.tables = 0
        self.rows = 0
        self._line = b""
        self._words = bytearray()

    @property
    def words(self) -> str:
        """Its last words."""
        return bytes(self._words).decode("utf-8", "replace")

    def out(self, data: bytes) -> None:
        """More of its output."""
        lines = (self._line + data).split(b"\n")
        self._line = lines.pop()[:_SHOWN]
        for line in lines:
            head, _, count = line.partition(b" ")
            rows = drilling._number(count.decode("ascii", "replace")) if head == b"COPY" else None
            if rows is not None:
                self.tables += 1
                self.rows += rows

    def err(self, data: bytes) -> None:
        """More of its complaints; the last ones count."""
        self._words = (self._words + data)[-_WORDS:]


def lacks_something(number: str) -> bool:
    """Did a statement fail for what its server or the machine lacks? Another one may well take it."""
    return number in _LACKING or (len(number) == 5 and number.startswith(_LACKING_CLASSES))


def is_final(said: Table) -> bool:
    """Is a server the container's own first process? One that only initialises a database is a child of a shell."""
    pid = int((said.get("State") or {}).get("Pid") or 0)
    name = _name_of(pid)
    if name in _REAPERS:
        try:
            with open("/proc/{0}/task/{0}/children".format(pid)) as file:
                return any(_name_of(int(word)) in _SERVERS for word in file.read().split())
        except OSError:
            return False
    return name in _SERVERS


def _name_of(pid: int) -> str:
    """A process in a container calls itself as it likes."""
    try:
        with open("/proc/{}/comm".format(pid), "rb") as file:
            return file.read().strip().decode("ascii", "replace")
    except OSError:
        return ""
