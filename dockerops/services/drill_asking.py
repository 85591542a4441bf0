"""What is asked of a drill that is up: its databases are read whole, and a person's questions are answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dockerops import drill_checks as checks
from dockerops.drill_errors import DatabaseUnreadable, NothingAnswers, NotJudged
from dockerops.drill_judging import reading_disproves
from dockerops.drill_plan import service_of
from dockerops.manifest import Contents
from dockerops.services.engine_at import DO_SECONDS, EngineAt, Said
from phpborg.errors import PhpBorgError
from phpborg.tasks.context import TaskContext
from recovery.checks.base import Checker, Client, Query, answer_of
from recovery.checks.mysql import MysqlChecks
from recovery.checks.postgresql import PostgresqlChecks
from recovery.proof_errors import AnsweredOtherwise, QueryFailed

_ROWS, _LETTERS = 20, 500


class Asking:
    """`names`: containers of the archive → in the drill; `at`: when the archive was made."""

    def __init__(
        self, context: TaskContext, engine: EngineAt, contents: Contents, names: dict[str, str], at: datetime
    ) -> None:
        self._stop = context.stop
        self._engine, self._contents, self._names, self._at = engine, contents, names, at

    def examine(self) -> list[Said]:
        """Every container that the drill has made, as it is now."""
        rows = self._engine.drill("examine", self._stop).get("containers") or []
        return [row for row in rows if isinstance(row, dict)]

    def databases(self, rows: list[Said]) -> tuple[list[Said], PhpBorgError | None]:
        """(evidence, the first that is unreadable, else the first that could not be judged)."""
        told: list[Said] = []
        first: PhpBorgError | None = None
        for row in rows:
            if not row.get("engine") or row.get("state") != "running":
                continue
            name, new = self._old(str(row["name"])), str(row["name"])
            said = self._engine.drill("database", self._stop, container=new, seconds=DO_SECONDS)
            problems = [str(said["problem"])] if said.get("problem") else []
            seen, more = self._own_checks(str(row["engine"]), new)
            problems += more
            told.append({"container": name, **{key: said.get(key) for key in _KEYS}, **seen, "problems": problems})
            bad = any(reading_disproves(problem) for problem in problems)
            # What disproves the archive is told before what does not.
            if problems and (first is None or (bad and isinstance(first, NotJudged))):
                kind = DatabaseUnreadable if bad else NotJudged
                first = kind("\n".join(problems)[:8000], container=checks.plain(name))
        return told, first

    def _own_checks(self, kind: str, new: str) -> tuple[Said, list[str]]:
        """The same that a proof of a data directory asks (recovery/checks): a file that was cut off reads well."""
        checker = _CHECKERS.get(kind)
        if checker is None:
            return {}, []
        script = getattr(checker.read(_NO_FILES, Client((), _WORDS)), "script", None)
        assert script is not None
        asked = {"script": str(script[-1])}
        said = self._engine.drill("check", self._stop, secret=asked, container=new, seconds=DO_SECONDS)
        code, lines = said.get("code"), [str(line) for line in said.get("lines") or []]
        verdict = checker.judge(lines, code if isinstance(code, int) else None, str(said.get("detail") or ""))
        seen = {"tables": verdict.tables, "rows": verdict.rows, "unread": [one.as_json() for one in verdict.unread]}
        return seen, [f"{one.where}: {one.sentence}" for one in verdict.problems[:_ROWS]]

    def _old(self, new: str) -> str:
        return next((old for old, name in self._names.items() if name == new), new)

    def questions(self, asked: tuple[Query, ...]) -> tuple[list[Said], PhpBorgError | None]:
        """(evidence, the first that was answered otherwise or not at all)."""
        told, first = [], None
        for number, query in enumerate(asked, 1):
            row, error = self._question(number, query)
            told.append({**query.as_json(), **row, "is_good": error is None})
            first = first or error
        return told, first

    def _question(self, number: int, query: Query) -> tuple[Said, PhpBorgError | None]:
        target = checks.target_of(query.database)
        one = service_of(self._contents, target.service)
        if one is None:
            error = NothingAnswers(service=target.service, number=number)
            return {"answer": [], "detail": str(error)}, error
        name = self._names.get(one.name, one.name)
        if target.port:
            return self._http(number, query, target, name)
        try:
            said = self._engine.drill(
                "query",
                self._stop,
                secret={"sql": query.sql},
                container=name,
                database=target.database,
                seconds=DO_SECONDS,
            )
        except PhpBorgError as problem:
            self._stop.check()
            failed = QueryFailed(str(problem.detail), database=query.database, number=number)
            return {"answer": [], "detail": str(problem.detail)[:_LETTERS]}, failed
        rows = answer_of([str(row) for row in said.get("rows") or []])
        words = str(said.get("words") or "")[:_LETTERS]
        shown = {"answer": [row[:_LETTERS] for row in rows[:_ROWS]], "detail": words}
        if said.get("code"):
            return shown, QueryFailed(words, database=query.database, number=number)
        if checks.answer_is(query.expected, rows, self._at):
            return shown, None
        return shown, AnsweredOtherwise(query.sql[:1000], database=query.database, number=number)

    def _http(self, number: int, query: Query, target: checks.Target, name: str) -> tuple[Said, PhpBorgError | None]:
        said = self._engine.drill(
            "http", self._stop, container=name, port=target.port, path=target.path, host=target.service
        )
        status, text = said.get("status"), str(said.get("text") or "")
        words = str(said.get("problem") or "")[:_LETTERS]
        shown = {"answer": [str(status or "–"), text[:_LETTERS]], "detail": words}
        if status is None:
            return shown, QueryFailed(words, database=query.database, number=number)
        if checks.http_is(query.expected, int(status), text):
            return shown, None
        return shown, AnsweredOtherwise(f"{status}", database=query.database, number=number)


_CHECKERS: dict[str, Checker] = {"postgresql": PostgresqlChecks(), "mysql": MysqlChecks()}
# The checks of these say what to ask; how one gets in is known where the container is.
_WORDS = ("client", "-d", "postgres")
_NO_FILES: Any = None
_KEYS = ("engine", "known", "version", "tables", "bytes", "checksums", "indexes", "problem")
