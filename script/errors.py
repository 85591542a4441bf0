"""Writes docs/errors.md and docs/fr/errors.md: every expected failure with its code, what happened, and what to do.

    .venv/bin/python script/errors.py

A test compares the files with the code.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
ROOMS = ("phpborg", "servers", "backups", "recovery", "dockerops", "notifications")
ENGLISH = """\
# Errors

Every expected failure has a code. Pages, tasks, mails and `--json` show the same two sentences: what happened, and what
to do. Where a tool said something itself (borg, ssh, sudo), its words are shown below them.

The letters tell the part of the product: each part keeps its errors in its own `errors.py`.

| Code | What happened | What to do |
| --- | --- | --- |
"""
FRENCH = """\
# Erreurs

Chaque échec prévu a un code. Les pages, les tâches, les e-mails et `--json` montrent les deux mêmes phrases : ce qui
s’est passé et ce qu’il faut faire. Quand un outil a dit quelque chose lui-même (borg, ssh, sudo), ses mots figurent
en dessous.

Les lettres indiquent la partie du produit : chacune garde ses erreurs dans son propre `errors.py`.

| Code | Ce qui s’est passé | Que faire |
| --- | --- | --- |
"""
PAGES = {"en": ("docs/errors.md", ENGLISH), "fr": ("docs/fr/errors.md", FRENCH)}


def document(language: str) -> str:
    """The whole page in one language, from the classes."""
    from django.utils import translation

    from phpborg.errors import all_codes

    for room in ROOMS:
        for path in sorted((HOME / room).rglob("*errors.py")):
            import_module(".".join(path.relative_to(HOME).with_suffix("").parts))
    rows = []
    with translation.override(language):
        for code, kind in sorted(all_codes().items()):
            if kind.__module__.split(".")[0] in ROOMS:
                words = (" ".join(str(text).replace("|", "\\|").split()) for text in (kind.title, kind.advice))
                rows.append(f"| {code} | {' | '.join(words)} |\n")
    return PAGES[language][1] + "".join(rows)


if __name__ == "__main__":
    sys.path.insert(0, str(HOME))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django

    django.setup()
    for language, (name, _) in PAGES.items():
        (HOME / name).parent.mkdir(exist_ok=True)
        (HOME / name).write_text(document(language))
