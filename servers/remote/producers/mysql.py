"""What the tools of MySQL and MariaDB print: dumps of databases; and users with their rights as SQL."""

import os
import re
import subprocess
from functools import partial
from typing import Any, Dict, List, Tuple

from .. import children, mysql_access, validate, wire
from ..loaders import mysql as server
from ..streams import Producer

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
_ESCAPED = re.compile(r"\\(.)")
_LETTERS = {"n": "\n", "t": "\t", "0": "\0", "r": "\r"}


def mysql_dump(row: Dict[str, Any], secrets: Dict[str, Any]) -> Producer:
    """One database as SQL that makes it anew, with its routines, events and triggers."""
    database = validate.text(row.get("database"), "database", limit=_NAME_LENGTH)
    flavour = _flavour(row)
    access = mysql_access.access(row, secrets)
    more = _MYSQL_OPTIONS if flavour == "mysql" else []
    argv = [_program(flavour), *access.options, *_OPTIONS, *more, "--databases", "--", database]
    return Producer(argv, access.user, {}, _TRAILER, database, access.fds)


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


def _write_users(asked: server.Server, flavour: str, sink: int) -> None:
    """In a process of our own. Raises what keeps one account from being told: half of them is no backup."""
    # Hashes hold bytes that are no text; statements of a server in another mode would quote differently.
    head = "SET SESSION sql_mode='';"
    if flavour == "mysql":
        head += "SET SESSION print_identified_with_as_hex=ON;" if _knows(asked, "print_identified_with_as_hex") else ""
    accounts = _accounts(asked, flavour, head)
    made: List[str] = []
    given: List[str] = []
    for who, is_role in accounts:
        if is_role and who.upper() != "`PUBLIC`":
            made.append("CREATE ROLE IF NOT EXISTS {};".format(who))
        if not is_role:
            (line,) = _lines(asked.ask("{}SHOW CREATE USER {};".format(head, who)))
            made.append(_if_missing(line) + ";")
        given += [line + ";" for line in _lines(asked.ask("{}SHOW GRANTS FOR {};".format(head, who)))]
    # A user whose default role is not there yet cannot be made: those come last.
    made.sort(key=lambda line: (not line.startswith("CREATE ROLE"), " DEFAULT ROLE " in line))
    text = "\n".join(["SET SESSION sql_mode='';", *made, *given, "FLUSH PRIVILEGES;", USERS_TRAILER, ""])
    with os.fdopen(os.dup(sink), "wb") as file:
        file.write(wire.raw(text))


def _knows(asked: server.Server, variable: str) -> bool:
    return asked.ask("SHOW VARIABLES LIKE {};".format(server.literal(variable))) != ""


def _accounts(asked: server.Server, flavour: str, head: str) -> List[Tuple[str, bool]]:
    """(as a statement names it, is it a role?) of each account but the server's own."""
    role = "is_role" if flavour == "mariadb" else "'N'"
    found = []
    for line in asked.ask("{}SELECT HEX(user), HEX(host), {} FROM mysql.user ORDER BY 1, 2;".format(head, role)).split(
        "\n"
    ):
        if not line:
            continue
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
