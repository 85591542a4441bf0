"""Each sentence that the helper's probes write of a problem is known to the product, so that it is shown translated."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.utils import translation

from servers.capabilities.sayings import SAYINGS, shown

ROOT = Path(__file__).parents[2] / "servers" / "remote"
SOURCES = [*sorted((ROOT / "probes").glob("*.py")), ROOT / "space.py", ROOT / "capabilities.py"]
SENTENCE = re.compile(r"[a-z{}]+ [a-z{}]+ [a-z{}]|exit status|is not installed| refused$")
# Not shown: names of filesystems, patterns of what a tool says, words of an exception that nobody but us can cause.
INTERNAL = {"bson.py"}
OTHERS = re.compile(r"SELECT|SHOW|FROM |^autofs |devid|^ERR |a login must be JSON|a section of an unknown kind")


def sentences() -> set[str]:
    """What the helper writes, its gaps numbered."""
    found = set()
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        notes = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) and id(node) not in notes else None
            if (
                path.name not in INTERNAL
                and isinstance(text, str)
                and SENTENCE.search(text)
                and not OTHERS.search(text)
            ):
                found.add(numbered(text))
    return found


def numbered(text: str) -> str:
    """With {0}, {1} where `str.format` fills in; what is added to another's words begins with such a gap too."""
    pieces = re.split(r"\{[^}]*\}", ("{}" if text.startswith(":") else "") + text)
    return "".join(piece + (f"{{{number}}}" if number < len(pieces) - 1 else "") for number, piece in enumerate(pieces))


def test_the_product_knows_each_sentence_and_no_other():
    assert sentences() == set(SAYINGS)


@pytest.mark.parametrize(
    ("said", "french"),
    [
        ("psql is not installed: install the PostgreSQL client", "psql n’est pas installé"),
        ("it did not answer within 8.0 s", "8.0 s"),
        ("btrfs filesystem show failed: exit status 1", "code de sortie 1"),
        ("zfs list failed: no answer within 8 s", "8 s"),
    ],
)
def test_they_are_shown_in_the_readers_language(said, french):
    with translation.override("fr"):
        assert french in shown(said)
        assert shown(said) != said
    with translation.override("en"):
        assert shown(said) == said


def test_what_a_database_said_stays_as_it_was_said():
    with translation.override("fr"):
        assert shown("Access denied for user 'x' {0}; so it is") == "Access denied for user 'x' {0}; so it is"
        assert shown("NOAUTH required: give a password for it").startswith("NOAUTH required")
    assert shown(None) == ""


def test_two_sentences_are_both_translated():
    both = "borg is not installed; it ended without an answer"
    with translation.override("fr"):
        assert "; " in shown(both)
        assert "borg is not" not in shown(both)
        assert "it ended" not in shown(both)
