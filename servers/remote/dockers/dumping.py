"""Databases dumped by their own tool inside their container, into files that borg reads.

How one gets in is what the container's own environment says, as the official images name it; passwords reach the tool
by its environment or its standard input. A dump is whole when the tool ended with 0 and its end is there.
"""

import json
import os
import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from .. import wire
from ..probes import bson
from ..producers.mongodb import Walk
from .engine import Engine
from .ondisk import Growing
from .quiesce import Inspected, state
from .reading import name_of

_TAIL = 4096
_HEAD = 1 << 16
_WORDS = 1500
_SECRET_BYTES = 1 << 16
_MISSING = ("executable file not found", "no such file or directory")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
_MYSQL = (
    *("--user=root", "--all-databases", "--single-transaction", "--quick", "--routines", "--events", "--triggers"),
    *("--hex-blob", "--default-character-set=utf8mb4", "--max-allowed-packet=1G", "--no-tablespaces"),
    *("--loose-column-statistics=0", "--loose-set-gtid-purged=OFF"),
)
_VERSIONS = {
    "postgresql": re.compile(rb"^-- Dumped from database version ([0-9][\w.]*)", re.MULTILINE),
    "mysql": re.compile(rb"^-- Server version\s+([0-9][\w.+~:-]*)", re.MULTILINE),
    "mongodb": re.compile(rb"server_version\x00.{4}([0-9][0-9A-Za-z.-]*)\x00", re.DOTALL),
}
_SUFFIX = {"postgresql": ".sql", "mysql": ".sql", "mongodb": ".archive"}


class Way(NamedTuple):
    """How a tool is started: the first of these command lines whose program is there."""

    commands: List[List[str]]
    env: Dict[str, str]
    stdin: bytes = b""
    trailer: bytes = b""


class Whole(NamedTuple):
    """A dump that is whole."""

    path: str
    size: int
    version: Optional[str]


class _NoProgram(Exception):
    """The container has no such program."""


def path_of(name: str, kind: str, number: int) -> str:
    """The dump's path below what is made: by the container's name, when that is one as Docker allows it."""
    plain = name if _NAME.fullmatch(name) else "container-{}".format(number)
    return "dumps/{}{}".format(plain, _SUFFIX[kind])


def dump(engine: Engine, said: Inspected, kind: str, made: str, path: str) -> Whole:
    """Dump what runs in this container. Raises Refused with the tool's words, "no-room", and Stopped."""
    name = name_of(said)
    if state(said).get("Status") != "running":
        text = "{} is {}: a database is dumped while it runs"
        raise wire.Refused("snapshot", text.format(name, state(said).get("Status")))
    way = _WAYS[kind](_Environment(engine, said))
    with Growing(os.path.join(made, path), "the dump of " + name) as file:
        sink = _run(engine, said, kind, way, file)
    match = _VERSIONS[kind].search(bytes(sink.head))
    return Whole(path, file.size, None if match is None else match.group(1).decode("ascii", "replace"))


def _run(engine: Engine, said: Inspected, kind: str, way: Way, file: Growing) -> "_Sink":
    for command in way.commands:
        file.begin_again()
        sink = _Sink(file.write, way.trailer, kind)
        try:
            code = _execute(engine, said, command, way, sink)
        except _NoProgram:
            continue
        problem = "it ended with exit {}".format(code) if code else sink.problem()
        if problem is None:
            return sink
        words = bytes(sink.words).decode("utf-8", "replace").strip()
        text = "the dump by {} in {} is not whole: {}{}"
        raise wire.Refused("snapshot", text.format(command[0], name_of(said), problem, words and ": " + words))
    text = "{} has none of {}: its database cannot be dumped inside it"
    raise wire.Refused("snapshot", text.format(name_of(said), ", ".join(command[0] for command in way.commands)))


class _Sink:
    """What the tool prints, on its way to the disk: its beginning and its end are looked at."""

    def __init__(self, write: Callable[[bytes], Any], trailer: bytes, kind: str) -> None:
        self._write = write
        self._trailer = trailer
        self._walk = Walk() if kind == "mongodb" else None
        self._damaged: Optional[str] = None
        self.head = bytearray()
        self.tail = b""
        self.words = bytearray()

    def out(self, data: bytes) -> None:
        """The next bytes."""
        self._write(data)
        self.head += data[: max(0, _HEAD - len(self.head))]
        self.tail = (self.tail + data)[-_TAIL:]
        if self._walk is not None and self._damaged is None:
            try:
                self._walk.feed(data)
            except bson.Damaged as error:
                self._damaged = str(error)

    def err(self, data: bytes) -> None:
        """Its words; the last ones count."""
        self.words = (self.words + data)[-_WORDS:]

    def problem(self) -> Optional[str]:
        """Why it is not whole though its tool ended well."""
        if self._walk is not None:
            return self._damaged or self._walk.missing()
        return None if self._trailer in self.tail else "it has no end"


def _execute(engine: Engine, said: Inspected, command: List[str], way: Way, sink: _Sink) -> int:
    """Its exit status. Raises _NoProgram when the container has none of that name."""
    try:
        code = engine.execute(str(said["Id"]), command, sink.out, sink.err, way.env, stdin=way.stdin)
    except wire.Refused as refusal:
        if any(words in refusal.message for words in _MISSING):
            raise _NoProgram from None
        raise
    told = (bytes(sink.words) + sink.tail).decode("utf-8", "replace")
    if code in (126, 127) and any(words in told for words in _MISSING):
        raise _NoProgram
    return code


# --- how one gets in ----------------------------------------------------------------------------------


class _Environment:
    """What the container was started with."""

    def __init__(self, engine: Engine, said: Inspected) -> None:
        self._engine = engine
        self._container = str(said["Id"])
        rows = (said.get("Config") or {}).get("Env") or []
        self._values = dict(str(row).partition("=")[::2] for row in rows)

    def first(self, *names: str, otherwise: str = "") -> str:
        """The value of the first of these that is set, or what the file holds that NAME_FILE names."""
        for name in names:
            if self._values.get(name):
                return self._values[name]
            if self._values.get(name + "_FILE"):
                return self._file(self._values[name + "_FILE"])
        return otherwise

    def given(self, name: str) -> Optional[str]:
        """What this one is set to, and no file's content."""
        return self._values.get(name)

    def _file(self, path: str) -> str:
        """As the container sees it: a secret is often mounted only there."""
        out, err = bytearray(), bytearray()
        text = "the file {} with the password cannot be read in the container: {}"

        def take(data: bytes) -> None:
            # A container names what it likes, also something without an end.
            if len(out) + len(data) > _SECRET_BYTES:
                raise wire.Refused("snapshot", text.format(path, "it is larger than {} bytes".format(_SECRET_BYTES)))
            out.extend(data)

        def words(data: bytes) -> None:
            err.extend(data[: max(0, _WORDS - len(err))])

        code = self._engine.execute(self._container, ["cat", "--", path], take, words)
        if code:
            raise wire.Refused("snapshot", text.format(path, bytes(err).decode("utf-8", "replace").strip()))
        return bytes(out).decode("utf-8", "surrogateescape").rstrip("\r\n")


def _postgresql(told: _Environment) -> Way:
    user = told.first("POSTGRES_USER", otherwise="postgres")
    password = told.first("POSTGRES_PASSWORD", "POSTGRESQL_POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD")
    # What is found on a search_path that the owner of a database set would run with the superuser's rights.
    env = {"PGAPPNAME": "phpborg", "PGOPTIONS": "-c search_path=pg_catalog"}
    if password:
        env["PGPASSWORD"] = password
    command = ["pg_dumpall", "--no-password", "--username=" + user]
    return Way([command], env, trailer=b"-- PostgreSQL database cluster dump complete")


def _mysql(told: _Environment) -> Way:
    password = told.first("MARIADB_ROOT_PASSWORD", "MYSQL_ROOT_PASSWORD")
    env = {"MYSQL_PWD": password} if password else {}
    commands = [[program, *_MYSQL] for program in ("mariadb-dump", "mysqldump")]
    return Way(commands, env, trailer=b"-- Dump completed")


def _mongodb(told: _Environment) -> Way:
    user = told.first("MONGO_INITDB_ROOT_USERNAME", "MONGODB_ROOT_USER")
    password = told.first("MONGO_INITDB_ROOT_PASSWORD", "MONGODB_ROOT_PASSWORD")
    command = ["mongodump", "--archive"]
    if not password:
        return Way([command], {})
    command += ["--username=" + (user or "root"), "--authenticationDatabase=admin", "--config=/dev/stdin"]
    # A text of JSON is one of YAML.
    content = "password: {}\n".format(json.dumps(password, ensure_ascii=False))
    return Way([command], {}, stdin=wire.raw(content))


_WAYS: Dict[str, Callable[[_Environment], Way]] = {"postgresql": _postgresql, "mysql": _mysql, "mongodb": _mongodb}
