"""Elasticsearch and OpenSearch: every index is opened anew with all its files read and compared with their checksums.

(https://www.elastic.co/guide/en/elasticsearch/reference/current/index-modules.html, `check_on_startup`) How the helper
asks is in servers/remote/instant/shards.py; here is what its answers mean.

A person's query is the body of a search in the index that `@` names, or `GET /PATH`. Of a search the answer is one row
for each document and one for each aggregation, after its name; of another answer in JSON it is one row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from recovery.checks import base
from recovery.checks.base import Asked, Client, Problem, Query, Verdict
from recovery.engines.base import Found
from servers.remote.instant import web

GET = "GET /"
# What the body of a search may begin with.
_BODY = frozenset(
    (
        *("query", "aggs", "aggregations", "size", "from", "sort", "_source", "fields", "docvalue_fields", "knn"),
        *("stored_fields", "track_total_hits", "collapse", "post_filter", "min_score", "runtime_mappings"),
        *("search_after", "timeout"),
    )
)


@dataclass(frozen=True)
class HttpCheck:
    """One request; without a path every shard is read."""

    name: str
    path: str = ""
    body: str = ""
    seconds: int = base.SECONDS

    def as_asked(self, programs: tuple[str, ...]) -> dict[str, Any]:
        """As the helper's verb `instant` reads it; no program is needed."""
        asked: dict[str, Any] = {"read": True}
        if self.path:
            asked = {"method": "POST" if self.body else "GET", "path": self.path, "body": self.body}
        return {"name": self.name, "seconds": self.seconds, "http": asked}


class SearchChecks:
    """See the module."""

    def client(self, programs: tuple[str, ...], words: tuple[str, ...]) -> Client:
        return Client(programs, words)

    def sentence(self) -> str:
        return _("Let the server open every index anew and compare all its files with their checksums.")

    def read(self, found: Found, client: Client) -> Asked:
        return HttpCheck(base.READ)

    def judge(self, lines: Sequence[str], code: int | None, detail: str) -> Verdict:
        problems: list[Problem] = []
        unread: list[Problem] = []
        lost: list[Problem] = []
        indices: int | None = None
        read, rows = 0, 0
        for told in map(_told, lines):
            where = _place(told)
            if "indices" in told:
                indices = int(told["indices"])
            elif "dangling" in told:
                lost.append(
                    Problem(str(told["dangling"]), gettext_noop("Its files are here, but its node does not know it."))
                )
            elif "docs" in told:
                read, rows = read + 1, rows + int(told["docs"] or 0)
            elif told.get("elsewhere"):
                words = gettext_noop("It is a mounted snapshot: its data is in a repository of snapshots, not here.")
                unread.append(Problem(where, words))
            elif "refused" in told:
                unread.append(Problem(where, str(told["refused"])))
            else:
                problems.append(Problem(where, str(told.get("problem") or told)))
        told_of = read + len({one.where.partition("[")[0] for one in (*problems, *unread)})
        if code is not None and (code or indices is None):
            problems.append(Problem("search", base.ended(code, detail or "no index was read")))
        elif code is not None and told_of != indices:
            problems.append(Problem("search", f"{told_of} of {indices} indices were read"))
        return base.verdict(tables=read, rows=rows, problems=problems, unread=[*lost, *unread])

    def query(self, number: int, query: Query, client: Client) -> Asked:
        if query.sql.startswith(GET):
            return HttpCheck(f"query-{number}", query.sql.removeprefix("GET ").strip(), "", base.QUERY_SECONDS)
        path = f"/{quote(query.database, safe=',*')}/_search" if _is_name(query.database) else "/_search"
        return HttpCheck(f"query-{number}", path, query.sql, base.QUERY_SECONDS)


def is_query(text: str) -> bool:
    """Is a query of a person one for these?"""
    if text.startswith(GET):
        return True
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and (not body or next(iter(body)) in _BODY)


def problem_of(text: str, index: str) -> str:
    """Why this one is not asked; empty when it is."""
    path = text.removeprefix("GET ").strip()
    if not text.startswith(GET):
        return "" if index == "_all" or _is_name(index) else _("this is not the name of an index")
    if not path.isascii() or not path.isprintable() or " " in path or path.startswith("//"):
        return _("the path after GET cannot be used")
    return "" if web.reads("GET", path) else _("the request does not only read")


def row_of(text: str) -> str:
    """A row of an expected answer in the form in which the answers come; what is no JSON stays as it is."""
    name, bar, rest = text.rpartition(base.SEPARATOR) if not text.startswith(("{", "[")) else ("", "", text)
    try:
        value = json.loads(rest)
    except (ValueError, RecursionError):
        return text
    if not isinstance(value, (dict, list)):
        return text
    return name + bar + json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _is_name(index: str) -> bool:
    """Of an index, or a pattern of names."""
    return not index.startswith("_") and "/" not in index and index not in (".", "..")


def _place(told: dict[str, Any]) -> str:
    index = str(told.get("index", "search"))
    return f"{index}[{told['shard']}]" if "shard" in told else index


def _told(line: str) -> dict[str, Any]:
    """A line that was cut off says nothing."""
    try:
        row = json.loads(line)
    except ValueError:
        return {"problem": line[:500]}
    return row if isinstance(row, dict) else {"problem": line[:500]}
