"""Users, roles and rights of MySQL or MariaDB: missing accounts are made, those that are there stay as they are.

Which accounts are ours is on this machine's disk before the first is made, so that they go after a kill too.
SHOW GRANTS may carry a password: statements about an account that is there are never carried out.
What MySQL takes away again in some databases (partial revokes) is taken away, or the account is not made.
"""

import json
import os
import re
from contextlib import suppress
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from .. import places, streams, wire
from .base import Failed, Kept, Loader, answer_of
from .mysql import Server, without_statements

_TRAILER = b"-- phpBorg: end of the users and their rights"
_NOTES = 100
_QUOTED = rb"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`(?:[^`]|``)*`"
# What else there is outside of quotes (comments, `#`, backslashes, commands of the client) no dump of accounts has.
_PIECE = re.compile(_QUOTED + rb"|--[^\n]*(?=\n|\Z)|[A-Za-z0-9_ \n\t\r.,@()*=%:-]|;", re.DOTALL)
_STRING = re.compile(_QUOTED, re.DOTALL)
_ACCOUNT = re.compile(rb"\s*(" + _QUOTED + rb"|[A-Za-z0-9_]+)(?:@(" + _QUOTED + rb"))?", re.DOTALL)
_MAKES = re.compile(rb"CREATE (?:USER|ROLE) IF NOT EXISTS ")
_GIVES = re.compile(rb"GRANT |REVOKE |SET DEFAULT ROLE ")
_PLAIN = re.compile(rb"SET SESSION sql_mode='';|SET SESSION print_identified_with_as_hex=(?:ON|1);|FLUSH PRIVILEGES;")
_WHOM = re.compile(rb" (?:TO|FOR|FROM) ")
_TAKES = b"REVOKE "
# In MySQL's CREATE USER, its texts and names crossed out.
_DEFAULT_ROLES = re.compile(rb" DEFAULT ROLE x+(?:@x+)?(?:, ?x+(?:@x+)?)*")
_ERROR = re.compile(r"^ERROR .*$", re.MULTILINE)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)

Account = Tuple[bytes, bytes]
# Everybody, in MariaDB since 10.11: no account that can be made, and listed only when it has been given something.
_PUBLIC: Account = (b"PUBLIC", b"")


class Wish(NamedTuple):
    """A statement, and whose it is; None for one that is nobody's."""

    statement: bytes
    account: Optional[Account]
    makes: bool


def mysql_users(into: Dict[str, Any], secrets: Dict[str, Any], token: str) -> Loader:
    """The access row alone."""
    return _Users(into, secrets, places.load_record(token))


class _Users(Loader):
    what = "the client"
    collects = True

    def __init__(self, into: Dict[str, Any], secrets: Dict[str, Any], record: str) -> None:
        super().__init__()
        self.census: Kept = Kept(_TRAILER)
        self._server = Server(into, secrets)
        self._record = record
        self._made: List[Wish] = []
        self._gave_public = False

    def carry_out(self) -> None:
        """First all missing accounts, or none of them; then their rights, each for itself."""
        found = list(wishes(self.census.content))
        there = self._accounts()
        asked = {wish.account for wish in found if wish.makes or wish.account == _PUBLIC}
        kept = sorted(account for account in asked if account in there and account is not None)
        plain = [wish.statement for wish in found if wish.account is None]
        missing = [wish for wish in found if wish.makes and wish.account not in there]
        rights = [wish for wish in found if wish.account in asked - there and not wish.makes]
        taken = [wish.statement for wish in rights if wish.statement.startswith(_TAKES)]
        self._check_takes(taken)
        self.notes += ["the account {} was there and stays as it is".format(_shown(one)) for one in kept[:_NOTES]]
        self._gave_public = _PUBLIC in asked - there
        _remember(self._record, missing, self._gave_public)
        self._make(plain, missing)
        self._give([*plain, *[wish.statement for wish in rights if not wish.statement.startswith(_TAKES)]])
        # Not one by one: an account that may do more than before must not stay.
        self._server.ask(_text([*plain, *taken]))

    def _make(self, plain: List[bytes], missing: List[Wish]) -> None:
        """Each is counted when it is made: one that somebody else makes in this moment is not ours to take away."""
        asked = list(plain)
        for wish in missing:
            asked += [wish.statement.replace(b" IF NOT EXISTS ", b" ", 1), b"SELECT 1;"]
        with streams.Said() as said:
            child = self._server.client(said.descriptor, "--skip-column-names")
            made = answer_of(child, wire.raw(_text(asked))).count(b"1\n")
            words = without_statements(said.text())
        self._made = missing[:made]
        if child.returncode != 0 or made != len(missing):
            raise Failed(words or "the client ended with {}".format(child.returncode))

    def _check_takes(self, taken: List[bytes]) -> None:
        """Raises Failed when this server does not keep that something given everywhere is taken away somewhere."""
        if not taken:
            return
        answer = self._server.ask("SHOW VARIABLES WHERE variable_name = 'partial_revokes';")
        if answer.split("\t")[-1] != "ON":
            text = (
                "accounts of this archive have rights everywhere except in some databases ({}), which this server "
                "does not keep: SET PERSIST partial_revokes = ON first"
            )
            raise Failed(text.format(wire.shown(taken[0][:200])))

    def _give(self, statements: List[bytes]) -> None:
        """A right on a table that is not there (its database was not loaded) is told and keeps no other back."""
        with streams.Said() as said:
            child = self._server.client(said.descriptor, "--force")
            answer_of(child, wire.raw(_text(statements)))
            words = without_statements(said.text())
        refused = _ERROR.findall(words)
        if child.returncode != 0 and not refused:
            raise Failed(words or "the client ended with {}".format(child.returncode))
        self.notes += ["a right was not given: {}".format(line) for line in refused[:_NOTES]]

    def finish(self) -> Dict[str, Any]:
        there = self._accounts()
        lost = [wish.account for wish in self._made if wish.account not in there]
        if lost:
            raise Failed("the account {} is not there after it was made".format(_shown(lost[0])))
        _forget(self._record)
        return {"users": len(self._made), "bytes": self.census.bytes}

    def undo(self) -> Optional[str]:
        """Accounts cannot be made in a transaction: those of this load are taken away one by one."""
        left = self._take_away([wish.statement for wish in self._made], self._gave_public)
        self.untouched = not left
        self.left = [_shown(wish.account) for wish in self._made] if left else []
        return "accounts that were made could not be removed: {}".format("; ".join(left)) if left else None

    def clean(self) -> List[str]:
        noted = _noted(self._record)
        if noted is None:
            return []
        statements = [bytes.fromhex(one) for one in noted["made"]]
        left = self._take_away(statements, noted["public"])
        if left:
            raise Failed("accounts that were made could not be removed: {}".format("; ".join(left)))
        return [wire.shown(_drop(one)) for one in statements]

    def _take_away(self, made: List[bytes], public: bool) -> List[str]:
        """What kept the server from it; nothing when all of them are gone, and then the record is too."""
        statements = [_drop(statement) for statement in made]
        if public:
            statements.append(b"REVOKE ALL PRIVILEGES, GRANT OPTION FROM PUBLIC;")
        left = []
        try:
            self._server.ask(_text(statements))
        except Failed:  # one by one: what can go goes
            for statement in statements:
                try:
                    self._server.ask(_text([statement]))
                except Failed as failure:
                    left.append(str(failure))
        if not left:
            _forget(self._record)
        return left

    def _accounts(self) -> Set[Optional[Account]]:
        rows = self._server.ask("SELECT HEX(user), HEX(host) FROM mysql.user;").split("\n")
        pairs = [line.split("\t") for line in rows if line]
        return {(bytes.fromhex(user), bytes.fromhex(host)) for user, host in pairs}


def _drop(made: bytes) -> bytes:
    """The statement that takes away what this one has made."""
    drop = _MAKES.sub(lambda match: match.group().replace(b"CREATE", b"DROP").replace(b"NOT ", b""), made)
    whole = _ACCOUNT.match(drop, drop.index(b"EXISTS ") + 7)
    assert whole is not None
    return drop[: whole.end()] + b";"


def _remember(path: str, missing: List[Wish], public: bool) -> None:
    """On the disk before anything is made. Only the beginnings: what follows an account's name may be its password."""
    made = [wish.statement[: _account(wish.statement, _end_of_makes(wish.statement))[1]].hex() for wish in missing]
    places.make_private(os.path.dirname(path))
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        json.dump({"made": made, "public": public}, file)
        file.flush()
        os.fsync(file.fileno())


def _end_of_makes(statement: bytes) -> int:
    match = _MAKES.match(statement)
    assert match is not None
    return match.end()


def _noted(path: str) -> Optional[Dict[str, Any]]:
    """None when nothing was about to be made, or all of it is gone."""
    try:
        with open(path) as file:
            found: Dict[str, Any] = json.load(file)
            return found
    except FileNotFoundError:
        return None
    except ValueError:
        return None  # it was killed while it wrote this: nothing was made


def _forget(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def wishes(content: bytes) -> Iterator[Wish]:
    """What the dump asks for, statement by statement. Raises Failed for what is not about accounts."""
    for statement in _statements(content):
        makes = _MAKES.match(statement)
        if makes:
            account, end = _account(statement, makes.end())
            _check_one(_STRING.sub(_crossed, statement), statement, end)
            yield Wish(statement, account, True)
        elif _GIVES.match(statement):
            # The same length, so that places are those of the statement; names may hold any word.
            plain = _STRING.sub(_crossed, statement)
            whom = list(_WHOM.finditer(plain))
            if not whom:
                raise Failed("a right that is nobody's: {}".format(wire.shown(statement[:60])))
            account, end = _account(statement, whom[-1].end())
            _check_one(plain, statement, end)
            yield Wish(statement, account, False)
        elif _PLAIN.fullmatch(statement):
            yield Wish(statement, None, False)
        else:
            raise Failed("a statement that is not about accounts: {}".format(wire.shown(statement[:60])))


def _statements(content: bytes) -> Iterator[bytes]:
    """Raises Failed where the server or its client might see another end of a statement than we do."""
    now: List[bytes] = []
    at = 0
    while at < len(content):
        match = _PIECE.match(content, at)
        begun = bool(b"".join(now).strip())
        if match is None or (begun and match.group().startswith((b"--", b"\n", b"\t", b"\r"))):
            raise Failed("a statement that is not about accounts: it holds what no dump of accounts does")
        at = match.end()
        piece = match.group()
        if piece.startswith(b"--"):
            continue
        now.append(piece)
        if piece == b";":
            yield b"".join(now).strip()
            now = []


def _check_one(plain: bytes, statement: bytes, end: int) -> None:
    """After its account a statement names no other one. Raises Failed."""
    rest = _DEFAULT_ROLES.sub(b"", plain[end:])
    if b"," in rest or b"@" in rest or b" TO " in rest:
        raise Failed("a statement about several accounts: {}".format(wire.shown(statement[:60])))


def _account(statement: bytes, start: int) -> Tuple[Account, int]:
    """(the account, where its name ends)."""
    match = _ACCOUNT.match(statement, start)
    if match is None:
        raise Failed("an account that is told in a way that is not known: {}".format(wire.shown(statement[:60])))
    return (_plain(match.group(1)), _plain(match.group(2) or b"")), match.end()


def _crossed(match: "re.Match[bytes]") -> bytes:
    return b"x" * len(match.group())


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
