"""A check of a started database: what is asked, and what was found. Plain and without secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from recovery.engines.base import Found

READ = "read"
SECONDS = 7 * 24 * 3600
QUERY_SECONDS = 24 * 3600
MOST_PROBLEMS = 200
SEPARATOR = " | "


@dataclass(frozen=True)
class Client:
    """The client in the container: candidates for the program, and the words that lead to the server."""

    programs: tuple[str, ...]
    words: tuple[str, ...]


class Asked(Protocol):
    """A question to the server, whatever it is asked in."""

    @property
    def name(self) -> str:
        """Its answer comes under it."""
        ...

    def as_asked(self, programs: tuple[str, ...]) -> dict[str, Any]:
        """As the helper's verb `instant` reads it."""
        ...


@dataclass(frozen=True)
class Check:
    """One command. With `script` (the client's words), what that prints is what the command reads."""

    name: str
    words: tuple[str, ...]
    stdin: str = ""
    script: tuple[str, ...] | None = None
    seconds: int = SECONDS

    def as_asked(self, programs: tuple[str, ...]) -> dict[str, Any]:
        """As the helper's verb `instant` reads it."""
        row: dict[str, Any] = {
            "name": self.name,
            "programs": list(programs),
            "argv": list(self.words),
            "stdin": self.stdin,
            "seconds": self.seconds,
        }
        if self.script is not None:
            row["script"] = {"programs": list(programs), "argv": list(self.script)}
        return row


@dataclass(frozen=True)
class Query:
    """What a person wants to have asked, and the rows that must come; None: it only has to be answered."""

    database: str
    sql: str
    expected: tuple[str, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """For rows and `--json`."""
        expected = None if self.expected is None else list(self.expected)
        return {"database": self.database, "sql": self.sql, "expected": expected}


@dataclass(frozen=True)
class Problem:
    """Damage: where, and the server's words; or ours, which `facts` fill and which are translated when shown."""

    where: str
    words: str
    facts: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """As it is stored and logged."""
        return self.words.format_map(self.facts) if self.facts else self.words

    def as_json(self) -> dict[str, Any]:
        """For the evidence."""
        return {"where": self.where, "words": self.words[:500], "facts": dict(self.facts)}


@dataclass(frozen=True)
class Verdict:
    """What the engine's own checks found. `tables` were read whole; `unread` could not be by these means, and why."""

    tables: int
    rows: int | None
    problems: tuple[Problem, ...] = ()
    problems_count: int = 0
    unread: tuple[Problem, ...] = field(default=())

    @property
    def is_good(self) -> bool:
        return self.problems_count == 0


class Checker(Protocol):
    """One file of this package each."""

    def client(self, programs: tuple[str, ...], words: tuple[str, ...]) -> Client:
        """How a check reaches the server, from how it is asked whether it is ready."""
        ...

    def sentence(self) -> str:
        """What `read` does, for a plan."""
        ...

    def read(self, found: Found, client: Client) -> Asked:
        """The engine's own checks over all that it holds."""
        ...

    def judge(self, lines: Sequence[str], code: int | None, detail: str) -> Verdict:
        """Of the answer to `read`. Without a code it has no end: what was said until then counts, and no more."""
        ...

    def query(self, number: int, query: Query, client: Client) -> Asked:
        """One query of a person."""
        ...


def verdict(*, tables: int, rows: int | None, problems: Iterable[Problem], unread: Iterable[Problem] = ()) -> Verdict:
    """Bounded: a database that is all damage fills no row."""
    found, left = list(problems), list(unread)
    return Verdict(tables, rows, tuple(found[:MOST_PROBLEMS]), len(found), tuple(left[:MOST_PROBLEMS]))


def ended(code: int | None, detail: str) -> str:
    """How a command ended, in words that stand beside an answer."""
    how = "not in time" if code is None else f"exit {code}"
    return f"{how}: {detail}" if detail else how


def answer_of(lines: Sequence[str]) -> tuple[str, ...]:
    """Rows as a person writes them: columns apart by “ | ”, no blanks at the end, no empty rows at the end."""
    rows = [SEPARATOR.join(line.rstrip("\r\n").split("\t")).rstrip() for line in lines]
    while rows and not rows[-1]:
        rows.pop()
    return tuple(rows)
