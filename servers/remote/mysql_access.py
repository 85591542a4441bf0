"""How a tool of MySQL or MariaDB gets into the server that a request names, with what lies on this server or is given.

`row`: {"socket"} or {"address", "port"}, and "login": {"method": "socket"|"debian.cnf"|"my.cnf"|"given", "user"};
a given password is in `secrets["database"]` and reaches the tool as an option file without a name.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

from . import children, memory, nearby, validate, wire
from .probes import databases, mysql_login
from .probes.base import user_name

_METHODS = ["socket", "debian.cnf", "my.cnf", "given"]


class Access(NamedTuple):
    """`options`: those that must stand before all others, and where the server is. `user`: the account of the tool."""

    options: List[str]
    user: Optional[str]
    fds: Sequence[int]


def access(row: Dict[str, Any], secrets: Dict[str, Any]) -> Access:
    """Checked: root and what is secret are shown to servers of the accounts of databases alone. Raises Refused."""
    table = row.get("login")
    login = table if isinstance(table, dict) else {}
    method = validate.choice(login.get("method"), "login method", _METHODS)
    door = _door(row)
    server = _server(door)
    given = None
    if method == "given":
        password = validate.text(secrets.get("database"), "the database's password", limit=1 << 12)
        given = {"user": validate.text(login.get("user") or "root", "user", limit=128), "password": password}
    fitting = [attempt for attempt in mysql_login.tries(door, server, given) if attempt.method == method]
    if not fitting:
        named = door.path or "{}:{}".format(door.address, door.port)
        raise wire.Refused("unsafe", "the server at {} is not shown the login “{}”".format(named, method))
    attempt = fitting[0]
    if not attempt.stdin:
        user = None if server.safe else server.account
        return Access([attempt.first, *attempt.more, *mysql_login.where(door)], user, ())
    descriptor = memory.secret(wire.raw(attempt.stdin), None)
    first = "--defaults-file=" + memory.path_of(descriptor)
    return Access([first, *mysql_login.where(door)], None, (descriptor,))


def client() -> str:
    """The client's path. Raises Refused."""
    path = children.find("mariadb") or children.find("mysql")
    if path is None:
        raise wire.Refused("missing", "no client is installed: install mariadb-client or mysql-client")
    return path


def _door(row: Dict[str, Any]) -> databases.Door:
    if row.get("socket") is not None:
        return databases.Door(wire.shown(validate.absolute(row["socket"], "socket")))
    address = nearby.own_address(row.get("address"), "address")
    return databases.Door(None, address, validate.number(row.get("port"), "port", 1, 65535))


def _server(door: databases.Door) -> mysql_login.Server:
    """Who answers there. Raises Refused when nobody does."""
    if door.path is None:
        nearby.check_listener("mysql", str(door.address), int(door.port or 0))
        return mysql_login.Server([door], None, True)
    try:
        uid = databases.credentials(door.path).account
    except OSError:
        raise wire.Refused("missing", "no server answers at {}".format(door.path)) from None
    return mysql_login.Server([door], None if uid is None else user_name(uid), databases.trusted("mysql", uid))
