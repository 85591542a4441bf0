"""What a step changes in Compose files, as people read differences. Only what is replaced is shown, never its line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dockerops.plan import Step
from dockerops.sentences import shown


def difference(step: Step) -> str:
    """As a unified diff without context; empty for another kind of step."""
    rows = step.params.get("files") if step.op == "rewrite_files" else None
    return "\n".join(line for row in rows or () for line in _file(row))


def _file(row: dict[str, Any]) -> Iterator[str]:
    yield f"--- {shown(row['path']) if row['sha256'] else '/dev/null'}"
    yield f"+++ {shown(row['path'])}"
    for edit in row["edits"]:
        yield f"@@ {edit['line']} @@ {shown(edit['key'])}"
        for sign, text in (("-", edit["old"]), ("+", edit["new"])):
            yield from (f"{sign}{shown(line)}" for line in text.strip("\n").splitlines())
