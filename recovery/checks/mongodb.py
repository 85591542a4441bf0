"""MongoDB: `validate` with `full` of every collection, which reads every document and every key of every index.

(https://www.mongodb.com/docs/manual/reference/command/validate/) The helper asks it collection by collection, in
MongoDB's own protocol. The session's account may not do that, since it may only read: a proof's may, on all that is
there (`anyResource`), and nothing that writes.

A person's query is a command as Extended JSON; its answer is one line for each document, in one form of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from recovery.checks import base
from recovery.checks.base import Asked, Client, Problem, Query, Verdict
from recovery.engines.base import USER, Found
from servers.remote.instant import extended

COMMANDS = ("find", "aggregate", "count", "distinct", "listCollections", "listIndexes", "dbStats", "collStats")
_WRITING_STAGES = ("$out", "$merge")
_ROLE = "phpborgProof"
_ACTIONS = ("listDatabases", "listCollections", "listIndexes", "find", "dbStats", "collStats", "validate")


@dataclass(frozen=True)
class MongoCheck:
    """One question; without a command every collection is checked."""

    name: str
    database: str = ""
    command: str | None = None
    seconds: int = base.SECONDS

    def as_asked(self, programs: tuple[str, ...]) -> dict[str, Any]:
        """As the helper's verb `instant` reads it; no program is needed."""
        what = {} if self.command is None else {"database": self.database, "command": self.command}
        login = {"name": USER, "password": "password"}
        return {"name": self.name, "seconds": self.seconds, "mongo": {**what, "login": login}}


class MongodbChecks:
    """See the module."""

    def client(self, programs: tuple[str, ...], words: tuple[str, ...]) -> Client:
        return Client(programs, words)

    def sentence(self) -> str:
        return _("Let the server check every collection with every index of it (validate, full).")

    def read(self, found: Found, client: Client) -> Asked:
        return MongoCheck(base.READ)

    def judge(self, lines: Sequence[str], code: int | None, detail: str) -> Verdict:
        problems: list[Problem] = []
        unread: list[Problem] = []
        databases, rows, read = 0, 0, 0
        for told in map(_told, lines):
            where = str(told.get("collection", ""))
            if not where:
                databases += "database" in told
            elif told.get("refused"):
                problems.append(Problem(where, str(told["refused"])))
            else:
                read, rows = read + 1, rows + int(told.get("rows") or 0)
                warnings = [str(one) for one in told.get("warnings", [])]
                if told.get("valid") is not True:
                    said = [*map(str, told.get("errors", [])), *warnings]
                    problems.append(Problem(where, "\n".join(said) or gettext_noop("The server says: not valid.")))
                elif warnings:
                    unread.append(Problem(where, "\n".join(warnings)))
        if code is not None and (code or not databases):
            problems.append(Problem("mongodb", base.ended(code, detail or "no database was read")))
        return base.verdict(tables=read, rows=rows, problems=problems, unread=unread)

    def query(self, number: int, query: Query, client: Client) -> Asked:
        return MongoCheck(f"query-{number}", query.database, query.sql, base.QUERY_SECONDS)


def statements() -> bytes:
    """What lets the account of a proof check: after the login's own, one command a line."""
    privilege = {"resource": {"anyResource": True}, "actions": list(_ACTIONS)}
    commands = (
        # It may lie in the archive, and may have been made before, when the first answer did not come.
        {"delete": "system.roles", "deletes": [{"q": {"_id": f"admin.{_ROLE}"}, "limit": 0}]},
        {"createRole": _ROLE, "privileges": [privilege], "roles": []},
        {"grantRolesToUser": USER, "roles": [{"role": _ROLE, "db": "admin"}]},
    )
    return "".join(json.dumps(command) + "\n" for command in commands).encode()


def is_command(text: str) -> bool:
    """Is a query of a person one for MongoDB?"""
    return text.lstrip().startswith("{")


def problem_of(text: str) -> str:
    """Why this command is not asked; empty when it is. The account could not carry out more either."""
    try:
        command = extended.command(text)
    except ValueError as error:
        return _("the command is no JSON that can be used: {problem}").format(problem=error)
    if next(iter(command)) not in COMMANDS:
        return _("the command begins with one of {names}").format(names=", ".join(COMMANDS))
    stages = command.get("pipeline", [])
    if any(isinstance(stage, dict) and set(stage) & set(_WRITING_STAGES) for stage in _list(stages)):
        return _("the command writes")
    return ""


def row_of(text: str) -> str:
    """A row of an expected answer, in the form in which the answers come. Raises ValueError."""
    return extended.canonical(text)


def _told(line: str) -> dict[str, Any]:
    """A line that was cut off says nothing."""
    try:
        row = json.loads(line)
    except ValueError:
        return {"collection": line[:200], "refused": line[:500]}
    return row if isinstance(row, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
