"""French, the default language: complete, with the same placeholders, and printed as French is."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import polib
import pytest
from django.conf import settings

FRENCH = Path(settings.BASE_DIR) / "phpborg/locale/fr/LC_MESSAGES/django.po"
PLACEHOLDER = re.compile(r"\{[a-z_]*\}|%\([a-z_]+\)[sd]")
NO_BREAK = "\u00a0"
# Written the same in both languages; everything else that stays the same was forgotten.
SAME = set(
    """
    %(shown)s archive|{days} {times}|{minutes}, {hours}|{months}, {sentence}|{times}, {days}
    ARCHIVE|Borg|Configuration (/etc)|Docker|Python|Redis|SSH|STARTTLS|TLS|localhost|phpBorg
    1 minute|15 minutes|port {number}|Version %(version)s
    Elasticsearch / OpenSearch|MongoDB|MySQL / MariaDB|PostgreSQL
    Actions|Administration|Archive|Archives|Attention|Certain|Collections|Compression|Configuration|Dates|Documents|Image|Plan|Protection|Script
    Exclusions|Interface|Menu|Messages|Minute|Notes|Notifications|Options|Pages|Port|Possible|Probable|Source|Swap|Tables|Tablespaces|Test
    Docker %(version)s|Dump|Dumps|Images|Swarm|{count} volume
    Version|Volume|Volumes|Worker|Workers
    archive|archives|compression|image|installation|minute|notes|page|phase|port|socket|source|version|worker
    """.strip()
    .replace("\n", "|")
    .replace("    ", "")
    .split("|")
)
# What a shell has to read as it is written.
QUOTED = {"ajoutez\u00a0: --yes '{name}'": ""}
WRONG = {
    "a straight apostrophe": re.compile(r"'"),
    "English quotation marks": re.compile(r"[“”]"),
    "three dots for an ellipsis": re.compile(r"\.\.\.(?!\w)"),
    "two spaces": re.compile(r"(?<=\S)  "),
    "no no-break space inside « »": re.compile(rf"«(?!{NO_BREAK})|(?<!{NO_BREAK})»"),
    "no no-break space before ; ! ? :": re.compile(rf"(?<!{NO_BREAK})[;!?:](?=\s|$)"),
    "an ordinary space before ; ! ? :": re.compile(r" [;!?:]"),
    "a no-break space at either end": re.compile(rf"^{NO_BREAK}|{NO_BREAK}$"),
}
# Prefixes of patterns and other code that ends in a colon.
CODE = re.compile(r"\b(?:sh|re|pp|fm|pf):(?=\s|$)|::")


@cache
def entries() -> tuple[polib.POEntry, ...]:
    return tuple(polib.pofile(str(FRENCH)))


def texts() -> Iterator[tuple[str, str]]:
    """Each English text with its French ones."""
    for entry in entries():
        for french in (entry.msgstr_plural or {0: entry.msgstr}).values():
            yield entry.msgid, french


def test_every_sentence_is_french():
    left = [entry.msgid for entry in entries() if entry.obsolete or entry.fuzzy or not entry.translated()]
    assert left == []


def test_gettext_accepts_it():
    checked = subprocess.run(
        ["msgfmt", "--check", "-o", "/dev/null", str(FRENCH)], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_placeholders_are_those_of_the_english_sentence():
    wrong = {}
    for entry in entries():
        english = {frozenset(PLACEHOLDER.findall(text)) for text in (entry.msgid, entry.msgid_plural) if text}
        french = {frozenset(PLACEHOLDER.findall(text)) for text in (entry.msgstr_plural or {0: entry.msgstr}).values()}
        if not french <= english:
            wrong[entry.msgid] = sorted(map(sorted, french))
    assert wrong == {}


def test_spaces_and_line_breaks_at_the_ends_are_kept():
    wrong = []
    for english, french in texts():
        ends = [(text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]) for text in (english, french)]
        if ends[0] != ends[1]:
            wrong.append(french)
    assert wrong == []


@pytest.mark.parametrize("name", WRONG)
def test_typography(name):
    wrong = []
    for _english, french in texts():
        shown = CODE.sub("", french)
        for code, instead in QUOTED.items():
            shown = shown.replace(code, instead)
        if WRONG[name].search(shown):
            wrong.append(french)
    assert wrong == []


def test_no_sentence_was_left_in_english():
    assert sorted({english for english, french in texts() if english == french} - SAME) == []


def test_a_full_stop_stays_a_full_stop():
    """A sentence stays a sentence, and a label does not become one."""
    wrong = [
        french
        for english, french in texts()
        if english.rstrip()[-1] in ".?…" and english.rstrip()[-1] != french.rstrip()[-1]
    ]
    assert wrong == []


def test_texts_are_found_by_the_names_that_the_collector_knows() -> None:
    """A function of another name hides its texts from makemessages: they would stay English."""
    alias = re.compile(r"import n?gettext(?:_lazy|_noop)? as (?!_\b)\w+")
    rooms = ("phpborg", "servers", "backups", "recovery", "dockerops", "notifications")
    files = [path for room in rooms for path in (Path(settings.BASE_DIR) / room).rglob("*.py")]
    assert [str(path) for path in files if alias.search(path.read_text())] == []
