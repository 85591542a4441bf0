"""Are both languages complete? English is the source; each of its sentences needs a French one.

script/languages.py            check, on a copy: nothing in the checkout changes
script/languages.py --update   write new sentences into phpborg/locale/fr, to be translated
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import polib

HOME = Path(__file__).resolve().parent.parent
FRENCH = "phpborg/locale/fr/LC_MESSAGES/django.po"
ARGUMENTS = ["makemessages", "-l", "fr", "--no-wrap", "--add-location", "file", "-v", "0"]
IGNORED = ["tests", "script", "docs", ".venv", "var"]
SHOWN = 40
PLACEHOLDER = re.compile(r"\{[a-z_]*\}|%\([a-z_]+\)[sd]|%[sd]")


def make_messages(root: Path) -> None:
    """Django's own collection, in `root`."""
    ignored = [word for name in IGNORED for word in ("--ignore", name)]
    with tempfile.TemporaryDirectory(prefix="phpborg-languages-") as scratch:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PHPBORG_TEST_ROOT": scratch,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        environment.pop("PHPBORG_VAR", None)
        subprocess.run([sys.executable, "manage.py", *ARGUMENTS, *ignored], cwd=root, env=environment, check=True)


def copy_of_sources(root: Path) -> None:
    """Every file that git knows or would add, as it is now."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=HOME, check=True, capture_output=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if (HOME / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(HOME / name, root / name)


def problems(file: Path) -> list[str]:
    """What a French reader would meet in English, or broken."""
    found = []
    for entry in polib.pofile(str(file)):
        if entry.obsolete:
            continue
        place = entry.occurrences[0][0] if entry.occurrences else "?"
        if entry.fuzzy or not entry.translated():
            found.append(f"not translated: “{entry.msgid}” ({place})")
            continue
        wanted = set(PLACEHOLDER.findall(entry.msgid + entry.msgid_plural))
        given = set(PLACEHOLDER.findall("".join([entry.msgstr, *entry.msgstr_plural.values()])))
        if wanted != given:
            found.append(f"placeholders differ: “{entry.msgid}” has {sorted(wanted)}, French has {sorted(given)}")
    return found


def main() -> int:
    if sys.argv[1:] == ["--update"]:
        make_messages(HOME)
        print("\n".join(problems(HOME / FRENCH)) or "French is complete.")
        return 0
    with tempfile.TemporaryDirectory(prefix="phpborg-languages-") as scratch:
        copy = Path(scratch)
        copy_of_sources(copy)
        (copy / FRENCH).parent.mkdir(parents=True, exist_ok=True)
        make_messages(copy)
        found = problems(copy / FRENCH)
    print("\n".join(found[:SHOWN]))
    if found:
        print(f"{len(found)} sentences need work; all of them: script/languages.py --update")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
