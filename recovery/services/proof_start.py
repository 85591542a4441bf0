"""One database of an archive, started for a proof, asked, and taken away again, in the process of the proof.

It is an Instant Recovery session without a port: the same recipe, the same helper, the same clean-up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phpborg.errors import PhpBorgError
from phpborg.tasks.context import TaskContext
from recovery.checks import base, queries
from recovery.checks.base import Checker, Query, Verdict
from recovery.checks.known import CHECKERS, STATEMENTS
from recovery.engines import find, images
from recovery.engines.base import Found
from recovery.models import Proof
from recovery.proof_errors import (
    AnsweredOtherwise,
    DatabaseDamaged,
    NoPlaceToStart,
    NoServerStarts,
    NotAllRead,
    QueryFailed,
)
from recovery.services import looking, serving, session_carry, sessions
from recovery.services.session_run import PHASES
from servers.errors import ReadyTooLate, SessionFailed
from servers.models import Server

_MOST_TOLD = 20
_ROW_LETTERS = 500
# Of all answers of one database, in letters.
_MOST_LETTERS = 64 << 20
_UNTOLD = "not every question was answered"
_TOO_LONG = "the answer is longer than it may be"
_NO_PROGRAM = "the image has none of"


@dataclass
class Answers:
    """What the helper says of one start. A helper on another machine is a stranger: it is bounded here, too."""

    state: str = ""
    ready_seconds: float | None = None
    figures: dict[str, int | None] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    ends: dict[str, tuple[int | None, str]] = field(default_factory=dict)
    letters: int = 0

    def add(self, name: str, line: str) -> int:
        """Keep a line of an answer, while there is room; how many there are."""
        rows = self.lines.setdefault(name, [])
        self.letters += len(line) + 1
        if self.letters <= _MOST_LETTERS:
            rows.append(line)
        return len(rows)

    def end(self, name: str, code: int | None, detail: str, lines: int | None) -> None:
        """A check has ended. An answer of which lines are missing is none, as one that did not come in time."""
        if lines is not None and lines > len(self.lines.get(name, [])):
            code, detail = None, _TOO_LONG
        self.ends[name] = (code, detail)

    def end_of(self, name: str) -> tuple[int | None, str]:
        """How a check ended: exit status and words."""
        return self.ends.get(name, (None, ""))


def place_of(proof: Proof) -> Server:
    """Where databases are started. Raises NoPlaceToStart."""
    server = proof.server or Server.objects.filter(kind=Server.Kind.LOCAL).first()
    if server is None:
        raise NoPlaceToStart()
    return server


def engine_of(proof: Proof, server: Server) -> str:
    """The socket of the Docker engine there."""
    return proof.docker or sessions.docker_of(server)


class Start:
    """One database. `carry_out` answers its evidence; what is wrong is in `error`, so that the others follow."""

    def __init__(self, context: TaskContext, proof: Proof, found: Found, view: Path) -> None:
        self._context = context
        self._proof = proof
        self._found = found
        self._view = view
        self._checker: Checker = CHECKERS[found.product]
        self._queries = queries.from_json(proof.queries)
        self._answers = Answers()
        self.error: PhpBorgError | None = None
        self.answered: dict[int, PhpBorgError | None] = {}  # query → why it is not as it should be

    def carry_out(self) -> dict[str, Any]:
        """Start, ask, judge."""
        found, began = self._found, time.monotonic()
        row: dict[str, Any] = {
            "product": str(found.product),
            "version": found.version,
            "directory": looking.shown_path(found),
            "consistency": str(found.consistency),
        }
        try:
            row["image"] = self._ask()
        except SessionFailed as error:
            self.error = self._meaning(error)
        except PhpBorgError as error:
            self._context.stop.check()
            self.error = error
        row["seconds"] = round(time.monotonic() - began, 1)
        row["ready_seconds"] = self._answers.ready_seconds
        row.update(self._answers.figures)
        if base.READ in self._answers.ends:
            row.update(self._judged())
        if self.error is None and len(self._answers.ends) <= len(self._queries):
            self.error = NotAllRead(_UNTOLD, path=row["directory"])
        row["queries"] = self._compared()
        return row

    # --- asking --------------------------------------------------------------------------------------

    def _ask(self) -> str:
        server = place_of(self._proof)
        image = images.choose(find.engine_of(self._found), self._found, wanted=self._proof.image).name
        more = STATEMENTS.get(self._found.product, b"")
        asked, _login = serving.request(self._found, image, read_only=True, with_adminer=False, more=more)
        asking = serving.client(self._found) or serving.Client((), (), "")
        client = self._checker.client(asking.programs, asking.words)
        checks = [self._checker.read(self._found, client)]
        checks += [self._checker.query(number, query, client) for number, query in enumerate(self._queries)]
        assert self._proof.archive is not None
        session_carry.carry(
            self._context,
            archive=self._proof.archive,
            server=server,
            asked={
                **asked.args,
                "action": "check",
                "engine": engine_of(self._proof, server),
                "pull": True,
                "checks": [check.as_asked(asking.programs) for check in checks],
            },
            secrets=asked.secrets,
            hear=self._hear,
            view=self._view,
        )
        self._context.stop.check()
        return image

    def _hear(self, said: dict[str, Any]) -> None:
        state, name = str(said.get("state")), str(said.get("check"))
        if state == "checking":
            self._context.progress(items_done=self._answers.add(name, str(said.get("line"))))
            return
        if state == "checked":
            code, lines = said.get("code"), session_carry.number(said.get("lines"))
            detail = str(said.get("detail") or "")
            self._answers.end(name, code if isinstance(code, int) else None, detail, lines)
            return
        if state in PHASES:
            self._context.phase(PHASES[state])
        if state != "stopping":
            self._answers.state = state
        if state in ("answering", "answered"):
            self._context.phase("checking")
            named = ("upper_bytes", "read_bytes", *(["prepared"] if "prepared" in said else []))
            self._answers.figures = {key: session_carry.number(said.get(key)) for key in named}
        if state == "answering":
            self._answers.ready_seconds = said.get("seconds")

    def _meaning(self, error: SessionFailed) -> PhpBorgError:
        """The archive's fault only from where its files are in use: until then it is the place's."""
        path = looking.shown_path(self._found)
        if self._answers.state in ("answering", "answered"):
            return DatabaseDamaged(error.detail, path=path, count=1)
        if self._answers.state in ("preparing", "starting") and _NO_PROGRAM not in error.detail:
            return NoServerStarts(error.detail, path=path)
        return error

    # --- judging -------------------------------------------------------------------------------------

    def _judged(self) -> dict[str, Any]:
        code, detail = self._answers.end_of(base.READ)
        verdict = self._checker.judge(self._answers.lines.get(base.READ, []), code, detail)
        self.error = self._found_by(verdict, code, detail) or self.error
        return {
            "tables": verdict.tables,
            "rows": verdict.rows,
            "problems_count": verdict.problems_count,
            "problems": [one.as_json() for one in verdict.problems],
            "unread": [one.as_json() for one in verdict.unread],
        }

    def _found_by(self, verdict: Verdict, code: int | None, detail: str) -> PhpBorgError | None:
        """What the checks say. Nothing where a fault of the machine may have made them say it."""
        path = looking.shown_path(self._found)
        if self.error is not None and not isinstance(self.error, ReadyTooLate):
            return None
        if not verdict.is_good:
            words = [f"{problem.where}: {problem.sentence}" for problem in verdict.problems[:_MOST_TOLD]]
            return DatabaseDamaged("\n".join(words), path=path, count=verdict.problems_count)
        if code is None:
            return NotAllRead(base.ended(code, detail) if detail != _TOO_LONG else detail, path=path)
        if not verdict.tables and verdict.unread:
            words = [f"{one.where}: {one.sentence}" for one in verdict.unread[:_MOST_TOLD]]
            return NotAllRead("\n".join(words), path=path)
        return None

    def _compared(self) -> list[dict[str, Any]]:
        rows = []
        for number, query in enumerate(self._queries):
            name = f"query-{number}"
            if name not in self._answers.ends:
                continue
            code, detail = self._answers.end_of(name)
            answer = base.answer_of(self._answers.lines.get(name, []))
            self.answered[number] = _judge(number, query, answer, code, detail)
            rows.append(
                {
                    **query.as_json(),
                    "answer": [row[:_ROW_LETTERS] for row in answer[:_MOST_TOLD]],
                    "rows": len(answer),
                    "is_good": self.answered[number] is None,
                    "detail": detail[:_ROW_LETTERS],
                }
            )
        return rows


def _judge(number: int, query: Query, answer: tuple[str, ...], code: int | None, detail: str) -> PhpBorgError | None:
    if code != 0:
        detail = detail if detail == _TOO_LONG else base.ended(code, detail)
        return QueryFailed(detail, database=query.database, number=number + 1)
    if query.expected is None or base.answer_of(query.expected) == answer:
        return None
    return AnsweredOtherwise(query.sql[:1000], database=query.database, number=number + 1)
