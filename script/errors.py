"""Writes docs/errors.md: every expected failure with its code, what happened, and what to do.

    .venv/bin/python script/errors.py

A test compares the file with the code.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
ROOMS = ("phpborg", "servers", "backups", "recovery", "dockerops", "notifications")
HEAD = """\
# Errors

Every expected failure has a code. Pages, tasks, mails and `--json` show the same two sentences: what happened, and what
to do. Where a tool said something itself (borg, ssh, sudo), its words are shown below them.

The letters tell the part of the product: each part keeps its errors in its own `errors.py`.

| Code | What happened | What to do |
| --- | --- | --- |
"""


def document() -> str:
    """The whole page, in English, from the classes."""
    from django.utils import translation

    from phpborg.errors import all_codes

    for room in ROOMS:
        for path in sorted((HOME / room).rglob("*errors.py")):
            import_module(".".join(path.relative_to(HOME).with_suffix("").parts))
    rows = []
    with translation.override("en"):
        for code, kind in sorted(all_codes().items()):
            if kind.__module__.split(".")[0] in ROOMS:
                words = (" ".join(str(text).replace("|", "\\|").split()) for text in (kind.title, kind.advice))
                rows.append(f"| {code} | {' | '.join(words)} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    sys.path.insert(0, str(HOME))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    (HOME / "docs/errors.md").write_text(document())
