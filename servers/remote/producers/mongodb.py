"""What MongoDB's own tool prints: all databases of a server, or one, as one archive of `mongodump`.

The tool's exit status alone does not prove that all of its output arrived. Its format, which is defined in
common/archive/spec.md of mongo-tools (github.com/mongodb/mongo-tools), is followed while it passes:

  archive = 6d e2 99 81, header, metadata of each collection, ff ff ff ff, then blocks
  block   = {"db", "collection", "EOF": false, …}, documents, ff ff ff ff
          | {"db", "collection", "EOF": true, "CRC"}, ff ff ff ff

Whole is what ends after a block and has the end (EOF) of every collection of which it has documents. That each
collection of the metadata has one is not asked: a view has none.
"""

import json
import os
import struct
from typing import Any, Dict, List, Optional, Set, Tuple
from urllib.parse import quote

from .. import apart, children, memory, nearby, validate, wire
from ..probes import bson, databases
from ..probes import mongodb as probe
from ..streams import Producer

_MAGIC = struct.pack("<I", 0x8199E26D)
_END = -1
_LEAST_DOCUMENT = 5
_LONGEST = 64 << 20
_CHUNK = 1 << 20
_ANSWER_SECONDS = 10.0


def mongodump(row: Dict[str, Any], secrets: Dict[str, Any]) -> Producer:
    """One database, or all with their users, and then with what is written meanwhile if the server keeps a log of it.

    The password is in a file that only this tool can open (--config). Nothing is said of the read preference.
    """
    path = children.find("mongodump")
    if path is None:
        raise wire.Refused("missing", "mongodump is not installed (package mongodb-database-tools, or mongo-tools)")
    words, fds, hello = reach(row, secrets)
    argv = [path, *words]
    what = "all databases"
    if row.get("database") is not None:
        what = validate.text(row["database"], "database", limit=63)
        argv.append("--db=" + what)
    elif isinstance(hello.get("setName"), str):
        argv.append("--oplog")
    argv.append("--archive")
    return Producer(["mongodump"], None, {}, what=what, fds=fds, work=lambda sink: _dump(argv, fds, sink))


def reach(row: Dict[str, Any], secrets: Dict[str, Any]) -> Tuple[List[str], List[int], Dict[str, Any]]:
    """How one of its tools gets in: (options, descriptors that it needs, what the server says of itself)."""
    door = _door(row)
    words, fds = _way(door), []
    table = row.get("login")
    login = table if isinstance(table, dict) else {}
    if validate.choice(login.get("method"), "login method", ["none", "given"]) == "given":
        more, descriptor = _login(login, secrets)
        if door.path is not None:
            nearby.check_socket("mongodb", door.path)
        else:
            nearby.check_listener("mongodb", str(door.address), int(door.port or 0))
        words += more
        fds.append(descriptor)
    hello, encrypted = _hello(door)
    if encrypted:
        words.append("--ssl")
        if door.path or databases.loopback(str(door.address)):
            # Nobody stands between; a server's own certificate is seldom one that anybody knows.
            words += ["--sslAllowInvalidCertificates", "--sslAllowInvalidHostnames"]
    return words, fds, hello


def _door(row: Dict[str, Any]) -> databases.Door:
    if row.get("socket") is not None:
        return databases.Door(wire.shown(validate.absolute(row["socket"], "socket")))
    address = nearby.own_address(row.get("address"), "address")
    return databases.Door(None, address, validate.number(row.get("port"), "port", 1, 65535))


def _way(door: databases.Door) -> List[str]:
    if door.path is not None:
        return ["--uri=mongodb://{}/".format(quote(wire.raw(door.path), safe=""))]
    return ["--host={}".format(door.address), "--port={}".format(door.port)]


def _login(login: Dict[str, Any], secrets: Dict[str, Any]) -> Tuple[List[str], int]:
    user = validate.text(login.get("user"), "user", limit=1024)
    authdb = validate.text(login.get("authdb", "admin"), "authdb", limit=63)
    password = validate.text(secrets.get("database"), "password", limit=1 << 14)
    # A text of JSON is one of YAML.
    content = "password: {}\n".format(json.dumps(password, ensure_ascii=False))
    descriptor = memory.secret(wire.raw(content), None)
    words = ["--username=" + user, "--authenticationDatabase=" + authdb]
    return [*words, "--config=" + memory.path_of(descriptor)], descriptor


def _hello(door: databases.Door) -> Tuple[Dict[str, Any], bool]:
    """What the server says of itself to everybody, and whether it wants TLS. Raises Refused when it does not answer."""
    problem = ""
    for encrypted in (False, True):
        try:
            with probe.connected(door, encrypted, _ANSWER_SECONDS) as connection:
                talk = probe.Talk(connection)
                # Before 4.4 it knows only the second word.
                return talk.try_to("hello") or talk.ask("isMaster"), encrypted
        except OSError as error:
            problem = problem or databases.why(error, _ANSWER_SECONDS)
        except probe.Refused as error:
            problem = str(error)
    where = door.path or "{} port {}".format(door.address, door.port)
    raise wire.Refused("stream", "the server at {} cannot be asked: {}".format(where, problem))


def _dump(argv: List[str], fds: List[int], sink: int) -> None:
    """Pass on what the tool prints, and raise when it, or its end, is not what it should be."""
    child = children.start(argv, None, {}, 2, pass_fds=fds)
    assert child.stdout is not None
    walk = Walk()
    problem: Optional[str] = None
    while True:
        chunk = os.read(child.stdout.fileno(), _CHUNK)
        if not chunk:
            break
        apart.write_all(sink, chunk)
        try:
            if problem is None:
                walk.feed(chunk)
        except bson.Damaged as error:
            problem = str(error)
    code = child.wait()
    children.forget(child.pid)
    if code:
        status = "exit {}".format(code) if code > 0 else "signal {}".format(-code)
        raise wire.Refused("stream", "mongodump ended with {}".format(status))
    problem = problem or walk.missing()
    if problem is not None:
        raise wire.Refused("stream", "mongodump ended well, but its archive is not whole: {}".format(problem))


class Walk:
    """Follows an archive from document to document; of those with data only their length is looked at.

    `held`: how many documents it has of each collection, by (database, collection); 0 for one that is only named.
    A view is none; `databases` are all that are named.
    """

    def __init__(self) -> None:
        self.held: Dict[Tuple[str, str], int] = {}
        self.databases: Set[str] = set()
        self._rest = b""
        self._skip = 0
        self._begun = False
        self._prelude = True
        # The next document says what follows.
        self._heading = True
        self._open: Set[Tuple[str, str]] = set()
        self._name = ("", "")

    def feed(self, chunk: bytes) -> None:
        """The next bytes. Raises bson.Damaged."""
        if self._skip >= len(chunk):
            self._skip -= len(chunk)
            return
        data = self._rest + chunk[self._skip :]
        if not self._begun and len(data) < len(_MAGIC):
            self._rest = data
            return
        at = self._magic(data)
        size_at, length = struct.Struct("<i").unpack_from, len(data)
        while at + 4 <= length:
            (size,) = size_at(data, at)
            if size == _END:
                self._prelude, self._heading = False, True
                at += 4
                continue
            if not _LEAST_DOCUMENT <= size <= _LONGEST:
                raise bson.Damaged("a document of {} bytes".format(size))
            if self._heading:
                if at + size > length:
                    break
                self._head(bson.decode(data[at : at + size]))
            else:
                self.held[self._name] += 1
            at += size
        self._skip, self._rest = max(0, at - length), data[at:]

    def missing(self) -> Optional[str]:
        """What it lacks to be whole."""
        if self._prelude:
            return "it ends before its first collection"
        if self._rest or self._skip or not self._heading:
            return "it ends within a collection"
        if self._open:
            return "it has no end of {}".format(", ".join(sorted(".".join(name) for name in self._open)))
        return None

    def _magic(self, data: bytes) -> int:
        """How many bytes are its beginning."""
        if self._begun:
            return 0
        if not data.startswith(_MAGIC):
            raise bson.Damaged("this is not mongodump's format")
        self._begun = True
        return len(_MAGIC)

    def _head(self, document: Dict[str, Any]) -> None:
        name = self._name = (str(document.get("db")), str(document.get("collection")))
        if not self._prelude or "collection" in document:
            self.databases.add(name[0])
            if not self._prelude or not _is_view(document):
                self.held.setdefault(name, 0)
        if self._prelude:
            return
        self._heading = False
        if document.get("EOF") is True:
            self._open.discard(name)
        else:
            self._open.add(name)


def _is_view(document: Dict[str, Any]) -> bool:
    # Before 100.3 the tool said it only in the text of the metadata.
    return document.get("type") == "view" or '"viewOn"' in str(document.get("metadata"))
