"""PostgreSQL: every table of every database is read whole, and once more in the order of an index.

A table whose file was cut off has fewer pages and reads without a word. What gives it away: an index that points
behind its end, fewer rows than the index has, or fewer pages than the server had noted. Nothing of it writes:
it also works on a standby, where extensions (amcheck) cannot be installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from recovery.checks import base
from recovery.checks.base import Check, Client, Problem, Query, Verdict
from recovery.engines.base import Found

# `\gexec` carries out each cell of the answer as a statement, and goes on after an error.
_TABLES = """\
SELECT format('SELECT ''begin'', %L, %L', current_database(), c.oid::regclass),
       format('SELECT ''pages'', %L, %L, pg_catalog.pg_relation_size(%s::oid::regclass)'
              ' / pg_catalog.current_setting(''block_size'')::bigint, %s',
              current_database(), c.oid::regclass, c.oid, greatest(c.relpages, 0)),
       format('SELECT ''read'', %L, %L, pg_catalog.count(*), '
              'coalesce(pg_catalog.sum(pg_catalog.octet_length(phpborg_whole_row::text)), 0)'
              ' FROM ONLY %s AS phpborg_whole_row',
              current_database(), c.oid::regclass, c.oid::regclass)
FROM pg_catalog.pg_class c
WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p' AND c.relispopulated
ORDER BY c.oid
\\gexec
"""
_INDEXES = """\
SELECT one.begin, one.read FROM (
  SELECT DISTINCT ON (i.indrelid) i.indrelid,
         format('SELECT ''begin'', %L, %L', current_database(), i.indexrelid::regclass) AS begin,
         format('SELECT ''index'', %L, %L, pg_catalog.count(*), %L'
                ' FROM (SELECT 1 FROM ONLY %s ORDER BY %I %s %s) AS one',
                current_database(), i.indexrelid::regclass, i.indrelid::regclass, i.indrelid::regclass, a.attname,
                CASE WHEN i.indoption[0] & 1 = 1 THEN 'DESC' ELSE 'ASC' END,
                CASE WHEN i.indoption[0] & 2 = 2 THEN 'NULLS FIRST' ELSE 'NULLS LAST' END) AS read
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
  JOIN pg_catalog.pg_am m ON m.oid = x.relam AND m.amname = 'btree'
  JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
  JOIN pg_catalog.pg_opclass o ON o.oid = i.indclass[0] AND o.opcdefault
  WHERE c.relkind IN ('r', 'm') AND c.relpersistence = 'p' AND c.relispopulated
    AND i.indisvalid AND i.indisready AND i.indpred IS NULL AND i.indcollation[0] = a.attcollation
  ORDER BY i.indrelid, i.indisprimary DESC, i.indisunique DESC, i.indexrelid
) AS one ORDER BY one.indrelid
\\gexec
"""
_BODY = f"""\
SET search_path = pg_catalog;
SET statement_timeout = 0;
SET max_parallel_workers_per_gather = 0;
SET enable_bitmapscan = off;
SET enable_indexonlyscan = off;
SET enable_indexscan = off;
SELECT 'database', current_database();
{_TABLES}SET enable_indexscan = on;
SET enable_seqscan = off;
SET enable_sort = off;
{_INDEXES}"""
_LIBRARY = re.compile(r"could not (?:access file|load library)")
# A name with the end of a line has no place in a script.
_SCRIPT = """\
SELECT CASE WHEN datname ~ '[\\r\\n]' THEN '\\echo unnamed' ELSE
  '\\connect -reuse-previous=on "dbname='''
  || replace(replace(replace(datname, '\\', '\\\\'), '''', '\\'''), '"', '""') || '''"'
  || E'\\n' || $phpborg${body}$phpborg$ END
FROM pg_catalog.pg_database WHERE datallowconn ORDER BY datname"""


class PostgresqlChecks:
    """See the module."""

    def client(self, programs: tuple[str, ...], words: tuple[str, ...]) -> Client:
        return Client(programs, (*words[: words.index("-d")], "-F", "\t"))

    def sentence(self) -> str:
        return _("Read every table of every database whole, and once more by an index.")

    def read(self, found: Found, client: Client) -> Check:
        script = _SCRIPT.replace("{body}", _BODY)
        database = ("-d", "postgres")
        return Check(base.READ, (*client.words, *database, "-f", "-"), script=(*client.words, *database, "-c", script))

    def judge(self, lines: Sequence[str], code: int | None, detail: str) -> Verdict:
        """Statements that were begun and not answered have failed, in the order of the errors."""
        told = _Told(lines, has_end=code is not None)
        words = iter(_errors(detail))
        failed = [Problem(where, next(words, detail)) for where in told.unanswered]
        # What only an extension can read needs its library, which the image may not have.
        unread = [*told.unread, *(one for one in failed if _LIBRARY.search(one.words))]
        problems = [*(one for one in failed if not _LIBRARY.search(one.words)), *told.shorter]
        if code:
            problems.append(Problem(told.database or "postgresql", base.ended(code, detail)))
        if code is not None and not told.databases:
            problems.append(Problem("postgresql", base.ended(code, detail or "no database was read")))
        return base.verdict(tables=len(told.rows), rows=sum(told.rows.values()), problems=problems, unread=unread)

    def query(self, number: int, query: Query, client: Client) -> Check:
        words = (*client.words, "-d", query.database, "-v", "ON_ERROR_STOP=1", "-f", "-")
        return Check(f"query-{number}", words, stdin=query.sql + "\n", seconds=base.QUERY_SECONDS)


class _Told:
    """The answer, row by row."""

    def __init__(self, lines: Sequence[str], *, has_end: bool) -> None:
        self.databases = 0
        self.database = ""
        self.rows: dict[tuple[str, str], int] = {}
        self.unanswered: list[str] = []
        self.shorter: list[Problem] = []
        self.unread: list[Problem] = []
        self._begun: str | None = None
        for line in lines:
            self._take(line.split("\t"))
        if has_end:
            self._close()

    def _take(self, row: list[str]) -> None:
        if row[0] == "database" and len(row) == 2:
            self._close()
            self.databases, self.database = self.databases + 1, row[1]
        elif row[0] == "begin" and len(row) == 3:
            self._close()
            self._begun = f"{row[1]}: {row[2]}"
        elif row[0] == "pages" and len(row) == 5:
            self._pages(f"{row[1]}: {row[2]}", int(row[3]), int(row[4]))
        elif row[0] == "read" and len(row) == 5:
            self.rows[row[1], row[2]] = int(row[3])
            self._begun = None
        elif row[0] == "index" and len(row) == 5:
            self._index(row[1], row[2], int(row[3]), row[4])
            self._begun = None
        elif row == ["unnamed"]:
            self.unread.append(Problem("postgresql", gettext_noop("A database whose name holds the end of a line.")))

    def _pages(self, where: str, there: int, noted: int) -> None:
        if there < noted:
            words = gettext_noop("The file has {there} pages, and the server had noted {noted}: its end is missing.")
            self.shorter.append(Problem(where, words, {"there": there, "noted": noted}))

    def _index(self, database: str, index: str, seen: int, table: str) -> None:
        rows = self.rows.get((database, table))
        if rows is not None and rows != seen:
            words = gettext_noop("{rows} rows are in the table, and {seen} by the index {index}.")
            self.shorter.append(Problem(f"{database}: {table}", words, {"rows": rows, "seen": seen, "index": index}))

    def _close(self) -> None:
        if self._begun is not None:
            self.unanswered.append(self._begun)
        self._begun = None


def _errors(detail: str) -> Iterator[str]:
    """Its errors, one each: what follows one (a hint, a context) belongs to it."""
    words: list[str] = []
    for line in detail.splitlines():
        if ("ERROR:" in line or "FATAL:" in line) and words:
            yield "\n".join(words)
            words = []
        if words or "ERROR:" in line or "FATAL:" in line:
            words.append(line)
    if words:
        yield "\n".join(words)
