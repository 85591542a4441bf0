"""A person's queries as text and back.

    @ shop
    SELECT count(*) FROM kettle
    = 200000

`@` names the database and begins a query; each line that begins with `=` is a row of the answer that must come, its
columns apart by “ | ”. A query without such a line only has to be answered. One for MongoDB is a command that reads, as
JSON, and so is each row. One for Elasticsearch and OpenSearch is the body of a search in the index that `@` names, or
`GET /PATH`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _

from phpborg.errors import InvalidInput
from recovery.checks import mongodb, search
from recovery.checks.base import Query

MOST, MOST_BYTES = 50, 20_000


def parse(text: str) -> tuple[Query, ...]:
    """Raises InvalidInput with the number of the line."""
    found: list[Query] = []
    sql: list[str] = []
    rows: list[str] = []
    name, begun = "", 0
    for number, line in enumerate([*text.splitlines(), "@"], 1):
        if line.startswith("@"):
            if begun:
                found.append(_query(name, sql, rows, begun))
            name, sql, rows, begun = line[1:].strip(), [], [], number
        elif line.startswith("=") and begun:
            rows.append(line[1:].strip())
        elif line.strip():
            if not begun:
                raise _wrong(number, _("a query begins with a line “@ DATABASE”"))
            if rows:
                raise _wrong(number, _("after the expected rows the next query begins with “@ DATABASE”"))
            sql.append(line.rstrip())
    if len(found) > MOST:
        raise _wrong(1, _("there are too many queries"))
    return tuple(found)


def _query(name: str, sql: list[str], rows: list[str], line: int) -> Query:
    if not name or name.startswith("-") or "\0" in name or len(name) > 200:
        raise _wrong(line, _("the name of a database is missing or cannot be used"))
    body = "\n".join(sql)
    if not body.strip():
        raise _wrong(line, _("the query is empty"))
    if "\0" in body or len(body.encode("utf-8", "replace")) > MOST_BYTES:
        raise _wrong(line, _("the query is too long"))
    if search.is_query(body):
        if problem := search.problem_of(body, name):
            raise _wrong(line, problem)
        rows = [search.row_of(row) for row in rows]
    elif mongodb.is_command(body):
        rows = _mongodb(body, rows, line)
    return Query(name, body, tuple(rows) if rows else None)


def _mongodb(body: str, rows: list[str], line: int) -> list[str]:
    """The rows in the form in which the answer comes."""
    if problem := mongodb.problem_of(body):
        raise _wrong(line, problem)
    try:
        return [mongodb.row_of(row) for row in rows]
    except ValueError:
        raise _wrong(line, _("the rows that must come are documents of JSON")) from None


def _wrong(line: int, problem: str) -> InvalidInput:
    return InvalidInput(field=_("Queries"), problem=_("line {line}: {problem}").format(line=line, problem=problem))


def text_of(queries: Iterable[Query]) -> str:
    """What `parse` reads as these queries."""
    blocks = []
    for query in queries:
        lines = [f"@ {query.database}", query.sql, *(f"= {row}" for row in query.expected or ())]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def from_json(rows: Iterable[dict[str, Any]]) -> tuple[Query, ...]:
    """Of a row of the database."""
    return tuple(
        Query(
            str(row.get("database", "")),
            str(row.get("sql", "")),
            None if row.get("expected") is None else tuple(map(str, row["expected"])),
        )
        for row in rows
    )
