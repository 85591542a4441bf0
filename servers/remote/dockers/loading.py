"""A database that was dumped inside its container, loaded there again by its own client.

Its data were copied while it ran, so what lay in its volume was not put back: the container has just initialised an
empty database by itself. What it made of its own is taken away before, so nothing of it is in the way of the dump. A
database that was there before its container is never touched. A refusal names the statement, and none of its data.
"""

import re
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

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

ENGINES = ["postgresql", "mysql"]
_LOOK_SECONDS = 0.5
# Behind a shell nobody knows which server is the last one: the one for its initialisation seldom lives so long.
_SETTLED_SECONDS = 15
_CLOCKS_SECONDS = 5.0
_TRIES = 5
_WORDS = 64000
_SHOWN = 300
_SERVERS = ("postgres", "postmaster", "mysqld", "mariadbd")
_REAPERS = ("docker-init", "tini", "dumb-init", "catatonit")
_MYSQL = ["--user=root", "--batch", "--binary-mode", "--default-character-set=utf8mb4", "--max-allowed-packet=1G"]
_LACKING = re.compile(
    r"no space left|disk full|disk quota|table .* is full|out of (shared )?memory|errcode: (12|28|122)\b"
    r"|error (12|28|122)\b|too many (connections|clients)|could not (extend|write)|shutting down|shutdown in progress"
    r"|terminating connection|connection .*(lost|closed)|lost connection|gone away|recovery mode|starting up"
    r"|input/output error|read-only file ?system|lock wait timeout|statement timeout|canceling statement",
    re.IGNORECASE,
)
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
        error=re.compile(r"^psql:[^:]*:(\d+): ((?:ERROR|FATAL|PANIC):.*)$", re.MULTILINE),
    ),
    "mysql": Way(
        database="",
        age="SHOW GLOBAL STATUS LIKE 'Uptime'",
        made="SELECT UNIX_TIMESTAMP(MIN(create_time)) FROM information_schema.tables WHERE table_schema = 'mysql'",
        clear=[],
        # A sequence is none: its dump makes it by a statement of its own.
        tables="SELECT COUNT(*) FROM information_schema.tables "
        "WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND table_schema NOT IN " + _NOT_SYSTEM,
        error=re.compile(r"^ERROR \d+(?: \(\w+\))? at line (\d+)[^:]*: (.*)$", re.MULTILINE),
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
            rows = self._ask(self._way.age, said)
        except wire.Refused as refusal:
            if refusal.facts.get("status") in (404, 409):  # it is just ending, or starting anew
                return None
            raise
        words = (rows or [""])[0].split("\t")[-1]
        return int(words) if words.isdigit() else None

    def _ask(self, sql: str, said: Optional[Table] = None) -> Optional[List[str]]:
        """The rows of an answer; None when it was refused."""
        more = {"postgresql": ["--set=ON_ERROR_STOP=1"]}
        text = (sql + ("\n" if sql.endswith("\n") else ";\n")).encode()
        code, out, _ = drilling._client(self.engine, said or self._said, self._way.database, text, more)
        return None if code else out.decode("utf-8", "surrogateescape").splitlines()

    # --- nothing is in its way -----------------------------------------------------------------------

    def _check_new(self) -> None:
        """Raises Refused for data that were there before their container: they may be all that somebody has."""
        rows = self._ask(self._way.made)
        words = (rows or [""])[0].partition(".")[0]
        if not words.isdigit():
            raise self._refused("nobody can tell when its data were initialised")
        if int(words) < _seconds(self._said.get("Created")) - _CLOCKS_SECONDS:
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

    def _command(self) -> Tuple[List[str], Dict[str, str]]:
        told = dumping._Environment(self.engine, self._said)
        if self._kind == "postgresql":
            user = told.first("POSTGRES_USER", otherwise="postgres")
            words = ["psql", "--no-psqlrc", "--no-align", "--tuples-only", "--no-password", "--username=" + user]
            words += ["--dbname=postgres", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse", "--file=-"]
            return words, dict(dumping._postgresql(told).env, PGOPTIONS="")
        return [self._program(("mariadb", "mysql")), *_MYSQL], dumping._mysql(told).env

    def _program(self, names: Tuple[str, ...]) -> str:
        for name in names:
            found = drilling._execute(self.engine, self._said, [name, "--version"], {}, b"", bytearray(), bytearray())
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
        line, said = int(match.group(1)), without_data(match.group(2))
        words = words.format("line {} ({}): {}".format(line, passing.statement(line) or "?", said))
        return self._refused(words) if lacks_something(match.group(2)) else self._bad(words)

    def _check_all(self, passing: Passing, told: "_Told") -> None:
        """The dump was whole, and as much is there as it announced. Raises Refused."""
        if not passing.whole:
            raise self._bad("its dump has no end: it was cut off")
        tables = told.tables
        if self._kind == "mysql":
            rows = self._ask(self._way.tables) or [""]
            if not rows[0].isdigit():
                raise self._refused("its tables could not be counted")
            tables = int(rows[0])
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
            if head == b"COPY" and count.isdigit():
                self.tables += 1
                self.rows += int(count)

    def err(self, data: bytes) -> None:
        """More of its complaints; the last ones count."""
        self._words = (self._words + data)[-_WORDS:]


def lacks_something(words: str) -> bool:
    """Did a statement fail for what its server or the machine lacks? Another one may well take it."""
    return _LACKING.search(re.sub(r"[\"'`«“][^\"'`»”]*[\"'`»”]", "…", words)) is not None


def without_data(words: str) -> str:
    """A server's words without what it quotes: that may be somebody's data."""
    shown = re.sub(r"[\"'`«“].*[\"'`»”]", "…", words.strip())
    return shown[:_SHOWN]


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
    try:
        with open("/proc/{}/comm".format(pid)) as file:
            return file.read().strip()
    except OSError:
        return ""
