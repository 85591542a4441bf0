"""MySQL and MariaDB: `CHECK TABLE … EXTENDED` of every table, and `CHECKSUM TABLE`, which reads every row whole."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from recovery.checks import base
from recovery.checks.base import Check, Client, Problem, Query, Verdict
from recovery.engines.base import Found

# MySQL ends itself at some damage, and its client may say nothing of that: what was asked last must be answered.
_END = "phpborg: all tables"
# The type alone is asked for: the rest of the row would open each table before its turn.
_SCRIPT = f"""\
SELECT CONCAT('CHECK TABLE ', name, ' EXTENDED; CHECKSUM TABLE ', name, ' EXTENDED;') FROM (
  SELECT CONCAT('`', REPLACE(TABLE_SCHEMA, '`', '``'), '`.`', REPLACE(TABLE_NAME, '`', '``'), '`') AS name
  FROM information_schema.TABLES
  WHERE COALESCE(TABLE_TYPE, '') NOT IN ('VIEW', 'SYSTEM VIEW', 'SEQUENCE')
    AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'sys')
) AS tables_of_all;
SELECT 'SELECT ''{_END}'';'"""  # noqa: S608 -- constant
_GOOD = ("OK", "Table is already up to date")
_NO_CHECK = "The storage engine for the table doesn't support check"
# Raw: a name with a backslash stays as it is.
_SHAPE = ("--batch", "--raw", "--skip-column-names")


class MysqlChecks:
    """See the module."""

    def client(self, programs: tuple[str, ...], words: tuple[str, ...]) -> Client:
        return Client(programs, (words[0], *_SHAPE))

    def sentence(self) -> str:
        return _("Let the server check every table (CHECK TABLE), and read every row (CHECKSUM TABLE).")

    def read(self, found: Found, client: Client) -> Check:
        return Check(base.READ, (*client.words, "--force"), script=(*client.words, "--execute", _SCRIPT))

    def judge(self, lines: Sequence[str], code: int | None, detail: str) -> Verdict:
        told = _Told(lines, has_end=code is not None)
        problems, unread = [], []
        for table, rows in told.checked.items():
            state, words = rows[-1]
            if any(kind == "error" for kind, _text in rows) or state not in ("status", "note"):
                problems.append(Problem(table, "\n".join(f"{kind}: {text}" for kind, text in rows)))
            elif words == _NO_CHECK:
                unread.append(Problem(table, words))
            elif words not in _GOOD:
                problems.append(Problem(table, words))
        problems += [Problem(table, gettext_noop("Its rows could not all be read.")) for table in told.unread]
        if code is not None and (code or not told.checked or _END not in lines):
            unsaid = "no table was checked" if not told.checked else "not every table was checked"
            problems.append(Problem("mysql", base.ended(code, detail or unsaid)))
        return base.verdict(tables=len(told.checked), rows=None, problems=problems, unread=unread)

    def query(self, number: int, query: Query, client: Client) -> Check:
        name = () if not query.database else (f"--database={query.database}",)
        words = (*client.words, *name)
        return Check(f"query-{number}", words, stdin=query.sql + "\n", seconds=base.QUERY_SECONDS)


class _Told:
    """The answer, table by table: rows of CHECK TABLE have four columns, those of CHECKSUM TABLE two."""

    def __init__(self, lines: Sequence[str], *, has_end: bool) -> None:
        self.checked: dict[str, list[tuple[str, str]]] = {}
        summed: dict[str, str] = {}
        for line in lines:
            row = line.split("\t")
            if len(row) >= 4 and row[1] == "check":
                self.checked.setdefault(row[0], []).append((row[2].lower(), "\t".join(row[3:])))
            elif len(row) == 2:
                summed[row[0]] = row[1]
        if self.checked and not has_end:
            self.checked.popitem()  # it was at this one
        self.unread = [table for table in self.checked if summed.get(table, "NULL") == "NULL"]
