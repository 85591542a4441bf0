"""Redis and what descends from it (Valkey, KeyDB), asked in their own protocol: no client is needed."""

import os
import re
import socket
from typing import IO, Any, Dict, List, Optional, Tuple, Union

from .. import wire
from . import databases
from .base import Look, Process

_SERVERS = ("redis-server", "valkey-server", "keydb-server")
_SOCKETS = ("/run/redis/redis.sock", "/run/redis/redis-server.sock", "/var/run/redis/redis.sock", "/tmp/redis.sock")
_COMMON = ("/var/lib/redis", "/var/lib/valkey", "/var/lib/keydb")
_LINE_LIMIT, _BULK_LIMIT, _ITEMS_LIMIT, _DEPTH_LIMIT = 1 << 16, 4 << 20, 1000, 4
Reply = Union[None, int, str, "Problem", List[Any]]


class Problem(str):
    """What a server answers when it refuses: "NOAUTH Authentication required."."""


class Talk:
    """A conversation with one server. Every method raises OSError when the server is gone, mute or talks nonsense."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file: IO[bytes] = connection.makefile("rb")

    def ask(self, *words: str) -> Reply:
        """One command, one reply."""
        raw = [wire.raw(word) for word in words]
        parts = [b"*%d\r\n" % len(raw)] + [b"$%d\r\n%s\r\n" % (len(word), word) for word in raw]
        self._connection.sendall(b"".join(parts))
        return read_reply(self._file)

    def setting(self, name: str) -> Optional[str]:
        """A configuration value; None when it may not be read."""
        reply = self.ask("CONFIG", "GET", name)
        return reply[1] if isinstance(reply, list) and len(reply) == 2 and isinstance(reply[1], str) else None


def read_reply(file: IO[bytes], depth: int = 0) -> Reply:
    """One reply of RESP version 2. Raises OSError for anything else."""
    line = file.readline(_LINE_LIMIT)
    kind, text = line[:1], line[1:-2]
    if not line.endswith(b"\r\n") or kind not in b"+-:$*":
        raise ConnectionResetError("it ended the connection" if not line else "it does not speak Redis's protocol")
    if kind in b"+-":
        return wire.shown(text) if kind == b"+" else Problem(wire.shown(text))
    if not re.fullmatch(rb"-?\d{1,18}", text):
        raise ConnectionResetError("it does not speak Redis's protocol")
    number = int(text)
    if kind == b":" or number < 0:
        return number if kind == b":" else None
    if number > (_BULK_LIMIT if kind == b"$" else _ITEMS_LIMIT) or depth > _DEPTH_LIMIT:
        raise ConnectionResetError("its answer is too long")
    if kind == b"*":
        return [read_reply(file, depth + 1) for _ in range(number)]
    data = file.read(number + 2)
    if len(data) != number + 2:
        raise ConnectionResetError("it ended the connection")
    return wire.shown(data[:-2])


def information(text: str) -> Dict[str, str]:
    """INFO's lines."""
    pairs = [line.partition(":") for line in text.splitlines() if ":" in line and not line.startswith("#")]
    return {name: value for name, _, value in pairs}


def probe(look: Look) -> Dict[str, Any]:
    """All instances; sentinels keep no data and are left out."""
    patience = databases.Patience()
    named = [process for process in look.processes() if process.name in _SERVERS]
    found = [process for process in databases.leaders(named) if "sentinel" not in " ".join(process.argv)]
    instances = [_instance(look, process, patience) for process in found]
    known = {os.path.realpath(instance["socket"]) for instance in instances if instance["socket"]}
    for path in dict.fromkeys(os.path.realpath(path) for path in _SOCKETS if os.path.exists(path)):
        pid = databases.peer(path) if path not in known else None
        if pid is not None and pid not in [process.pid for process in found]:
            instances.append(_by_socket(path, pid))
    for instance in instances:
        databases.measure(look, instance["data"])
    return {"instances": instances}


def _by_socket(path: str, pid: int) -> Dict[str, Any]:
    """Somebody listens there whose process we do not know as a server: told, not asked."""
    problem = "its process is not visible from here: it is not asked"
    return dict(_empty(), id="socket " + path, socket=path, pid=pid or None, contained=pid == 0, found_by=["socket"],
                login=databases.login(False, problem=problem))  # fmt: skip


def _empty() -> Dict[str, Any]:
    unknown = dict.fromkeys(("version", "port", "socket", "owner", "pid", "data"))
    lists: Dict[str, Any] = {"config_files": [], "persistence": {"rdb": None, "aof": None}}
    return dict(unknown, **lists, running=True)


def _instance(look: Look, process: Process, patience: databases.Patience) -> Dict[str, Any]:
    listening = databases.listening(process.pid)
    port = listening.ports[0][1] if listening.ports else None
    path = listening.sockets[0] if listening.sockets and not process.contained else None
    found = dict(
        _empty(),
        id="port {}".format(port) if port else "socket {}".format(path) if path else "pid {}".format(process.pid),
        contained=process.contained,
        port=port,
        socket=path,
        pid=process.pid,
        found_by=["process"],
    )
    if process.contained:
        problem = "it runs in a container: it is not asked from outside"
        return dict(found, login=databases.login(False, problem=problem))
    found["owner"] = process.user
    doors = databases.doors(listening)
    login = databases.given(look, "redis", port, listening.sockets, databases.safe("redis", process.uid, doors))
    answer, told = _ask(doors, login, patience.seconds())
    information = told.get("information", {})
    candidates = [(told.get("dir"), "sql", "high"), (databases.working_directory(process.pid), "process", "medium")]
    usable = [(place, method, sure) for place, method, sure in candidates if place and place.startswith("/")]
    usable += [(place, "common", "low") for place in _COMMON if os.path.isdir(place)]
    return dict(
        found,
        version=information.get("valkey_version") or information.get("redis_version"),
        data=databases.directory(usable),
        config_files=look.existing(*[path for path in [information.get("config_file")] if path]),
        login=answer,
        persistence=_persistence(told),
    )


def _persistence(told: Dict[str, Any]) -> Dict[str, Optional[bool]]:
    append = told.get("appendonly") or {"1": "yes", "0": "no"}.get(told.get("information", {}).get("aof_enabled", ""))
    save = told.get("save")
    return {"rdb": None if save is None else save != "", "aof": None if append is None else append == "yes"}


def _ask(
    doors: List[databases.Door], login: Optional[Dict[str, str]], seconds: float
) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """(login, what it told): by the first way in on which it speaks."""
    problem = "it is not known where it listens"
    for door in doors:
        try:
            with door.connect(seconds) as connection:
                return _converse(Talk(connection), login)
        except OSError as error:
            problem = databases.why(error, seconds)
            if isinstance(error, socket.timeout):
                break  # the other ways lead to the same process
    return databases.login(False, problem=problem), {}


def _converse(talk: Talk, login: Optional[Dict[str, str]]) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    method, user = "none", None
    reply = talk.ask("INFO")
    if isinstance(reply, Problem) and login and reply.startswith(("NOAUTH", "NOPERM", "ERR operation not permitted")):
        method, user = "given", login["user"] or None
        words = [word for word in (login["user"], login["password"]) if word]
        entered = talk.ask("AUTH", *words)
        reply = entered if isinstance(entered, Problem) else talk.ask("INFO")
    if not isinstance(reply, str) or isinstance(reply, Problem):
        advice = "" if login else ": give a password for it"
        return databases.login(False, problem="{}{}".format(reply, advice)), {}
    told: Dict[str, Any] = {name: talk.setting(name) for name in ("dir", "save", "appendonly")}
    return databases.login(True, method, user), dict(told, information=information(reply))
