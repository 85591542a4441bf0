"""Servers of this machine: is an address ours, and who listens there?

Anybody may listen at a number or in /tmp while the database is down. A password is shown only to a server of root or of
an account that databases have.
"""

import errno
import os
import re
import socket
import struct
from typing import Iterator, Optional, Tuple

from . import wire
from .probes import databases
from .probes.base import user_name

_ANSWER_SECONDS = 5.0
_LISTENS = "0A"
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
    return text


def check_listener(address: str, port: int) -> None:
    """May who listens there be shown a password? Raises Refused, also when nobody does."""
    uid, where = _listener(address, port), "{} port {}".format(address, port)
    if uid is None:
        raise wire.Refused("missing", "nobody listens at {}: is the server running?".format(where))
    _check_account(uid, where)


def check_socket(path: str) -> None:
    """The same of who answers at a socket."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            connection.connect(wire.raw(path))
            _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    except OSError as error:
        text = "nobody answers at {} ({}): is the server running?".format(path, error.strerror or error)
        raise wire.Refused("missing", text) from None
    _check_account(uid, path)


def _check_account(uid: int, where: str) -> None:
    if not databases.trusted(uid):
        name = user_name(uid) or "number {}".format(uid)
        text = "who listens at {} is the account {}, which no package of a database has: it is shown no login"
        raise wire.Refused("unsafe", text.format(where, name))


def _listener(address: str, port: int) -> Optional[int]:
    """The account that listens exactly there, else on every address of this port."""
    found = list(_listening(port))
    for wanted in (address, "0.0.0.0", "::"):
        for known, uid in found:
            if known == wanted or known == "::ffff:" + wanted:
                return uid
    return None


def _listening(port: int) -> Iterator[Tuple[str, int]]:
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        path = "/proc/net/" + table
        if not os.path.exists(path):
            continue
        with open(path) as file:
            for line in list(file)[1:]:
                words = line.split()
                number, _, at = words[1].partition(":")
                if words[3] == _LISTENS and int(at, 16) == port:
                    yield _address(number, family), int(words[7])


def _address(number: str, family: int) -> str:
    """As the kernel writes it there: each group of four bytes in this machine's order."""
    groups = [int(number[start : start + 8], 16) for start in range(0, len(number), 8)]
    return socket.inet_ntop(family, struct.pack("={}I".format(len(groups)), *groups))
