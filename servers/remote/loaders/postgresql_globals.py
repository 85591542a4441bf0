"""Roles of a dump by `pg_dumpall --globals-only`: the missing ones are made, those that are there stay as they are."""

import re
from typing import Any, Dict, Iterator, List, Tuple

from .. import wire
from .base import Failed, Kept, Loader
from .postgresql import Server

_TRAILER = b"-- PostgreSQL database cluster dump complete"
_NAME = rb'("(?:[^"]|"")+"|[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*)'
_ABOUT_ROLE = re.compile(
    rb"(?:CREATE ROLE|ALTER ROLE|COMMENT ON ROLE|SECURITY LABEL .{0,200}? ON ROLE) " + _NAME, re.DOTALL
)
_MEMBER = re.compile(rb"GRANT " + _NAME + rb" TO " + _NAME)
_GRANTED_BY = re.compile(rb"\s+GRANTED BY " + _NAME + rb"\s*;\Z")
_TABLESPACE = re.compile(rb"(?:CREATE TABLESPACE|ALTER TABLESPACE|COMMENT ON TABLESPACE) " + _NAME)
_PARAMETER = re.compile(rb"GRANT [A-Z, ]+ ON PARAMETER [^\s]+ TO " + _NAME)
_RIGHT = re.compile(rb"(?:GRANT|REVOKE) [A-Z, ]+ ON (?:TABLESPACE|PARAMETER) ")
_PLAIN = re.compile(rb"(?:SET |SELECT pg_catalog\.set_config)")
_PIECE = re.compile(rb"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|;|\\[^\n]*|.", re.DOTALL)


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
        role = _ABOUT_ROLE.match(statement)
        member = _MEMBER.match(statement)
        parameter = _PARAMETER.match(statement)
        space = _TABLESPACE.match(statement)
        if role:
            if _plain(role.group(1)) not in there:
                chosen.append(statement)
            elif statement.startswith(b"CREATE"):
                kept.append(_plain(role.group(1)))
        elif member:
            if _plain(member.group(2)) not in there:
                # Who granted it there may not be here, or not be allowed to.
                chosen.append(_GRANTED_BY.sub(b";", statement))
        elif space:
            if statement.startswith(b"CREATE") and _plain(space.group(1)) not in spaces:
                missing.append(_plain(space.group(1)))
        elif _PLAIN.match(statement) or (parameter and _plain(parameter.group(1)) not in there):
            chosen.append(statement)
        elif not _RIGHT.match(statement):
            raise Failed("a statement that is not about roles: {}".format(wire.shown(statement[:80])))
    return kept, missing, chosen


def _made_roles(chosen: List[bytes]) -> List[bytes]:
    found = [_ABOUT_ROLE.match(statement) for statement in chosen if statement.startswith(b"CREATE ROLE")]
    return [_plain(match.group(1)) for match in found if match]


def _plain(quoted: bytes) -> bytes:
    return quoted[1:-1].replace(b'""', b'"') if quoted.startswith(b'"') else quoted.lower()


def statements(content: bytes) -> Iterator[bytes]:
    """The statements of a dump of roles, without comments and psql's own commands."""
    now: List[bytes] = []
    for match in _PIECE.finditer(content):
        piece = match.group()
        if piece.startswith(b"--") or (piece.startswith(b"\\") and not b"".join(now).strip()):
            continue
        now.append(piece)
        if piece == b";":
            yield b"".join(now).strip()
            now = []
