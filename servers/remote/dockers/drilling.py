"""What a drill asks of the containers that it made: how they are, and whether what they hold can be read.

Only containers that the journal of this drill has made are ever asked. Actions (`what` of the action `drill`):
  examine {}                      {"containers": [row]}: name, state, exit status, health, image, database, last lines
  database {"container"}          everything is read: a dump to nowhere, and for PostgreSQL its indexes (amcheck)
  check {"container"}             secrets["params"] has {"script"}: what it answers is asked; {"lines", "code"…}
  query {"container", "database"} secrets["params"] has {"sql"}; {"code", "rows", "words"}
  http {"container", "port", "path", "host"}  {"status", "text"}: asked inside the container's own network

A drill's networks lead nowhere: not even this machine has an address in them.
"""

import http.client
import os
import re
import socket
from typing import Dict, List, Optional, Tuple

from .. import tree, validate, wire
from ..instant import inside
from ..probes import docker_said as probe
from . import containers, dumping, reading
from .engine import Engine, part
from .journal import Journal, Record
from .ondisk import Growing
from .steps import Context, Kind, Note, Problem, Table

_LOG_LINES = 40
_LINE = 500
_WORDS = 2000
_ROWS = 200
_TEXT = 1 << 16
_MOST_OUT = 32 << 20
_DETAIL = 64000
_HTTP_SECONDS = 30.0
# The server of the container itself, whatever its environment says of another one (MYSQL_HOST).
OWN_MYSQL = ("--protocol=socket", "--host=localhost")
Env = Dict[str, Optional[str]]


def drill(engine: Engine, token: str, request: wire.Request) -> Table:
    """One question; see above. Raises Refused."""
    args = request.args
    what = validate.choice(args.get("what"), "what", ["examine", "database", "check", "query", "http"])
    made = _made(token)
    if what == "examine":
        rows = [engine.container(identity) for identity in made]
        return {"containers": [_row(engine, said) for said in rows if said is not None]}
    said = containers.there(engine, containers.named(args.get("container"), "container"))
    if said["Id"] not in made:
        raise wire.Refused("invalid", "{} is no container of this drill".format(reading.name_of(said)))
    if what == "database":
        return _database(engine, said)
    if what == "check":
        return _check(engine, said, _secret(request, "script"))
    if what == "query":
        return _query(engine, said, validate.text(args.get("database"), "database", limit=255), _secret(request, "sql"))
    return _http(engine, said, args)


def _secret(request: wire.Request, key: str) -> str:
    from . import restoring

    return validate.text(restoring.secret_params(request).get(key), key, limit=1 << 16)


def _made(token: str) -> List[str]:
    """Ids of the containers that this drill has made. Raises Refused when there is no such drill."""
    journal = Journal(token)
    if not journal.exists:
        raise wire.Refused("missing", "there is no drill {} here".format(token))
    records = journal.records()
    return [str(one.undo["id"]) for one in records if one.op == "create_container" and one.undo.get("id")]


def _row(engine: Engine, said: Table) -> Table:
    state = said.get("State") or {}
    return {
        "name": reading.name_of(said),
        "state": containers.state_of(said),
        "exit_code": state.get("ExitCode"),
        "error": str(state.get("Error") or "")[:_WORDS],
        "oom": bool(state.get("OOMKilled")),
        "health": (state.get("Health") or {}).get("Status"),
        "restarts": said.get("RestartCount"),
        "image_id": said.get("Image"),
        "engine": probe.database(said),
        "log": _log(engine, said),
    }


def _log(engine: Engine, said: Table) -> List[str]:
    """The last lines of both of its streams; nothing where its engine keeps none."""
    path = "/containers/{}/logs".format(part(said["Id"]))
    data = bytearray()
    try:
        for chunk in engine.read(path, seconds=_HTTP_SECONDS, stdout=True, stderr=True, tail=_LOG_LINES):
            data = (data + chunk)[-(_LOG_LINES * _LINE * 2) :]
    except wire.Refused:
        return []
    plain = bool((said.get("Config") or {}).get("Tty"))
    text = bytes(data) if plain else _unframed(bytes(data))
    return [line[:_LINE] for line in text.decode("utf-8", "replace").splitlines()[-_LOG_LINES:]]


def _unframed(data: bytes) -> bytes:
    """Without the heads of the engine's frames; what does not begin with one stays as it is."""
    found = bytearray()
    while len(data) >= 8 and data[0] in (0, 1, 2) and data[1:4] == b"\0\0\0":
        size = int.from_bytes(data[4:8], "big")
        found += data[8 : 8 + size]
        data = data[8 + size :]
    return bytes(found) if found else data


# --- databases ---------------------------------------------------------------------------------------


class _Nowhere(Growing):
    """Counts what a dump says, and keeps nothing."""

    def __init__(self, kind: str) -> None:
        self.size = 0
        self._mark = {"postgresql": b"\nCOPY ", "mysql": b"\nCREATE TABLE "}.get(kind, b"")
        self._rest = b""
        self.tables = 0

    def begin_again(self) -> None:
        """By the next tool."""
        self.size, self.tables, self._rest = 0, 0, b""

    def write(self, data: bytes) -> None:
        """More."""
        self.size += len(data)
        text = self._rest + data
        if self._mark:
            self.tables += text.count(self._mark)
            # No mark is counted twice: what is carried is shorter than it.
            self._rest = text[-(len(self._mark) - 1) :]


def _database(engine: Engine, said: Table) -> Table:
    """Everything is read once; `problem` is what was in the way, in the tool's words. Raises Stopped."""
    kind = probe.database(said)
    if kind not in dumping._WAYS:
        return {"engine": kind, "known": False}
    nowhere = _Nowhere(kind)
    row: Table = {"engine": kind, "known": True, "problem": None, "bytes": 0, "tables": 0, "version": None}
    try:
        way = dumping._WAYS[kind](dumping._Environment(engine, said))
        sink = dumping._run(engine, said, kind, way, nowhere)
    except wire.Refused as refusal:
        if refusal.code == "docker-away":
            raise
        return dict(row, problem=refusal.message[:_WORDS], tables=nowhere.tables)
    match = dumping._VERSIONS[kind].search(bytes(sink.head))
    row.update(bytes=nowhere.size, tables=nowhere.tables)
    row["version"] = None if match is None else match.group(1).decode("ascii", "replace")
    if kind == "postgresql":
        row.update(_postgresql(engine, said))
    return row


_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn ORDER BY 1"
_INDEXES = (
    "SET client_min_messages = error; CREATE EXTENSION IF NOT EXISTS amcheck; "
    "SELECT count(bt_index_check(i.indexrelid, true)) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence <> 't' "
    "AND i.indisready AND i.indisvalid"
)
_NO_EXTENSION = ("extension control file", 'extension "amcheck" is not available')


def _postgresql(engine: Engine, said: Table) -> Table:
    """{"checksums", "indexes" that were walked through (None: it has no amcheck), "problem"}. It writes into a copy."""
    checksums = _query(engine, said, "postgres", "SHOW data_checksums")
    found: Table = {"checksums": checksums["rows"][:1] == ["on"], "indexes": None}
    listed = _query(engine, said, "postgres", _DATABASES)
    if listed["code"]:
        return dict(found, problem=listed["words"][:_WORDS])
    indexes = 0
    for name in listed["rows"]:
        asked = _query(engine, said, name, _INDEXES)
        if asked["code"] and any(words in asked["words"] for words in _NO_EXTENSION):
            return found
        if asked["code"]:
            return dict(found, problem="{}: {}".format(name, asked["words"])[:_WORDS])
        indexes += sum(_number(row) or 0 for row in asked["rows"])
    return dict(found, indexes=indexes)


def _number(text: str) -> Optional[int]:
    """What a container answers when a number was asked for; None when it is none, or none that could be true."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def _query(engine: Engine, said: Table, database: str, sql: str) -> Table:
    """{"code", "rows": [columns apart by tabs], "words"}. The statement goes by the standard input."""
    more = {"postgresql": ["--set=ON_ERROR_STOP=1"]}
    code, out, err = _client(engine, said, database, sql.encode() + b"\n", more)
    rows = out.decode("utf-8", "replace").splitlines()
    return {"code": code, "rows": [row[:_WORDS] for row in rows[:_ROWS]], "words": _shown(err)}


def _check(engine: Engine, said: Table, script: str) -> Table:
    """What the answer to a question says is asked, one statement after the other, also after one that failed."""
    database = "postgres" if probe.database(said) == "postgresql" else ""
    code, statements, err = _client(engine, said, database, script.rstrip().rstrip(";").encode() + b";\n", {})
    if code:
        return {"lines": [], "code": code, "detail": _shown(err)}
    code, out, err = _client(engine, said, database, bytes(statements), {"mysql": ["--force"]})
    lines = out.decode("utf-8", "replace").split("\n")
    return {"lines": lines[:-1] if lines[-1:] == [""] else lines, "code": code, "detail": _shown(err, _DETAIL)}


def _postgresql_env(told: dumping._Environment) -> Env:
    """For the server of the container itself: what its environment says of another one is for its own programs.

    A directory of sockets is its own, and so is PGPORT: its server reads that, too.
    """
    env: Env = dict(dumping._postgresql(told).env, PGOPTIONS="")
    others = ["PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE"]
    host = told.given("PGHOST") or ""
    if not host.startswith("/") or "," in host:
        others.append("PGHOST")
    # Only what is there can be taken away: an empty PGSERVICE would be one that is not found.
    env.update((name, None) for name in others if told.given(name) is not None)
    return env


def _client(
    engine: Engine, said: Table, database: str, stdin: bytes, more: Dict[str, List[str]]
) -> Tuple[int, bytearray, bytearray]:
    """(exit status, output, errors) of the client in the container. Raises Refused when it has none."""
    kind = probe.database(said)
    told = dumping._Environment(engine, said)
    env: Env
    if kind == "postgresql":
        user = told.first("POSTGRES_USER", otherwise="postgres")
        words = [
            "psql",
            "--no-psqlrc",
            "--no-align",
            "--tuples-only",
            "--quiet",
            "--field-separator=\t",
            "--no-password",
        ]
        words += ["--username=" + user, "--dbname=" + (database or user), "--file=-", *more.get(kind, [])]
        env, commands = _postgresql_env(told), [words]
    elif kind == "mysql":
        words = [*OWN_MYSQL, "--user=root", "--batch", "--skip-column-names", "--raw", *more.get(kind, [])]
        words += ["--database=" + database] if database else []
        env, commands = dict(dumping._mysql(told).env), [["mariadb", *words], ["mysql", *words]]
    else:
        raise wire.Refused("invalid", "{} is no database that could be asked in SQL".format(reading.name_of(said)))
    for command in commands:
        out, err = bytearray(), bytearray()
        code = _execute(engine, said, command, env, stdin, out, err)
        if code is not None:
            return code, out, err
    raise wire.Refused("engine", "{} has no client of its database".format(reading.name_of(said)))


def _execute(
    engine: Engine, said: Table, command: List[str], env: Env, stdin: bytes, out: bytearray, err: bytearray
) -> Optional[int]:
    def take(data: bytes) -> None:
        out.extend(data[: max(0, _MOST_OUT - len(out))])

    def words(data: bytes) -> None:
        err.extend(data[: max(0, _DETAIL - len(err))])

    try:
        code = engine.execute(str(said["Id"]), command, take, words, env, stdin=stdin)
    except wire.Refused as refusal:
        if any(text in refusal.message for text in dumping._MISSING):
            return None
        raise
    missing = any(text in (bytes(out[:_WORDS]) + bytes(err)).decode("utf-8", "replace") for text in dumping._MISSING)
    return None if code in (126, 127) and missing else code


def _shown(data: bytearray, most: int = _WORDS) -> str:
    return bytes(data[-most:]).decode("utf-8", "replace").strip()


# --- HTTP --------------------------------------------------------------------------------------------


class _Inside(inside.Namespace):
    """The network of a container by the number of its first process."""

    def __init__(self, engine: Engine, said: Table) -> None:
        pid = _pid(said)
        if not pid:
            raise wire.Refused("engine", "{} does not run".format(reading.name_of(said)))
        self._descriptor = os.open("/proc/{}/ns/net".format(pid), os.O_RDONLY | os.O_CLOEXEC)
        try:
            # Its number may have been given to another process before we opened: then it is not said again.
            if _pid(engine.container(str(said["Id"])) or {}) != pid or self._is_ours():
                raise wire.Refused("invalid", "{} has no network of its own".format(reading.name_of(said)))
        except BaseException:
            self.close()
            raise


def _pid(said: Table) -> int:
    """The number of its first process; 0 when it does not run."""
    return int((said.get("State") or {}).get("Pid") or 0)


class _Connection(http.client.HTTPConnection):
    def __init__(self, made: socket.socket) -> None:
        super().__init__("localhost")
        made.settimeout(_HTTP_SECONDS)
        self.sock = made


def _http(engine: Engine, said: Table, args: Table) -> Table:
    port = validate.number(args.get("port"), "port", 1, 65535)
    path = validate.text(args.get("path") or "/", "path", limit=2000)
    host = validate.text(args.get("host") or "localhost", "host", limit=255)
    if any(ord(letter) <= 32 or ord(letter) > 126 for letter in path + host) or not path.startswith("/"):
        raise wire.Refused("invalid", "the address is not of a form that can be asked for")
    try:
        network = _Inside(engine, said)
    except OSError as error:
        raise wire.Refused("engine", str(error)) from None
    try:
        connection = _Connection(network.connect(port))
        try:
            connection.request("GET", path, headers={"Host": host, "User-Agent": "phpborg", "Connection": "close"})
            answer = connection.getresponse()
            return {"status": answer.status, "text": answer.read(_TEXT).decode("utf-8", "replace"), "problem": None}
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return {"status": None, "text": "", "problem": str(error) or type(error).__name__}
    finally:
        network.close()


# --- where its files are -----------------------------------------------------------------------------


class MakePrivate(Kind):
    """{"path"}: a new directory of root's alone, in which everything of a drill lies that is in no volume."""

    holds = False

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, params)
        self._path = validate.absolute(params.get("path"), "path")

    def prepare(self) -> Table:
        if os.path.lexists(self._path):
            raise wire.Refused("exists", "{} exists already".format(wire.shown(self._path)))
        return {"path": wire.shown(self._path)}

    def apply(self, note: Note) -> Table:
        above, name = os.path.split(self._path)
        directory, _ = tree.walk_to(above, create=True)
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
        finally:
            os.close(directory)
        return {"path": wire.shown(self._path)}

    @staticmethod
    def undo(engine: Engine, record: Record) -> Optional[str]:
        """What is still in it is a drill's own: containers write where they like in what is theirs."""
        path = wire.raw(record.undo["path"])
        mounts = tree.mount_points(path)
        if mounts:
            raise Problem("a filesystem is mounted at {}: it stays".format(wire.shown(mounts[0][0])))
        above, name = os.path.split(path)
        try:
            directory, _ = tree.walk_to(above)
        except wire.Refused as refusal:
            if refusal.code == "missing":
                return None
            raise
        try:
            if tree.look(name, directory) is not None:
                tree.remove(name, directory, wire.Control(0))
        finally:
            os.close(directory)
        return None
