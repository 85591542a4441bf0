"""MongoDB: every server of this machine, asked in its own protocol, since its shell is seldom installed."""

import os
import re
import socket
import ssl
import struct
from typing import Any, Dict, List, NamedTuple, Optional

from . import bson, databases, scram, settings_file
from .base import Look, Process

_SERVERS = ("mongod", "ferretdb")
_PROGRAMS = ("mongodump", "mongorestore", "mongosh", "mongo")
_CONFIG_FILES = ("/etc/mongod.conf", "/etc/mongodb.conf", "/usr/local/etc/mongod.conf")
_COMMON = ("/var/lib/mongodb", "/var/lib/mongo", "/data/db")
_SOCKET = re.compile(r".*/mongodb-\d+\.sock")
_OP_MSG = 2013
_ANSWER_LIMIT = 48 << 20
_UNKNOWN_COMMAND = 59
# Unauthorized, AuthenticationFailed, and what a server says that knows no account yet.
_FORBIDDEN = (13, 18)
_ACCOUNTS = "admin"


class Refused(Exception):
    """The server's answer is a refusal: its words, and whether a login would help."""

    def __init__(self, answer: Dict[str, Any]) -> None:
        super().__init__(str(answer.get("errmsg", "the server refused")))
        self.code = answer.get("code")
        self.needs_login = self.code in _FORBIDDEN or "auth" in str(self).lower()


class Talk:
    """Questions and answers over one connection. Raises OSError when the server is gone, mute or talks nonsense."""

    def __init__(self, connection: socket.socket, kinds: Optional[bson.Kinds] = None) -> None:
        self._connection = connection
        self._kinds = kinds
        self._number = 0

    def ask(self, command: str, database: str = "admin", **more: Any) -> Dict[str, Any]:
        """One command for a database. Raises Refused when the server does not carry it out."""
        return self.carry_out(dict({command: 1}, **more), database)

    def carry_out(self, document: Dict[str, Any], database: str) -> Dict[str, Any]:
        """One command as it is written. Raises as `ask`."""
        self._number += 1
        self._connection.sendall(message(self._number, dict(document, **{"$db": database})))
        header = databases.receive(self._connection, 16)
        size, _, _, code = struct.unpack("<iiii", header)
        if code != _OP_MSG or not 26 <= size <= _ANSWER_LIMIT:
            raise ConnectionResetError("it does not speak MongoDB's protocol")
        try:
            answer = body(databases.receive(self._connection, size - 16), self._kinds)
        except bson.Damaged as error:
            raise ConnectionResetError("it does not speak MongoDB's protocol: {}".format(error)) from None
        if answer.get("ok") != 1:
            raise Refused(answer)
        return answer

    def try_to(self, command: str, **more: Any) -> Dict[str, Any]:
        """The answer, {} when the server does not carry it out."""
        try:
            return self.ask(command, **more)
        except Refused:
            return {}


class Told(NamedTuple):
    """How a server was asked, and what it told: each answer is {} when it was refused."""

    login: Dict[str, Any]
    hello: Dict[str, Any] = {}
    build: Dict[str, Any] = {}
    status: Dict[str, Any] = {}
    options: Dict[str, Any] = {}
    databases: Dict[str, Any] = {}


def message(number: int, document: Dict[str, Any]) -> bytes:
    """OP_MSG with one document."""
    content = struct.pack("<I", 0) + b"\0" + bson.encode(document)
    return struct.pack("<iiii", len(content) + 16, number, 0, _OP_MSG) + content


def body(content: bytes, kinds: Optional[bson.Kinds] = None) -> Dict[str, Any]:
    """The document of an OP_MSG's content; a checksum may follow it. Raises bson.Damaged."""
    flags, kind = struct.unpack("<IB", content[:5])
    if kind != 0:
        raise bson.Damaged("a section of an unknown kind")
    return bson.decode(content[5:-4] if flags & 1 else content[5:], kinds)


def probe(look: Look) -> Dict[str, Any]:
    """All instances and the programs that can deal with them."""
    patience = databases.Patience()
    servers = databases.leaders(process for process in look.processes() if process.name in _SERVERS)
    instances = [_instance(look, process, patience) for process in servers if "--version" not in process.argv]
    if not instances and look.find("mongod"):
        instances = _stopped(look)
    for instance in instances:
        databases.measure(look, instance["data"])
    return {"programs": databases.programs(look, _PROGRAMS), "instances": instances}


def _instance(look: Look, process: Process, patience: databases.Patience) -> Dict[str, Any]:
    listening = databases.listening(process.pid)
    port = listening.ports[0][1] if listening.ports else None
    found: Dict[str, Any] = _empty()
    name = "port {}".format(port) if port else "pid {}".format(process.pid)
    found.update(id=name, contained=process.contained, port=port, pid=process.pid, found_by=["process"])
    found["bind"] = sorted({address for address, _ in listening.ports})
    if process.contained:
        found["login"] = databases.login(False, problem="it runs in a container: it is not asked from outside")
        return found
    sockets = [path for path in listening.sockets if _SOCKET.fullmatch(path)]
    doors = databases.doors(databases.Listening(listening.ports, sockets))
    given = databases.given(look, "mongodb", port, sockets, databases.safe("mongodb", process.uid, doors))
    told = _ask(doors, patience.seconds(), given)
    named = databases.option(process.argv, "--config") or _after(process.argv, "-f")
    settings = _settings(named)
    parsed = told.options.get("parsed", {})
    storage = _table(parsed, "storage")
    candidates = [
        (storage.get("dbPath"), "sql", "high"),
        (databases.option(process.argv, "--dbpath"), "process", "medium"),
        (settings_file.text_of(settings, "storage.dbPath", "dbpath"), "config", "medium"),
        ("/data/db" if process.name == "mongod" else None, "config", "low"),
    ]
    usable = [(path, how, sure) for path, how, sure in candidates if isinstance(path, str) and os.path.isdir(path)]
    return dict(
        found,
        version=_text(told.build.get("version")),
        owner=process.user,
        data=databases.directory(usable + _common()),
        config_files=look.existing(*([named] if named else _CONFIG_FILES)),
        login=told.login,
        storage_engine=_text(_table(told.status, "storageEngine").get("name")) or _text(storage.get("engine")),
        replica_set=_text(told.hello.get("setName")),
        databases=_databases(told.databases),
    )


def _empty() -> Dict[str, Any]:
    unknown = dict.fromkeys(("version", "port", "owner", "pid", "data", "storage_engine", "replica_set"))
    lists: Dict[str, Any] = {name: [] for name in ("bind", "config_files", "databases")}
    return dict(unknown, **lists, running=True, contained=False)


def _stopped(look: Look) -> List[Dict[str, Any]]:
    """The server of the configuration, when none runs."""
    for path in look.existing(*_CONFIG_FILES):
        data = settings_file.text_of(_settings(path), "storage.dbPath", "dbpath")
        if data and os.path.isdir(data):
            login = databases.login(False, problem="it is down: start it to have its databases listed")
            place = databases.directory([(data, "config", "medium"), *_common()])
            more = {"id": "stopped", "running": False, "data": place, "config_files": [path], "login": login}
            return [dict(_empty(), **dict(more, found_by=["config"]))]
    return []


def _settings(path: Optional[str]) -> Dict[str, settings_file.Value]:
    return settings(databases.read(path) or "") if path else {}


def settings(text: str) -> Dict[str, settings_file.Value]:
    """mongod.conf: YAML since 2.6, `name = value` before."""
    return settings_file.yaml(text) or settings_file.ini(text)


def _ask(doors: List[databases.Door], seconds: float, given: Optional[Dict[str, str]] = None) -> Told:
    """By the first way in on which it speaks, with TLS when it wants that, and the given login when it wants one."""
    problem = "it is not known where it listens"
    for door in doors:
        for encrypted in (False, True):
            try:
                with connected(door, encrypted, seconds) as connection:
                    return _converse(Talk(connection), given)
            except (OSError, ValueError) as error:
                problem = databases.why(error, seconds) if isinstance(error, OSError) else str(error)
                if isinstance(error, socket.timeout):
                    return Told(databases.login(False, problem=problem))
                if isinstance(error, ConnectionRefusedError):
                    break
    return Told(databases.login(False, problem=problem))


def connected(door: databases.Door, encrypted: bool, seconds: float) -> socket.socket:
    """A connection, encrypted when asked. Raises OSError."""
    connection = door.connect(seconds)
    if not encrypted:
        return connection
    context = ssl.create_default_context()
    if door.path or databases.loopback(str(door.address)):
        # Nobody stands between us and ourselves.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        wrapped: socket.socket = context.wrap_socket(connection, server_hostname=door.address)
        return wrapped
    except BaseException:
        connection.close()
        raise


def _converse(talk: Talk, given: Optional[Dict[str, str]]) -> Told:
    """Nothing is said of who we are until a login is wanted. What is refused then is an answer."""
    try:
        hello = talk.ask("hello")
    except Refused as refusal:
        if refusal.code != _UNKNOWN_COMMAND:
            raise ConnectionResetError(str(refusal)) from None
        hello = talk.try_to("isMaster")  # before 4.4
    build = talk.try_to("buildInfo")
    login = databases.login(True, "none")
    try:
        listed = talk.ask("listDatabases")
    except Refused as refusal:
        words = "it wants a login: give one for it" if refusal.needs_login else str(refusal)
        if not refusal.needs_login or given is None:
            return Told(databases.login(False, problem=words), hello, build)
        login = databases.login(True, "given", given["user"])
        try:
            sign_in(talk, given["user"], given["password"], _ACCOUNTS)
            listed = talk.ask("listDatabases")
        except (Refused, scram.Failed, ValueError):
            refused = "it refuses the login that was given"
            return Told(databases.login(False, problem=refused), hello, build)
    status = talk.try_to("serverStatus", metrics=0, tcmalloc=0)
    return Told(login, hello, build, status, talk.try_to("getCmdLineOpts"), listed)


def sign_in(talk: Talk, user: str, password: str, source: str) -> None:
    """By SCRAM, which shows nobody the password. `source`: the accounts' database. Raises Refused and scram.Failed."""
    known = talk.try_to("isMaster", saslSupportedMechs="{}.{}".format(source, user))
    modern = "SCRAM-SHA-256" in (known.get("saslSupportedMechs") or ["SCRAM-SHA-1"])
    mechanism = "SCRAM-SHA-256" if modern else "SCRAM-SHA-1"
    said, nonce = scram.first(user)
    begun = talk.ask("saslStart", source, mechanism=mechanism, payload=("n,," + said).encode("utf-8"))
    secret = scram.prepared(mechanism, user, password)
    last, check = scram.final(mechanism, secret, said, _payload(begun), nonce)
    number = begun.get("conversationId")
    ended = talk.ask("saslContinue", source, conversationId=number, payload=last.encode("utf-8"))
    check(_payload(ended))
    if ended.get("done") is not True:
        talk.ask("saslContinue", source, conversationId=number, payload=b"")


def _payload(answer: Dict[str, Any]) -> str:
    payload = answer.get("payload")
    return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""


def _databases(answer: Dict[str, Any]) -> List[Dict[str, Any]]:
    listed = answer.get("databases", [])
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    return [{"name": _text(row.get("name")), "size_bytes": _whole(row.get("sizeOnDisk"))} for row in rows]


def _common() -> List[databases.Candidate]:
    return [(path, "common", "low") for path in _COMMON if os.path.exists(path + "/WiredTiger")]


def _table(document: Dict[str, Any], name: str) -> Dict[str, Any]:
    found = document.get(name) if isinstance(document, dict) else None
    return found if isinstance(found, dict) else {}


def _whole(value: Any) -> Optional[int]:
    # It is a float, or a whole number, as the server likes.
    return int(value) if isinstance(value, (int, float)) and 0 <= value < 1 << 63 else None


def _text(value: Any) -> Optional[str]:
    return value if isinstance(value, str) else None


def _after(argv: List[str], name: str) -> Optional[str]:
    return argv[argv.index(name) + 1] if name in argv[:-1] else None
