"""The step that makes extracted Compose files fit the names, ports and paths that everything else will get."""

import os
import re
from typing import Any, Callable

from .. import policy, staging, tree, validate, wire
from . import edits
from .steps import Context, Kind, Note, Table

_SUM = re.compile(r"(?:[0-9a-f]{64})?")
_MOST_FILES, _MOST_EDITS, _MOST_TEXT = 1000, 10000, 1 << 16


class RewriteFiles(Kind):
    """{"files": [{"stage": directory of the verb `stage`, "source": path in the archive, "sha256": of the archived file
    or "" for one that is made, "edits": [{"start", "old", "new"}]}]}: exactly these edits in exactly these files.

    They are still in the private directories of the extraction, and go with these: there is nothing to be undone.
    """

    def __init__(self, context: Context, params: Table) -> None:
        super().__init__(context, params)
        rows = params.get("files")
        if not isinstance(rows, list) or len(rows) > _MOST_FILES:
            raise wire.Refused("invalid", "files must be a list of at most {}".format(_MOST_FILES), field="files")
        self._rows = [_row(row) for row in rows]

    def prepare(self) -> Table:
        self._each(edits.check)
        return {}

    def apply(self, note: Note) -> Table:
        self._each(edits.rewrite)
        return {"files": len(self._rows)}

    def _each(self, do: Callable[[Table, int], None]) -> None:
        for row in self._rows:
            self.context.control.check()
            parent, _ = tree.walk_to(row["stage"])
            try:
                root = staging.checked_staging(parent, self.context.token)
            finally:
                os.close(parent)
            try:
                do(row, root)
            except (edits.Differs, OSError) as error:
                raise wire.Refused("invalid", "a file cannot be rewritten: {}".format(error)) from None
            finally:
                os.close(root)


def _row(value: Any) -> Table:
    if not isinstance(value, dict):
        raise wire.Refused("invalid", "a file to be rewritten is a table", field="files")
    stage = validate.absolute(value.get("stage"), "stage")
    policy.check_restore(stage)
    source = validate.relative(validate.text(value.get("source"), "source").lstrip("/"), "source")
    rows = value.get("edits")
    if not isinstance(rows, list) or not 0 < len(rows) <= _MOST_EDITS:
        raise wire.Refused("invalid", "a file to be rewritten has at most {} edits".format(_MOST_EDITS), field="edits")
    found = [_edit(row) for row in rows]
    sha256 = validate.text(value.get("sha256"), "sha256", _SUM)
    return {"stage": stage, "source": source, "sha256": sha256, "edits": found}


def _edit(value: Any) -> Table:
    if not isinstance(value, dict):
        raise wire.Refused("invalid", "an edit is a table", field="edits")
    return {
        "start": validate.number(value.get("start"), "start", 0, edits.MOST_BYTES),
        "old": validate.text(value.get("old"), "old", limit=_MOST_TEXT),
        "new": validate.text(value.get("new"), "new", limit=_MOST_TEXT),
    }
