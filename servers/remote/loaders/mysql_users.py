"""Users, roles and rights of MySQL or MariaDB: missing accounts are made, those that are there stay as they are.

SHOW GRANTS may carry a password: statements about an account that is there are never carried out.
"""

import re
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from .. import streams, wire
from .base import Failed, Kept, Loader, answer_of
from .mysql import Server

_TRAILER = b"-- phpBorg: end of the users and their rights"
_SECONDS = 600.0
_NOTES = 100
_QUOTED = rb"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`(?:[^`]|``)*`"
_PIECE = re.compile(_QUOTED + rb"|--[^\n]*|;|.", re.DOTALL)
_STRING = re.compile(_QUOTED, re.DOTALL)
_ACCOUNT = re.compile(rb"\s*(" + _QUOTED + rb"|[A-Za-z0-9_]+)(?:@(" + _QUOTED + rb"))?", re.DOTALL)
_MAKES = re.compile(rb"CREATE (?:USER|ROLE) IF NOT EXISTS ")
_GIVES = re.compile(rb"GRANT |SET DEFAULT ROLE ")
_PLAIN = re.compile(rb"SET SESSION |FLUSH PRIVILEGES")
_WHOM = re.compile(rb" (?:TO|FOR) ")
_ERROR = re.compile(r"^ERROR .*$", re.MULTILINE)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)

Account = Tuple[bytes, bytes]


class Wish(NamedTuple):
    """A statement, and whose it is; None for one that is nobody's."""

    statement: bytes
    account: Optional[Account]
    makes: bool


def mysql_users(into: Dict[str, Any], secrets: Dict[str, Any], token: str) -> Loader:
    """The access row alone."""
    return _Users(into, secrets)


class _Users(Loader):
    what = "the client"
    collects = True

    def __init__(self, into: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        super().__init__()
        self.census: Kept = Kept(_TRAILER)
        self._server = Server(into, secrets)
        self._made: List[Wish] = []

    def carry_out(self) -> None:
        """First all missing accounts, or none of them; then their rights, each for itself."""
        found = list(wishes(self.census.content))
        there = self._accounts()
        asked = {wish.account for wish in found if wish.makes}
        kept = sorted(account for account in asked if account in there and account is not None)
        plain = [wish.statement for wish in found if wish.account is None]
        self._made = [wish for wish in found if wish.makes and wish.account not in there]
        rights = [wish.statement for wish in found if wish.account in asked - there and not wish.makes]
        self.notes += ["the account {} was there and stays as it is".format(_shown(one)) for one in kept[:_NOTES]]
        self._server.ask(_text([*plain, *[wish.statement for wish in self._made]]))
        self._give([*plain, *rights])

    def _give(self, statements: List[bytes]) -> None:
        """A right on a table that is not there (its database was not loaded) is told and keeps no other back."""
        with streams.Said() as said:
            child = self._server.client(said.descriptor, "--force")
            answer_of(child, wire.raw(_text(statements)), _SECONDS)
            words = said.text()
        refused = _ERROR.findall(words)
        if child.returncode != 0 and not refused:
            raise Failed(words or "the client ended with {}".format(child.returncode))
        self.notes += ["a right was not given: {}".format(line) for line in refused[:_NOTES]]

    def finish(self) -> Dict[str, Any]:
        there = self._accounts()
        lost = [wish.account for wish in self._made if wish.account not in there]
        if lost:
            raise Failed("the account {} is not there after it was made".format(_shown(lost[0])))
        return {"users": len(self._made), "bytes": self.census.bytes}

    def undo(self) -> Optional[str]:
        """Accounts cannot be made in a transaction: those of this load are taken away one by one."""
        left = []
        for wish in self._made:
            drop = _MAKES.sub(
                lambda match: match.group().replace(b"CREATE", b"DROP").replace(b"NOT ", b""), wish.statement
            )
            whole = _ACCOUNT.match(drop, drop.index(b"EXISTS ") + 7)
            assert whole is not None
            try:
                self._server.ask(_text([drop[: whole.end()] + b";"]))
            except Failed as failure:
                left.append(str(failure))
        self.untouched = not left
        return "accounts that were made could not be removed: {}".format("; ".join(left)) if left else None

    def _accounts(self) -> Set[Optional[Account]]:
        rows = self._server.ask("SELECT HEX(user), HEX(host) FROM mysql.user;").split("\n")
        pairs = [line.split("\t") for line in rows if line]
        return {(bytes.fromhex(user), bytes.fromhex(host)) for user, host in pairs}


def wishes(content: bytes) -> Iterator[Wish]:
    """What the dump asks for, statement by statement. Raises Failed for what is not about accounts."""
    for statement in _statements(content):
        makes = _MAKES.match(statement)
        if makes:
            yield Wish(statement, _account(statement, makes.end()), True)
        elif _GIVES.match(statement):
            # The same length, so that places are those of the statement; names may hold any word.
            plain = _STRING.sub(lambda match: b"x" * len(match.group()), statement)
            whom = list(_WHOM.finditer(plain))
            if not whom:
                raise Failed("a right that is nobody's: {}".format(wire.shown(statement[:60])))
            yield Wish(statement, _account(statement, whom[-1].end()), False)
        elif _PLAIN.match(statement):
            yield Wish(statement, None, False)
        else:
            raise Failed("a statement that is not about accounts: {}".format(wire.shown(statement[:60])))


def _statements(content: bytes) -> Iterator[bytes]:
    now: List[bytes] = []
    for match in _PIECE.finditer(content):
        piece = match.group()
        if piece.startswith(b"--") and not b"".join(now).strip():
            continue
        now.append(piece)
        if piece == b";":
            yield b"".join(now).strip()
            now = []


def _account(statement: bytes, start: int) -> Account:
    match = _ACCOUNT.match(statement, start)
    if match is None:
        raise Failed("an account that is told in a way that is not known: {}".format(wire.shown(statement[:60])))
    return _plain(match.group(1)), _plain(match.group(2) or b"")


def _plain(quoted: bytes) -> bytes:
    mark = quoted[:1]
    if mark == b"`":
        return quoted[1:-1].replace(b"``", b"`")
    if mark in (b"'", b'"') and mark:
        return _ESCAPED.sub(rb"\1", quoted[1:-1].replace(mark * 2, mark))
    return quoted


def _text(statements: List[bytes]) -> str:
    return b"\n".join([*statements, b""]).decode("utf-8", "surrogateescape")


def _shown(account: Optional[Account]) -> str:
    user, host = account or (b"", b"")
    return "“{}”".format(wire.shown(user + b"@" + host if host else user))
