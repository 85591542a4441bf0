"""Roles of a dump by `pg_dumpall --globals-only`: the missing ones are made, those that are there stay as they are."""

import re
from typing import Any, Dict, Iterator, List, Tuple

from .. import wire
from .base import Failed, Kept, Loader
from .postgresql import Server

_TRAILER = b"-- PostgreSQL database cluster dump complete"
_NAME = rb'(?:"(?:[^"]|"")+"|[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*)'
# A text as pg_dumpall writes it: one with a backslash is E'…', whatever the server takes a plain one for.
_TEXT = rb"(?:'(?:[^'\\]|'')*'|E'(?:[^'\\]|\\[^']|'')*')"
_VALUE = rb"(?:" + _TEXT + rb"|" + _NAME + rb"|-?[0-9.]+)"
# Each statement in the one shape that pg_dumpall gives it. What else SQL knows (several accounts in one statement,
# members in CREATE ROLE) could change a role that is there, and is refused.
_ROLE = re.compile(
    rb"(?:CREATE ROLE (?P<made>{name})|ALTER ROLE (?P<altered>{name})(?: WITH(?: [A-Z]+| CONNECTION LIMIT -?[0-9]+"
    rb"| PASSWORD {text}| VALID UNTIL {text})+|(?: IN DATABASE {name})? SET {name}(?:\.{name})*"
    rb" (?:TO|=) {value}(?:, {value})*)|COMMENT ON ROLE (?P<told>{name}) IS (?:{text}|NULL)"
    rb"|SECURITY LABEL FOR {name} ON ROLE (?P<labelled>{name}) IS {text});".replace(b"{name}", _NAME)
    .replace(b"{text}", _TEXT)
    .replace(b"{value}", _VALUE)
)
_MEMBER = re.compile(
    rb"GRANT " + _NAME + rb" TO (?P<member>" + _NAME + rb")"
    rb"(?: WITH (?:(?:ADMIN|INHERIT|SET) (?:OPTION|TRUE|FALSE)(?:, )?)+)?(?: GRANTED BY " + _NAME + rb")?;"
)
_GRANTED_BY = re.compile(rb"\s+GRANTED BY " + _NAME + rb"\s*;\Z")
_TABLESPACE = re.compile(rb"(?:CREATE TABLESPACE|ALTER TABLESPACE|COMMENT ON TABLESPACE) (?P<space>" + _NAME + rb")")
_PARAMETER = re.compile(
    rb"GRANT [A-Z, ]+ ON PARAMETER " + _NAME + rb"(?:\." + _NAME + rb")* TO (?P<to>" + _NAME + rb")"
    rb"(?: WITH GRANT OPTION)?;"
)
_RIGHT = re.compile(rb"(?:(?:GRANT|REVOKE) [A-Z, ]+ ON TABLESPACE|REVOKE [A-Z, ]+ ON PARAMETER) ")
_PLAIN = re.compile(
    rb"SET (?:default_transaction_read_only = off|client_encoding = '[A-Za-z0-9_]+'"
    rb"|standard_conforming_strings = on|escape_string_warning = off);"
    rb"|SELECT pg_catalog\.set_config\('search_path', '', false\);"
)
_PIECE = re.compile(_TEXT + rb'|"(?:[^"]|"")*"|--[^\n]*|\\(?:un)?restrict [A-Za-z0-9]+(?=\n|\Z)|[A-Za-z_\x80-\xff]'
                    rb"[A-Za-z0-9_$\x80-\xff]*|[0-9]+|[\s;,.=()+-]")  # fmt: skip


def pg_globals(into: Dict[str, Any], secrets: Dict[str, Any], token: str) -> Loader:
    """The access row alone."""
    return _Globals(into, secrets)


class _Globals(Loader):
    what = "psql"
    collects = True

    def __init__(self, into: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        super().__init__()
        self.census: Kept = Kept(_TRAILER)
        self._server = Server(into, secrets)
        self._wanted: List[bytes] = []

    def carry_out(self) -> None:
        """In one transaction: all of the missing roles, or none."""
        there = self._names("SELECT pg_catalog.encode(pg_catalog.convert_to(rolname, 'UTF8'), 'hex') FROM pg_roles;")
        spaces = self._names(
            "SELECT pg_catalog.encode(pg_catalog.convert_to(spcname, 'UTF8'), 'hex') FROM pg_tablespace;"
        )
        kept, missing, chosen = _choose(self.census.content, there, spaces)
        self._wanted = _made_roles(chosen)
        self._server.ask(b"\n".join(chosen).decode("utf-8", "surrogateescape"), "postgres", "--single-transaction")
        self.notes += ["the role “{}” was there and stays as it is".format(wire.shown(role)) for role in kept]
        self.notes += [
            "the tablespace “{}” is not there and is not made: its directory is for you to choose".format(
                wire.shown(space)
            )
            for space in missing
        ]

    def finish(self) -> Dict[str, Any]:
        there = self._names("SELECT pg_catalog.encode(pg_catalog.convert_to(rolname, 'UTF8'), 'hex') FROM pg_roles;")
        lost = [role for role in self._wanted if role not in there]
        if lost:
            raise Failed("the role “{}” is not there after it was made".format(wire.shown(lost[0])))
        return {"roles": len(self._wanted), "bytes": self.census.bytes}

    def _names(self, question: str) -> List[bytes]:
        return [bytes.fromhex(line) for line in self._server.ask(question).splitlines()]


def _choose(content: bytes, there: List[bytes], spaces: List[bytes]) -> Tuple[List[bytes], List[bytes], List[bytes]]:
    """(roles that stay, tablespaces that are missing, statements to carry out)."""
    kept: List[bytes] = []
    missing: List[bytes] = []
    chosen: List[bytes] = []
    for statement in statements(content):
        role = _ROLE.fullmatch(statement)
        member = _MEMBER.fullmatch(statement)
        parameter = _PARAMETER.fullmatch(statement)
        space = _TABLESPACE.match(statement)
        if role:
            named = _plain(next(name for name in role.groupdict().values() if name))
            if named not in there:
                chosen.append(statement)
            elif role.group("made"):
                kept.append(named)
        elif member:
            if _plain(member.group("member")) not in there:
                # Who granted it there may not be here, or not be allowed to.
                chosen.append(_GRANTED_BY.sub(b";", statement))
        elif space:
            if statement.startswith(b"CREATE") and _plain(space.group("space")) not in spaces:
                missing.append(_plain(space.group("space")))
        elif _PLAIN.fullmatch(statement) or (parameter and _plain(parameter.group("to")) not in there):
            chosen.append(statement)
        elif not parameter and not _RIGHT.match(statement):
            raise Failed("a statement that is not about roles: {}".format(wire.shown(statement[:80])))
    return kept, missing, chosen


def _made_roles(chosen: List[bytes]) -> List[bytes]:
    found = [_ROLE.fullmatch(statement) for statement in chosen if statement.startswith(b"CREATE ROLE")]
    return [_plain(match.group("made")) for match in found if match]


def _plain(quoted: bytes) -> bytes:
    return quoted[1:-1].replace(b'""', b'"') if quoted.startswith(b'"') else quoted.lower()


def statements(content: bytes) -> Iterator[bytes]:
    """The statements of a dump of roles, without comments. Raises Failed for what no dump of roles holds.

    Where a statement ends is told by the same rules as the server's and psql's, or not at all: comments inside of a
    statement, `$$`, commands of psql and texts that read differently by a setting are refused.
    """
    now: List[bytes] = []
    at = 0
    while at < len(content):
        match = _PIECE.match(content, at)
        begun = bool(b"".join(now).strip())
        if match is None or (begun and match.group().startswith((b"--", b"\\"))):
            shown = wire.shown(content[at : at + 40])
            raise Failed("a dump of roles that holds what pg_dumpall does not write: {}".format(shown))
        at = match.end()
        piece = match.group()
        if piece.startswith((b"--", b"\\")):
            continue
        now.append(piece)
        if piece == b";":
            yield b"".join(now).strip()
            now = []
    if b"".join(now).strip():
        raise Failed("a dump of roles that ends in the middle of a statement")
