"""Gets into a MySQL or MariaDB server: as root through its socket, with the files that lie here, with a given login."""

import os
import socket
import time
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from . import databases, mysql_sql
from .base import Look, Ran

_CLIENTS = ("mariadb", "mysql")
# Questions after the connection stands may take so much longer than the connection itself.
_ANSWER_SECONDS = 6.0
FILES = (("debian.cnf", "/etc/mysql/debian.cnf"), ("my.cnf", "/root/.my.cnf"))


class Server(NamedTuple):
    """What is known of a server that is to be asked. `account`: whom its process belongs to."""

    doors: List[databases.Door]
    account: Optional[str]
    safe: bool


class Try(NamedTuple):
    """One login. `first`: the option that must stand before all others; `stdin`: what the client reads there."""

    method: str
    first: str
    more: List[str]
    user: Optional[str]
    file: Optional[str] = None
    stdin: str = ""


def ask(
    look: Look, server: Server, given: Optional[Dict[str, str]], seconds: float
) -> Tuple[Dict[str, Any], Dict[str, Any], Optional[str]]:
    """(login, facts, the server's version as it greets): by the first login that works.

    A server that does not answer is not asked twice.
    """
    if not server.doors:
        return databases.login(False, problem="it is not known where it listens"), mysql_sql.facts(""), None
    door = server.doors[0]
    client = look.find(_CLIENTS[0]) or look.find(_CLIENTS[1])
    problem = None if client else "no client is installed: install mariadb-client or mysql-client"
    attempts = tries(door, server, given) if client else []
    if databases.alone(look, "mysql"):
        attempts = [attempt for attempt in attempts if attempt.method == "given"]
    for attempt in attempts:
        began = time.monotonic()
        ran = _run(look, [str(client), attempt.first, *attempt.more], attempt, server, door, seconds)
        facts = mysql_sql.facts(ran.out)
        if facts["variables"]:
            user = attempt.user or (facts["account"] or "").rpartition("@")[0] or None
            return databases.login(True, attempt.method, user, attempt.file), facts, None
        if time.monotonic() - began >= 0.9 * seconds:
            return databases.login(False, problem=databases.why(socket.timeout(), seconds)), facts, None
        problem = databases.last_words(ran) if attempt.method == "given" else problem or databases.last_words(ran)
    version, mute = greet(door, seconds)
    return databases.login(False, problem=mute or problem), mysql_sql.facts(""), version


def tries(door: databases.Door, server: Server, given: Optional[Dict[str, str]]) -> List[Try]:
    """The logins in their order. Root and its files are for servers of system accounts alone."""
    found = []
    if door.path and server.safe:
        found.append(Try("socket", "--no-defaults", ["--user=root"], "root"))
    elif door.path and server.account:
        found.append(Try("socket", "--no-defaults", ["--user=" + server.account], server.account))
    if server.safe:
        there = [(method, path) for method, path in FILES if os.path.exists(path)]
        found += [Try(method, "--defaults-file=" + path, [], None, path) for method, path in there]
    if given:
        text = "[client]\nuser={}\npassword={}\n".format(quoted(given["user"] or "root"), quoted(given["password"]))
        # By a pipe: a file would outlive a helper that is killed.
        found.append(Try("given", "--defaults-file=/dev/stdin", [], given["user"] or "root", None, text))
    return found


def quoted(value: str) -> str:
    """A value of an option file: between quotation marks, with its own escapes."""
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return '"{}"'.format("".join(escapes.get(character, character) for character in value))


def _run(look: Look, argv: List[str], attempt: Try, server: Server, door: databases.Door, seconds: float) -> Ran:
    words = argv + where(door) + ["--connect-timeout={}".format(max(1, int(seconds)))] + mysql_sql.ARGUMENTS
    # As root only where root's name is what lets us in: a server of an ordinary account gets its own account.
    user = None if server.safe or attempt.stdin else server.account
    # In this order: what is to be executed takes an earlier --force back.
    words += ["--execute=" + mysql_sql.SCRIPT, "--force"]
    return look.run(words, user=user, stdin=attempt.stdin.encode("utf-8"), timeout=seconds + _ANSWER_SECONDS)


def where(door: databases.Door) -> List[str]:
    """The client's words for a way in."""
    if door.path:
        return ["--protocol=socket", "--socket=" + door.path]
    return ["--protocol=tcp", "--host={}".format(door.address), "--port={}".format(door.port)]


def greet(door: databases.Door, seconds: float) -> Tuple[Optional[str], Optional[str]]:
    """(version, problem): what a server says to everybody who comes; it proves that it answers."""
    try:
        with door.connect(seconds) as connection:
            header = databases.receive(connection, 4)
            size = min(int.from_bytes(header[:3], "little"), 1 << 12)
            return mysql_sql.greeting(databases.receive(connection, size))
    except OSError as error:
        return None, databases.why(error, seconds)
