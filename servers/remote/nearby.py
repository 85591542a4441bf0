"""Servers of this machine: is an address ours, and who listens there?

Anybody may listen at a number or in /tmp while the database is down. A password is shown only to a server of root or of
an account that databases have.
"""

import errno
import re
import socket

from . import wire
from .probes import databases
from .probes.base import user_name

_ANSWER_SECONDS = 5.0
_NUMBER = re.compile(r"[0-9A-Fa-f:.]{2,45}")


def own_address(value: object, what: str) -> str:
    """A number of this machine, "127.0.0.1" for "localhost". Raises Refused for another machine's, or a name."""
    text = "127.0.0.1" if value == "localhost" else value
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        raise wire.Refused("invalid", "{} must be an IP address".format(what), field=what)
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        socket.inet_pton(family, text)
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((text, 0))
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            problem = "{} is not an address of this machine: the helper asks only servers that run here".format(text)
            raise wire.Refused("unsafe", problem, field=what) from None
        raise wire.Refused("invalid", "{} must be an IP address: {!r}".format(what, text), field=what) from None
    return databases.unmapped(text)


def check_listener(engine: str, address: str, port: int) -> None:
    """May who listens there be shown a password? Raises Refused, also when nobody does."""
    uid, where = databases.listener(address, port), "{} port {}".format(address, port)
    if uid is None:
        raise wire.Refused("missing", "nobody listens at {}: is the server running?".format(where))
    _check_account(engine, uid, where)


def check_socket(engine: str, path: str) -> None:
    """The same of who answers at a socket."""
    try:
        uid = databases.credentials(path, _ANSWER_SECONDS).uid
    except OSError as error:
        text = "nobody answers at {} ({}): is the server running?".format(path, error.strerror or error)
        raise wire.Refused("missing", text) from None
    _check_account(engine, uid, path)


def _check_account(engine: str, uid: int, where: str) -> None:
    if not databases.trusted(engine, uid):
        name = user_name(uid) or "number {}".format(uid)
        text = "who listens at {} is the account {}, which no package of a database has: it is shown no login"
        raise wire.Refused("unsafe", text.format(where, name))
