"""What a request asks of a session, every word checked.

{"token", "engine": the Docker engine's socket, "image", "pull": fetch one that is not there, "user": [uid, gid],
"memory": bytes, "environment": {name: text}, "scratch": [directory in memory], "layers": [{"name", "source": path in
the archive, "kind"}], "mounts": [{"layer", "at": path in the container}], "stages": [stage], "address", "ports":
[first, last], "adminer": beside or nothing}, and where the server listens: "socket": name in the run directory, or
"port": one of the container's loopback. With "door": {"name", "password": name of a secret, "read_only"} HTTP is passed
on, only for who knows these.

A stage is one start of the container: {"programs": [candidates, the first that the image has], "argv", "files",
"stdin": name of a secret, "seconds", "ends", "ready": [{"programs", "argv", "answer"}]}. One that `ends` does so by
itself; the others are ready when each command of `ready` succeeds in the container with this answer, if one is given,
and all but the last are ended then. A question may also be {"http": method, "path", "body", "answer": what the answer
holds} of the server's port, one of MongoDB's socket (mongo.py), or {"prepared": "keep" or "roll back", "programs",
"argv"} (prepared.py). A file is {"layer": name, "run" or "etc", "path", "text" or "secret": name, "mode"} or {"layer",
"path", "remove": true}.

Instead of being served a database may be asked ("checks"): [{"name", "programs", "argv", "stdin", "seconds", "script":
{"programs", "argv", "stdin"}}], each a command in the container of the last stage, whose lines are told as they come;
or {"name", "seconds", "mongo": what MongoDB is asked (mongo.py)}, or {…, "http": what a search engine is (shards.py)}.

Beside is a second container that sees the run directory, read-only, and a directory of settings of its own: {"image",
"programs", "argv", "environment", "memory", "files": [{"path", "text" or "secret", "mode"}], "port": where it listens
on its loopback, "ports": [first, last] of this machine's}.
"""

import ipaddress
import re
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Union

from .. import validate, wire
from . import mongo, shards, web
from .prepared import Prepared

# Directories in memory: for sockets and secrets, which the container may change, and for settings, which it may not.
RUN, ETC = "run", "etc"
INSIDE = {RUN: b"/phpborg/run", ETC: b"/phpborg/etc"}
ADMINER = "adminer"  # the settings of the container beside; seen there, and only there, where ETC is
IN_MEMORY = (*INSIDE, ADMINER)
KINDS = ["blocks", "overlay"]
_LAYER = re.compile(r"[a-z][a-z0-9-]{0,30}")
IMAGE = re.compile(r"(?=.{1,255}$)[a-z0-9][A-Za-z0-9._/:@-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_METHODS = ["GET", "POST", "PUT"]
_PATH = re.compile(r"/(?!/)[A-Za-z0-9_.,/?=&-]{0,300}")
_LOGIN = re.compile(r"[A-Za-z0-9_-]{1,60}")
_SOCKET = re.compile(r"[A-Za-z0-9._-]{1,60}")
_MOST = 200
_LEAST_MEMORY, _MOST_MEMORY = 64 << 20, 1 << 42
_HIGHEST_ID = (1 << 32) - 2
_LONGEST = 7 * 24 * 3600
_INPUT_BYTES = 1 << 20
# A container gets nothing of these from an archive: what lies there is the image's or the kernel's.
_NEVER = (
    b"/",
    b"/proc",
    b"/sys",
    b"/dev",
    b"/bin",
    b"/sbin",
    b"/lib",
    b"/lib64",
    b"/usr",
    b"/phpborg",
    *INSIDE.values(),
)


class Layer(NamedTuple):
    """One directory of the archive with a writable layer above it; see layers.py for the kinds."""

    name: str
    source: bytes
    kind: str


class Mount(NamedTuple):
    """Where the container sees a layer."""

    layer: str
    at: bytes


class File(NamedTuple):
    """A file that is written into a layer, or removed in it (`content` None), before a stage begins."""

    layer: str
    path: bytes
    content: Optional[bytes]
    mode: int


class Question(NamedTuple):
    """A command in the running container, and what it must print (None: whatever it likes)."""

    programs: List[str]
    argv: List[str]
    answer: Optional[bytes]


Asking = Union[Question, web.Query, mongo.Query, Prepared]


class Command(NamedTuple):
    """A program in the running container, and what it reads."""

    programs: List[str]
    argv: List[str]
    stdin: bytes


class Check(NamedTuple):
    """A command whose lines are handed over. With `script`, what that one prints is what it reads.

    With `over` it is no program of the image that is asked.
    """

    name: str
    script: Optional[Command]
    command: Command
    seconds: float
    over: Optional[Union[mongo.Look, shards.Look]] = None


class Stage(NamedTuple):
    """One start of the container. `stdin` is what its program reads."""

    programs: List[str]
    argv: List[str]
    files: List[File]
    stdin: Optional[bytes]
    seconds: float
    ends: bool
    ready: List[Asking]


class Beside(NamedTuple):
    """The second container."""

    image: str
    programs: List[str]
    argv: List[str]
    environment: Dict[str, str]
    memory: int
    files: List[File]
    port: int
    ports: Tuple[int, int]


class Session(NamedTuple):
    """All of it."""

    token: str
    engine: str
    image: str
    pull: bool
    user: Tuple[int, int]
    memory: int
    environment: Dict[str, str]
    scratch: List[bytes]
    layers: List[Layer]
    mounts: List[Mount]
    stages: List[Stage]
    socket: Optional[str]
    port: Optional[int]  # one of the two
    address: str
    ports: Tuple[int, int]
    door: Optional[web.Door] = None
    adminer: Optional[Beside] = None


def session(args: Dict[str, Any], secrets: Dict[str, Any]) -> Session:
    """Raises Refused for anything that is not exactly of this form."""
    layers = _layers(args.get("layers"))
    names = [layer.name for layer in layers]
    ids = [validate.number(one, "user", 1, _HIGHEST_ID) for one in _list(args.get("user"), "user", 2)]
    if len(ids) != 2:
        raise wire.Refused("invalid", "the session needs an account and a group by number, and never root's")
    first, last = _ports(args.get("ports"))
    listening, port = _listening(args)
    stages = _stages(args.get("stages"), names, secrets)
    asks_http = any(isinstance(question, web.Query) for stage in stages for question in stage.ready)
    door = None if args.get("door") is None else _door(args["door"], secrets)
    if port is None and (asks_http or door is not None):
        raise wire.Refused("invalid", "HTTP is spoken at a port", field="port")
    return Session(
        token=validate.token(args.get("token")),
        engine=wire.shown(validate.absolute(args.get("engine"), "engine")),
        image=validate.text(args.get("image"), "image", IMAGE),
        pull=args.get("pull") is True,
        user=(ids[0], ids[1]),
        memory=validate.number(args.get("memory"), "memory", _LEAST_MEMORY, _MOST_MEMORY),
        environment=_environment(args.get("environment")),
        scratch=[_inside(path, "scratch") for path in _list(args.get("scratch", []), "scratch")],
        layers=layers,
        mounts=_mounts(args.get("mounts"), names),
        stages=stages,
        socket=listening,
        port=port,
        address=_address(args.get("address", "127.0.0.1")),
        ports=(first, last),
        door=door,
        adminer=None if args.get("adminer") is None else _beside(args["adminer"], secrets),
    )


def _beside(value: Any, secrets: Dict[str, Any]) -> Beside:
    table = _table(value, "adminer")
    files = [{**_table(one, "file"), "layer": ADMINER} for one in _list(table.get("files", []), "files")]
    return Beside(
        image=validate.text(table.get("image"), "image", IMAGE),
        programs=_programs(table.get("programs")),
        argv=validate.texts(table.get("argv"), "argv", _MOST),
        environment=_environment(table.get("environment")),
        memory=validate.number(table.get("memory"), "memory", _LEAST_MEMORY, _MOST_MEMORY),
        files=[_file(one, [ADMINER], secrets) for one in files],
        port=validate.number(table.get("port"), "port", 1024, 65535),
        ports=_ports(table.get("ports")),
    )


def _listening(args: Dict[str, Any]) -> Tuple[Optional[str], Optional[int]]:
    if ("socket" in args) == ("port" in args):
        raise wire.Refused("invalid", "the server listens at a socket or at a port", field="socket")
    if "port" in args:
        return None, validate.number(args["port"], "port", 1024, 65535)
    return validate.text(args["socket"], "socket", _SOCKET), None


def _door(value: Any, secrets: Dict[str, Any]) -> web.Door:
    table = _table(value, "door")
    if not isinstance(table.get("read_only"), bool):
        raise wire.Refused("invalid", "read_only must be said", field="door")
    password = _secret(table.get("password"), secrets)
    if not password:
        raise wire.Refused("invalid", "a session has a password", field="door")
    return web.Door(validate.text(table.get("name"), "name", _LOGIN), password, table["read_only"])


def checks(value: Any, secrets: Dict[str, Any]) -> List[Check]:
    """Raises Refused for anything that is not exactly of this form."""
    found = []
    for one in _list(value, "checks"):
        table = _table(one, "check")
        name = validate.text(table.get("name"), "check", _LAYER)
        seconds = float(validate.number(table.get("seconds"), "seconds", 1, _LONGEST))
        script = table.get("script")
        if "mongo" in table:
            look = mongo.look(_table(table["mongo"], "mongo"), secrets)
            found.append(Check(name, None, Command([], [], b""), seconds, look))
        elif "http" in table:
            found.append(Check(name, None, Command([], [], b""), seconds, shards.look(_table(table["http"], "http"))))
        else:
            found.append(Check(name, None if script is None else _command(script), _command(table), seconds))
    if not found or len({check.name for check in found}) != len(found):
        raise wire.Refused("invalid", "the checks need names of their own", field="checks")
    return found


def _command(value: Any) -> Command:
    table = _table(value, "command")
    stdin = validate.text(table.get("stdin", ""), "stdin", limit=_INPUT_BYTES)
    return Command(_programs(table.get("programs")), validate.texts(table.get("argv"), "argv", _MOST), wire.raw(stdin))


def _list(value: Any, what: str, most: int = _MOST) -> List[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise wire.Refused("invalid", "{} must be a list of at most {}".format(what, most), field=what)
    return value


def _table(value: Any, what: str) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise wire.Refused("invalid", "{} must be a table".format(what), field=what)
    return value


def _layers(value: Any) -> List[Layer]:
    found = []
    for one in _list(value, "layers"):
        name = validate.text(_table(one, "layer").get("name"), "layer", _LAYER)
        source = one.get("source")
        kind = validate.choice(one.get("kind", KINDS[0]), "kind", KINDS)
        found.append(Layer(name, b"" if source == "" else validate.relative(source, "source"), kind))
    names = [layer.name for layer in found]
    if not found or len(set(names)) != len(names) or set(names) & set(IN_MEMORY):
        raise wire.Refused("invalid", "the layers need names of their own", field="layers")
    return found


def _mounts(value: Any, names: List[str]) -> List[Mount]:
    found = []
    for one in _list(value, "mounts"):
        layer = validate.choice(_table(one, "mount").get("layer"), "layer", names)
        found.append(Mount(layer, _inside(one.get("at"), "at")))
    return found


def _inside(value: Any, what: str) -> bytes:
    """A path in the container that is not the image's own."""
    path = validate.absolute(value, what)
    if path in _NEVER or path.split(b"/")[1] in (b"proc", b"sys", b"dev"):
        raise wire.Refused("unsafe", "nothing is mounted there in a container: {}".format(wire.shown(path)), field=what)
    return path


def _environment(value: Any) -> Dict[str, str]:
    found = _table({} if value is None else value, "environment")
    return {validate.text(name, "environment", _VARIABLE): validate.text(found[name], name) for name in found}


def _stages(value: Any, names: List[str], secrets: Dict[str, Any]) -> List[Stage]:
    found = [_stage(one, names, secrets) for one in _list(value, "stages", 8)]
    if not found or found[-1].ends:
        raise wire.Refused("invalid", "the last stage is the one that serves", field="stages")
    return found


def _stage(value: Any, names: List[str], secrets: Dict[str, Any]) -> Stage:
    table = _table(value, "stage")
    stdin, ends = table.get("stdin"), table.get("ends") is True
    ready = [_question(one, secrets) for one in _list(table.get("ready", []), "ready", 20)]
    if not ends and not ready:
        raise wire.Refused("invalid", "a server is ready when it has answered", field="ready")
    return Stage(
        programs=_programs(table.get("programs")),
        argv=validate.texts(table.get("argv"), "argv", _MOST),
        files=[_file(one, names, secrets) for one in _list(table.get("files", []), "files")],
        stdin=None if stdin is None else _secret(stdin, secrets),
        seconds=float(validate.number(table.get("seconds"), "seconds", 1, _LONGEST)),
        ends=ends,
        ready=ready,
    )


def _programs(value: Any) -> List[str]:
    found = validate.texts(value, "programs", 10)
    if not found or not all(program.startswith("/") for program in found):
        raise wire.Refused("invalid", "a program is named by its path", field="programs")
    return found


def _question(value: Any, secrets: Dict[str, Any]) -> Asking:
    table = _table(value, "question")
    if "mongo" in table:
        return mongo.question(table, secrets)
    answer = table.get("answer")
    if "http" in table:
        return web.Query(
            validate.choice(table["http"], "http", _METHODS),
            validate.text(table.get("path"), "path", _PATH),
            wire.raw(validate.text(table.get("body", ""), "body")),
            None if answer is None else wire.raw(validate.text(answer, "answer")),
        )
    if "prepared" in table:
        way = validate.choice(table["prepared"], "prepared", ["keep", "roll back"])
        words = validate.texts(table.get("argv"), "argv", _MOST)
        return Prepared(_programs(table.get("programs")), words, way == "roll back")
    return Question(
        _programs(table.get("programs")),
        validate.texts(table.get("argv"), "argv", _MOST),
        None if answer is None else wire.raw(validate.text(answer, "answer")),
    )


def _file(value: Any, names: List[str], secrets: Dict[str, Any]) -> File:
    table = _table(value, "file")
    layer = validate.choice(table.get("layer"), "layer", [*names, *INSIDE])
    path = validate.relative(table.get("path"), "path")
    mode = validate.number(table.get("mode", 0o600), "mode", 0, 0o700)
    if table.get("remove") is True:
        return File(layer, path, None, mode)
    if "secret" in table:
        return File(layer, path, _secret(table["secret"], secrets), mode)
    return File(layer, path, wire.raw(validate.text(table.get("text"), "text", limit=1 << 20)), mode)


def _secret(name: Any, secrets: Dict[str, Any]) -> bytes:
    return wire.raw(validate.text(secrets.get(str(name)), "secret {!r}".format(name), limit=1 << 16))


def _address(value: Any) -> str:
    """The address that is listened on, by number. Which one is wise is the plan's."""
    try:
        return str(ipaddress.ip_address(validate.text(value, "address")))
    except ValueError:
        raise wire.Refused("invalid", "this is no address: {!r}".format(value), field="address") from None


def _ports(value: Any) -> Tuple[int, int]:
    numbers = [validate.number(one, "ports", 1024, 65535) for one in _list(value, "ports", 2)]
    if len(numbers) != 2 or numbers[0] > numbers[1]:
        raise wire.Refused("invalid", "ports must be the first and the last one", field="ports")
    return numbers[0], numbers[1]
