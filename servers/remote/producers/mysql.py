"""What the tools of MySQL and MariaDB print: dumps of databases; and users with their rights as SQL."""

import os
import pwd
import re
import signal
import subprocess
from functools import lru_cache, partial
from typing import Any, Dict, List, Tuple

from .. import children, memory, mysql_access, validate, wire
from ..loaders import mysql as server
from ..loaders.base import Failed
from ..probes.base import plain_file
from ..streams import Producer
from .mysql_rights import unseen

_NAME_LENGTH = 64
_VERSION_SECONDS = 20
_TRAILER = b"-- Dump completed"
USERS_TRAILER = "-- phpBorg: end of the users and their rights"
_PROGRAMS = {"mariadb": ("mariadb-dump", "mysqldump"), "mysql": ("mysqldump",)}
_PACKAGES = {"mariadb": "mariadb-client", "mysql": "mysql-client"}
# In one transaction with all that belongs to a database. Tables of other engines than InnoDB are read as they
# are at their turn: locking them would keep everybody from writing for as long as the dump takes.
_OPTIONS = [
    "--single-transaction",
    "--quick",
    "--routines",
    "--events",
    "--triggers",
    "--hex-blob",
    "--default-character-set=utf8mb4",
    "--max-allowed-packet=1G",
]
# Of MySQL's own tool: statistics that an older server does not have, positions that belong to a replica, rights
# that tablespaces would need. `loose`: a version that does not know one of them goes on without it.
_MYSQL_OPTIONS = ["--loose-column-statistics=0", "--loose-set-gtid-purged=OFF", "--no-tablespaces"]
# Accounts that the server makes for itself and that nobody signs in with.
_INTERNAL = ("mariadb.sys", "mysql.sys", "mysql.session", "mysql.infoschema")
# The right itself and whom it is given to; what follows is how the account signs in, as CREATE USER says it already.
_ON_ALL = re.compile(r"(GRANT [A-Za-z_, ]+ ON \*\.\* TO `(?:[^`]|``)*`@`(?:[^`]|``)*`)(.*)", re.DOTALL)
_STRING = re.compile(r"'(?:[^'\\]|\\.|'')*'", re.DOTALL)
_GROUP = re.compile(rb"\s*\[\s*([^\]]*)\]")
_LOGIN_BYTES = 1 << 20
_ESCAPED = re.compile(r"\\(.)")
_LETTERS = {"n": "\n", "t": "\t", "0": "\0", "r": "\r"}


def mysql_dump(row: Dict[str, Any], secrets: Dict[str, Any]) -> Producer:
    """One database as SQL that makes it anew, with its routines, events and triggers."""
    database = validate.text(row.get("database"), "database", limit=_NAME_LENGTH)
    flavour = _flavour(row)
    access = _login_alone(mysql_access.access(row, secrets))
    more = _MYSQL_OPTIONS if flavour == "mysql" else []
    argv = [_program(flavour), *access.options, *_OPTIONS, *more, "--databases", "--", database]
    work = partial(_dump, server.Server(row, secrets), access, argv, database, flavour)
    return Producer(argv, access.user, {}, _TRAILER, database, access.fds, work=work)


def mysql_users(row: Dict[str, Any], secrets: Dict[str, Any]) -> Producer:
    """Roles, users and their rights, as statements that leave what is there already as it is."""
    flavour = _flavour(row)
    asked = server.Server(row, secrets)
    trailer = USERS_TRAILER.encode() + b"\n"
    return Producer(["mysql_users"], None, {}, trailer, "users", asked.fds, work=partial(_write_users, asked, flavour))


def _flavour(row: Dict[str, Any]) -> str:
    return validate.choice(row.get("flavour"), "flavour", sorted(_PROGRAMS))


def _program(flavour: str) -> str:
    """The dump program of the server's own family: the other one's makes dumps that only it can read."""
    for name in _PROGRAMS[flavour]:
        path = children.find(name)
        if path is not None and _is_of(path, flavour):
            return path
    text = "{} is not installed: install {}".format(_PROGRAMS[flavour][0], _PACKAGES[flavour])
    raise wire.Refused("missing", text)


def _login_alone(access: mysql_access.Access) -> mysql_access.Access:
    """Of a file that lies on the server only how to sign in: what it says to the dump program would be obeyed, too.

    Tables to leave out, say: the dump would end well without them. Files that it includes are read as they are.
    """
    option, _, path = access.options[0].partition("=")
    content = plain_file(path, _LOGIN_BYTES) if option == "--defaults-file" and not access.fds else None
    if content is None:
        return access
    kept, inside = [], False
    for line in content.splitlines(True):
        group = _GROUP.match(line)
        inside = group.group(1).startswith(b"client") if group else inside
        if inside or line.lstrip().startswith(b"!"):
            kept.append(line)
    descriptor = memory.secret(b"".join(kept), access.user)
    options = ["--defaults-file=" + memory.path_of(descriptor), *access.options[1:]]
    return access._replace(options=options, fds=(descriptor,))


@lru_cache(maxsize=None)
def _is_of(path: str, flavour: str) -> bool:
    try:
        said = subprocess.run(
            [path, "--version"],
            check=False,
            stdout=subprocess.PIPE,
            env=children.environment(),
            timeout=_VERSION_SECONDS,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    return (b"MariaDB" in said) == (flavour == "mariadb")


def _dump(
    asked: server.Server, access: mysql_access.Access, argv: List[str], database: str, flavour: str, sink: int
) -> None:
    """In a process of our own, which becomes the tool once it is known that the login sees all of the database."""
    missing = unseen(_lines(_ask(asked, "SET SESSION sql_mode=''; SHOW GRANTS;")), database, flavour)
    if missing:
        text = "this login does not see all of “{}”, and a dump would leave that out: grant it {} on the database"
        raise wire.Refused("stream", text.format(database, ", ".join(missing)))
    os.dup2(sink, 1)
    for descriptor in access.fds:
        os.set_inheritable(descriptor, True)
    env = children.environment({"HOME": pwd.getpwnam(access.user).pw_dir} if access.user else None)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as a tool expects it
    os.execve(argv[0], [wire.raw(word) for word in argv], {os.fsencode(name): wire.raw(env[name]) for name in env})


def _ask(asked: server.Server, text: str) -> str:
    """Raises Refused with the server's words."""
    try:
        return asked.ask(text)
    except Failed as failure:
        raise wire.Refused("stream", str(failure)) from None


def _write_users(asked: server.Server, flavour: str, sink: int) -> None:
    """In a process of our own. Raises what keeps one account from being told: half of them is no backup."""
    # Hashes hold bytes that are no text; statements of a server in another mode would quote differently.
    head = "SET SESSION sql_mode='';"
    if flavour == "mysql":
        head += "SET SESSION print_identified_with_as_hex=ON;" if _knows(asked, "print_identified_with_as_hex") else ""
    made: List[str] = []
    given: List[str] = []
    for who, is_role in _accounts(asked, flavour, head):
        if is_role and who.upper() != "`PUBLIC`":
            made.append("CREATE ROLE IF NOT EXISTS {};".format(who))
        if not is_role:
            first, *more = _lines(_ask(asked, "{}SHOW CREATE USER {};".format(head, who))) or [""]
            made.append(_if_missing(first) + ";")
            given += [_beside(line) for line in more]
        given += [_right(line) + ";" for line in _lines(_ask(asked, "{}SHOW GRANTS FOR {};".format(head, who)))]
    # A user whose default role is not there yet cannot be made: those come last.
    made.sort(key=lambda line: (not line.startswith("CREATE ROLE"), " DEFAULT ROLE " in line))
    text = "\n".join(["SET SESSION sql_mode='';", *made, *given, "FLUSH PRIVILEGES;", USERS_TRAILER, ""])
    with os.fdopen(os.dup(sink), "wb") as file:
        file.write(wire.raw(text))


def _right(line: str) -> str:
    """Without MariaDB's IDENTIFIED …, which would give an account that is there already another password."""
    match = _ON_ALL.fullmatch(line)
    if match is None:
        return line
    passes_on = " WITH GRANT OPTION" in _STRING.sub("''", match.group(2))
    return match.group(1) + (" WITH GRANT OPTION" if passes_on else "")


def _beside(line: str) -> str:
    """What MariaDB says apart of an account whose password has run out: how long the next one will be good for.

    It is kept for people: the account that is made asks for a new password at once, which is what matters.
    """
    return "-- " + line.replace("\n", "\\n") + ";"


def _knows(asked: server.Server, variable: str) -> bool:
    return _ask(asked, "SHOW VARIABLES WHERE variable_name = {};".format(server.literal(variable))) != ""


def _accounts(asked: server.Server, flavour: str, head: str) -> List[Tuple[str, bool]]:
    """(as a statement names it, is it a role?) of each account but the server's own."""
    role = "is_role" if flavour == "mariadb" else "'N'"
    question = "{}SELECT HEX(user), HEX(host), {} FROM mysql.user ORDER BY 1, 2;".format(head, role)
    found = []
    for line in filter(None, _ask(asked, question).split("\n")):
        user, host, is_role = line.split("\t")
        name, place = (bytes.fromhex(value).decode("utf-8", "surrogateescape") for value in (user, host))
        if name in _INTERNAL:
            continue
        who = server.name(name) if is_role == "Y" else "{}@{}".format(server.name(name), server.name(place))
        found.append((who, is_role == "Y"))
    return found


def _lines(said: str) -> List[str]:
    """Rows of one column, as the client prints them without --raw."""
    return [
        _ESCAPED.sub(lambda one: _LETTERS.get(one.group(1), one.group(1)), line) for line in said.split("\n") if line
    ]


def _if_missing(line: str) -> str:
    start = "CREATE USER "
    if not line.startswith(start):
        raise wire.Refused("stream", "an account is told in a way that is not known: {}".format(line[:40]))
    return "CREATE USER IF NOT EXISTS " + line[len(start) :]
