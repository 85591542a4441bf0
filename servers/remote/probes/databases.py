"""What the probes of databases share: who listens where, the data directory, logins that may be tried.

A process may be anybody's, and so may what it says of itself: its files are read without waiting, and what is
secret is shown only to servers of the accounts that databases of this engine have.
"""

import os
import re
import socket
import struct
import time
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from .. import wire
from .base import Look, Process, Ran, plain_file, user_name

ANSWER_SECONDS = 3.0
_LEAST_SECONDS = 0.5
_WAITING_SECONDS = 12.0
_READ_LIMIT = 1 << 20
_LISTENS = 0x10000
_MAPPED = "::ffff:"
# The accounts that the servers of an engine run as where packages install them. No other account (a web server's,
# another engine's) may start something that calls itself a database and be shown a secret. PostgreSQL never is root.
_ACCOUNTS = {
    "postgresql": {"postgres", "enterprisedb"},
    "mysql": {"root", "mysql", "mariadb"},
    "redis": {"root", "redis", "valkey"},
    "elasticsearch": {"root", "elasticsearch", "opensearch"},
    "mongodb": {"root", "mongodb", "mongod"},
}

# A place where data may lie, how we know, how sure that is.
Candidate = Tuple[str, str, str]


class Listening(NamedTuple):
    """Where a process listens: (address, port) of TCP, paths of unix sockets."""

    ports: List[Tuple[str, int]]
    sockets: List[str]


class Patience:
    """How long servers are waited for: 3 s each, and hardly at all once others have used up the time."""

    def __init__(self) -> None:
        self._until = time.monotonic() + _WAITING_SECONDS

    def seconds(self) -> float:
        """What the next answer may take."""
        return max(_LEAST_SECONDS, min(ANSWER_SECONDS, self._until - time.monotonic()))


class Door(NamedTuple):
    """Where a server is reached: a unix socket, or an address and a port."""

    path: Optional[str]
    address: Optional[str] = None
    port: Optional[int] = None

    def connect(self, seconds: float) -> socket.socket:
        """A connection whose every step takes at most so long. Raises OSError."""
        if self.path is None:
            return socket.create_connection((str(self.address), int(self.port or 0)), seconds)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(seconds)
        try:
            connection.connect(wire.raw(self.path))
        except BaseException:
            connection.close()
            raise
        return connection


def doors(listening: Listening) -> List[Door]:
    """The ways in, sockets first: they need no network and tell the server who we are."""
    # A hardened service may have a /tmp of its own, and a cleaner may have taken the file away.
    known = [Door(path) for path in listening.sockets if os.path.exists(wire.raw(path))]
    return known + [Door(None, near(address), port) for address, port in listening.ports]


def near(address: str) -> str:
    """Where to reach a server of this machine that listens there."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)


def loopback(address: str) -> bool:
    """Does what is sent there never leave this machine?"""
    return address == "::1" or address.startswith("127.")


def why(error: OSError, seconds: float) -> str:
    """In words, why a server could not be asked."""
    if isinstance(error, socket.timeout):
        return "it does not answer within {:g} s: look whether its process hangs".format(seconds)
    return error.strerror or str(error) or type(error).__name__


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly so many bytes. Raises OSError when the other side ends before."""
    data = bytearray()
    while len(data) < size:
        chunk = connection.recv(min(size - len(data), 1 << 16))
        if not chunk:
            raise ConnectionResetError("it ended the connection")
        data += chunk
    return bytes(data)


def peer(path: str) -> Optional[int]:
    """The process that listens on a unix socket: None when nobody does, 0 when it is not visible from here."""
    try:
        return credentials(path).pid
    except OSError:
        return None


class Credentials(NamedTuple):
    """Who made a unix socket listen, as they were at that moment; `pid` is 0 when it is not visible from here."""

    pid: int
    uid: int

    @property
    def account(self) -> Optional[int]:
        """The account; None of somebody whom we do not see: its number is another machine's."""
        return self.uid if self.pid else None


def credentials(path: str, seconds: float = _LEAST_SECONDS) -> Credentials:
    """Of who answers at a unix socket. Raises OSError when nobody does."""
    with Door(path).connect(seconds) as connection:
        pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return Credentials(pid, uid)


def maker(door: Door) -> Optional[int]:
    """The account that opened this door; None when nobody listens there, or somebody whom we do not see.

    The account of the process that holds it would not do: whoever starts a program that gains rights (su, sudo)
    hands it an open socket, and then the process is root's while the socket is answered by who made it.
    """
    if door.path is None:
        return listener(str(door.address), int(door.port or 0))
    try:
        return credentials(door.path).account
    except OSError:
        return None


def listener(address: str, port: int) -> Optional[int]:
    """The account that listens exactly there, else on every address of this port, as the kernel would choose."""
    found = list(_tcp_makers(port))
    for wanted in (address, "::") if ":" in address else (address, "0.0.0.0", "::"):
        for known, uid in found:
            if known == wanted:
                return uid
    return None


def _tcp_makers(port: int) -> Iterator[Tuple[str, int]]:
    for name in ("tcp", "tcp6"):
        for line in _table("/proc/net/" + name).decode("ascii", "replace").splitlines()[1:]:
            words = line.split()
            number, _, at = words[1].partition(":")
            if words[3] == "0A" and int(at, 16) == port:
                yield address_of(number), int(words[7])


def listening(pid: int) -> Listening:
    """Where the process listens; nothing when we may not look at it."""
    place = "/proc/{}/".format(pid)
    inodes = set()
    try:
        for name in os.listdir(place + "fd"):
            try:
                target = os.readlink(place + "fd/" + name)
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(int(target[8:-1]))
    except OSError:
        return Listening([], [])
    tables = [_table(place + "net/" + name) for name in ("tcp", "tcp6", "unix")]
    ports = [found for table in tables[:2] for inode, found in tcp_listeners(table).items() if inode in inodes]
    bound = [found for inode, found in unix_listeners(tables[2]).items() if inode in inodes]
    # A relative one was bound where the server stood; most stay there.
    sockets = [path if path[0] in "/@" else os.path.join(working_directory(pid) or "/", path) for path in bound]
    return Listening(sorted(set(ports), key=lambda found: (found[1], found[0])), sorted(set(sockets)))


def _table(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def tcp_listeners(table: bytes) -> Dict[int, Tuple[str, int]]:
    """(address, port) by inode, from /proc/net/tcp or tcp6."""
    found = {}
    for line in table.decode("ascii", "replace").splitlines()[1:]:
        words = line.split()
        if len(words) > 9 and words[3] == "0A":
            address, port = words[1].split(":")
            found[int(words[9])] = (address_of(address), int(port, 16))
    return found


def address_of(text: str) -> str:
    """An address as /proc/net writes it."""
    # Each word of four bytes stands in the machine's own order.
    packed = b"".join(struct.pack("=I", int(text[at : at + 8], 16)) for at in range(0, len(text), 8))
    return unmapped(socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed))


def unmapped(address: str) -> str:
    """Java listens by IPv6 even where it means IPv4; what it is is told as IPv4."""
    return address[len(_MAPPED) :] if address.startswith(_MAPPED) and "." in address else address


def unix_listeners(table: bytes) -> Dict[int, str]:
    """Paths by inode, from /proc/net/unix; a path may hold blanks."""
    found = {}
    for line in table.split(b"\n")[1:]:
        words = line.split(None, 7)
        if len(words) == 8 and int(words[3], 16) & _LISTENS:
            found[int(words[6])] = wire.shown(words[7])
    return found


def parent(pid: int) -> Optional[int]:
    """The process that started it."""
    text = read("/proc/{}/stat".format(pid)) or ""
    words = text[text.rfind(")") + 1 :].split()
    return int(words[1]) if len(words) > 1 else None


def leaders(processes: Iterable[Process]) -> List[Process]:
    """Those that are no child of another one: the servers without the helpers that they fork."""
    found = list(processes)
    pids = {process.pid for process in found}
    return [process for process in found if parent(process.pid) not in pids]


def environment_of(pid: int) -> Dict[str, str]:
    """The variables that a process was started with; {} when we may not know."""
    pairs = [word.split(b"=", 1) for word in _table("/proc/{}/environ".format(pid)).split(b"\0")]
    return {wire.shown(pair[0]): wire.shown(pair[1]) for pair in pairs if len(pair) == 2}


def working_directory(pid: int) -> Optional[str]:
    """Where a process stands; None when we may not know or it is gone."""
    try:
        path = wire.shown(os.readlink("/proc/{}/cwd".format(pid).encode()))
    except OSError:
        return None
    return path if os.path.isdir(wire.raw(path)) else None


def read(path: str) -> Optional[str]:
    """A plain file's text, bytes that are no UTF-8 kept; None for anything else."""
    content = plain_file(path, _READ_LIMIT)
    return None if content is None else wire.shown(content)


def option(argv: List[str], *names: str) -> Optional[str]:
    """The last value of `--name=value` or `--name value`; a hyphen and an underscore are the same in a name."""
    found = None
    for index, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name.replace("_", "-") in names:
            found = value if equals else (argv[index + 1] if index + 1 < len(argv) else found)
    return found


def directory(candidates: Iterable[Candidate]) -> Optional[Dict[str, Any]]:
    """The data directory: the first candidate; a usual place is only considered. Surest first."""
    known: Dict[str, Candidate] = {}
    for path, method, confidence in candidates:
        plain = path.rstrip("/") or "/"
        known.setdefault(plain, (plain, method, confidence))
    chosen = [found for found in known.values() if found[1] != "common"]
    if not chosen:
        return None
    listed = [dict(zip(("path", "method", "confidence"), found)) for found in known.values()]
    return dict(listed[list(known.values()).index(chosen[0])], candidates=listed, size_bytes=None, size_problem=None)


def measure(look: Look, found: Optional[Dict[str, Any]]) -> None:
    """Write the size of a data directory into it."""
    if found is not None:
        found["size_bytes"], found["size_problem"] = look.size(found["path"])


def outside(paths: Iterable[str], top: str) -> List[str]:
    """Those that lie outside `top` once all links are followed, each once, in this order."""
    real = os.path.realpath(wire.raw(top))
    found: Dict[str, None] = {}
    for path in paths:
        target = os.path.realpath(wire.raw(path))
        if target != real and not target.startswith(real.rstrip(b"/") + b"/"):
            found[wire.shown(target)] = None
    return list(found)


def login(
    works: bool,
    method: Optional[str] = None,
    user: Optional[str] = None,
    file: Optional[str] = None,
    problem: Optional[str] = None,
) -> Dict[str, Any]:
    """How we get in, or why not."""
    return {"works": works, "method": method, "user": user, "file": file, "problem": problem}


def trusted(engine: str, uid: Optional[int]) -> bool:
    """May a server of this engine and account see a secret? `engine` is a probe's name."""
    return uid is not None and user_name(uid) in _ACCOUNTS[engine]


def safe(engine: str, uid: Optional[int], ways: Iterable[Door]) -> bool:
    """May a server of this account, reached by these doors, see a secret? Each must be a trusted one's."""
    return trusted(engine, uid) and all(trusted(engine, maker(door)) for door in ways)


def given(look: Look, probe: str, port: Optional[int], sockets: Iterable[str], safe: bool) -> Optional[Dict[str, str]]:
    """The login that the administrator gave for this server, as {"user", "password"}; None without one.

    `safe`: it runs as an account of its engine. One that names a port or a socket is for that server alone. A name
    makes nobody safe: it stands in the server's own report, and whoever pretends to be a database writes it there.
    """
    found = look.given.get(probe)
    if not isinstance(found, dict):
        return None
    by_port, by_socket = found.get("port"), found.get("socket")
    if (by_port and str(by_port) != str(port)) or (by_socket and by_socket not in list(sockets)):
        return None
    if not safe:
        return None
    return {key: found[key] if isinstance(found.get(key), str) else "" for key in ("user", "password")}


def alone(look: Look, probe: str) -> bool:
    """Is only the login that was given to be tried, so that the answer is about it and not about a way in of ours?"""
    found = look.given.get(probe)
    return isinstance(found, dict) and found.get("alone") is True


def programs(look: Look, names: Iterable[str]) -> Dict[str, Dict[str, Optional[str]]]:
    """Those that are there, with what they say of their version."""
    found = {}
    for name in names:
        path = look.find(name)
        if path is not None:
            found[name] = {"path": path, "version": program_version(look, path)}
    return found


def program_version(look: Look, path: str) -> Optional[str]:
    """What a program says when asked for its version; None when it does not."""
    ran = look.run([path, "--version"], timeout=ANSWER_SECONDS)
    return version_in(ran.out + ran.err) if ran.ok else None


def version_in(text: str) -> Optional[str]:
    """The version in a sentence such as "mysql  Ver 15.1 Distrib 10.11.6-MariaDB, for debian-linux-gnu"."""
    found = re.search(r"(?:Distrib|from|server) (\d+(?:\.\d+)+)", text) or re.search(r"(\d+(?:\.\d+)+)", text)
    return found.group(1) if found else None


def last_words(ran: Ran) -> str:
    """Why a tool failed, in its own words."""
    lines = [line.strip() for line in ran.err.splitlines() if line.strip()]
    # libpq says so after the reason, of a file that is ours.
    lines = [line for line in lines if not line.startswith("password retrieved")]
    return lines[-1] if lines else "it ended with exit status {}".format(ran.code)
