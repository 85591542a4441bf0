"""Transactions that clients of MySQL and MariaDB had prepared (XA): neither committed nor rolled back, until they say.

InnoDB that only reads would show their rows as if they were committed. There they are rolled back before, in the
session's own layer; a server that may write keeps them as they were, in doubt.
"""

import re
from typing import Callable, List, NamedTuple, Tuple

from .. import wire

# Ways of the client (--batch) to write bytes that would break its rows.
_WAYS = {b"0": b"\0", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}
_WAY = re.compile(rb"\\([0nt\\])")
_ROW = re.compile(rb"([0-9]{1,10})\t([0-9]{1,2})\t([0-9]{1,2})\t(.*)", re.DOTALL)
_AT_ONCE = 100


class Prepared(NamedTuple):
    """How the server is asked: candidates for the client, and words before the statement."""

    programs: List[str]
    argv: List[str]
    roll_back: bool


def settle(asked: Prepared, ask: Callable[[List[str]], Tuple[int, bytes]]) -> int:
    """How many there were; none is left when they are rolled back. `ask` carries out a program with its words."""

    def said(statement: str) -> bytes:
        code, answer = ask([*asked.argv, statement])
        if code != 0:
            raise wire.Refused("instant", "{}: {}".format(statement[:200], wire.shown(answer).strip()))
        return answer

    found = names(said("XA RECOVER"))
    if asked.roll_back and found:
        for first in range(0, len(found), _AT_ONCE):
            said("; ".join("XA ROLLBACK " + name for name in found[first : first + _AT_ONCE]))
        if names(said("XA RECOVER")):
            raise wire.Refused("instant", "transactions that clients had prepared (XA) could not be rolled back")
    return len(found)


def names(answer: bytes) -> List[str]:
    """Of all rows, as statements name them. Raises Refused for what is none."""
    found = []
    for line in answer.split(b"\n"):
        if not line:
            continue
        row = _ROW.fullmatch(line)
        data = b"" if row is None else _WAY.sub(lambda way: _WAYS[way.group(1)], row.group(4))
        if row is None or len(data) != int(row.group(2)) + int(row.group(3)):
            raise wire.Refused("instant", "XA RECOVER: {}".format(wire.shown(line[:200])))
        first = data[: int(row.group(2))]
        second = data[len(first) :]
        found.append("X'{}',X'{}',{}".format(first.hex(), second.hex(), int(row.group(1))))
    return found
