"""A dump of SQL on its way to a database's client: what it announces is counted, and what is there already left out.

Pure; for any Python from 3.6 on. Lines keep their numbers, so that a client's words about a line can be understood.
"""

import re
from collections import deque
from typing import Deque, Iterable, Optional, Tuple

# So much of the beginning of a line is kept while the rest of it is still to come.
_HEAD = 1 << 16
_KEPT = 50000
_SHOWN = 200
_STATEMENT = re.compile(rb"(?:[A-Z]+ )+[^\s(;,']+")
_ROLE = re.compile(rb'CREATE ROLE ("(?:[^"]|"")*"|[^\s";]+);')
_USE = re.compile(rb"USE `((?:[^`]|``)*)`;")
_TABLE = re.compile(rb"CREATE TABLE (?:IF NOT EXISTS )?`")
_ENDS = {
    "postgresql": b"-- PostgreSQL database cluster dump complete",
    "mysql": b"-- Dump completed",
}
# Their tables are part of the server, and not all of them are in a dump.
SYSTEM = ("mysql", "sys", "information_schema", "performance_schema")


class Passing:
    """`tables` and `rows` (None where nobody can count them) that it announces; `whole`: its end was there.

    `roles`: those that are there, in PostgreSQL; they are not made again.
    """

    def __init__(self, kind: str, roles: Iterable[str] = ()) -> None:
        self.tables = 0
        self.rows: Optional[int] = 0 if kind == "postgresql" else None
        self.whole = False
        self._kind = kind
        self._roles = {name.encode("utf-8", "surrogateescape") for name in roles}
        self._carry = b""
        self._line = 0
        self._copying = False
        self._globals = kind == "postgresql"  # before the first database
        self._is_long = False
        self._system = False
        self._routine = False
        self._statements: Deque[Tuple[int, bytes]] = deque(maxlen=_KEPT)

    def feed(self, data: bytes) -> bytes:
        """What goes on of the next bytes."""
        if not self._globals:
            self._look(data)
            return data
        text, at, passed = self._carry + data, 0, []
        while self._globals:
            end = text.find(b"\n", at)
            if end < 0:
                break
            passed += [self._passed(text[at:end]), b"\n"]
            at = end + 1
        rest, self._carry = text[at:], b""
        if not self._globals:
            self._look(rest)
            passed.append(rest)
        elif self._is_long or len(rest) > _HEAD:
            # Accounts come in short lines: this is none, and nothing waits for its end.
            passed.append(self._passed(rest))
            self._is_long = True
        else:
            self._carry = rest
        return b"".join(passed)

    def _passed(self, line: bytes) -> bytes:
        """A line before the first database, or what is there of it."""
        if self._is_long:  # its beginning has gone on already
            self._is_long = False
            return line
        self._line += 1
        self._said(line[:_SHOWN], line[-_SHOWN:])
        return b"" if self._is_there(line) else line

    def end(self) -> bytes:
        """What is still to go on when there is no more."""
        rest = self._carry if self._globals else b""
        if not self._copying:
            self._said(self._carry)
        return rest

    def statement(self, line: int) -> str:
        """The kind and the name of what was said at this line; "" when nobody knows. No data, no password."""
        found = next((said for number, said in reversed(self._statements) if number <= line), b"")
        return found.decode("utf-8", "replace")

    def _is_there(self, line: bytes) -> bool:
        match = _ROLE.fullmatch(line)
        if match is None:
            return False
        name = match.group(1)
        return (name[1:-1].replace(b'""', b'"') if name.startswith(b'"') else name) in self._roles

    def _look(self, data: bytes) -> None:
        text, at = self._carry + data, 0
        while True:
            if self._copying and not text.startswith(b"\\.\n", at):
                end = text.find(b"\n\\.\n", at)
                upto = (end if end >= 0 else text.rfind(b"\n", at)) + 1
                if upto <= at:
                    break
                count = text.count(b"\n", at, upto)
                self.rows = (self.rows or 0) + count
                self._line += count
                at = upto
                continue
            end = text.find(b"\n", at)
            if end < 0:
                break
            self._line += 1
            if self._copying:
                self._copying = False
            else:
                self._said(text[at : min(end, at + _SHOWN)], text[max(at, end - _SHOWN) : end])
            at = end + 1
        self._carry = text[at : at + _HEAD]

    def _said(self, head: bytes, tail: Optional[bytes] = None) -> None:
        """A line that is no data, by its beginning and its end."""
        tail = head if tail is None else tail
        self.whole = self.whole or head.startswith(_ENDS[self._kind])
        match = _STATEMENT.match(head)
        if match is not None:
            self._statements.append((self._line, match.group()[:_SHOWN]))
        if self._kind == "postgresql":
            self._globals = self._globals and not head.startswith(b"\\connect ")
            if head.startswith(b"COPY ") and tail.endswith(b" FROM stdin;"):
                self._copying = True
                self.tables += 1
            return
        if head.startswith(b"DELIMITER "):
            self._routine = head.rstrip() != b"DELIMITER ;"
        use = _USE.match(head)
        if use is not None:
            self._system = use.group(1).decode("utf-8", "replace") in SYSTEM
        elif not self._routine and not self._system and _TABLE.match(head) is not None:
            self.tables += 1
