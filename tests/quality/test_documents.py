"""The documentation is complete in both languages: what one page has, the other has too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.product import HOME

ENGLISH = [HOME / "README.md", *sorted((HOME / "docs").glob("*.md"))]
CODE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
NAMES = re.compile(r"`(PHPBORG_[A-Z_]+|[a-z]+/[\w/.-]+|--[a-z-]+)`")


def french(path: Path) -> Path:
    return HOME / "README.fr.md" if path.name == "README.md" else HOME / "docs/fr" / path.name


def shape(path: Path) -> dict[str, list[str]]:
    """What must be the same in both: levels of headings, rows of tables, code to the byte, names."""
    text = path.read_text()
    prose = CODE.sub("", text)
    return {
        "headings": re.findall(r"^(#+) ", prose, re.MULTILINE),
        "rows": [f"{line.count('|')} columns" for line in prose.splitlines() if line.startswith("|")],
        "code": [re.sub(r"^ +", "", block, flags=re.MULTILINE) for block in CODE.findall(text)],
        "names": sorted(set(NAMES.findall(prose))),
    }


@pytest.mark.parametrize("path", ENGLISH, ids=lambda path: path.name)
def test_every_page_is_there_in_french_with_the_same_parts(path: Path) -> None:
    assert shape(french(path)) == shape(path)


def test_no_page_is_french_alone() -> None:
    expected = {french(path) for path in ENGLISH}
    assert {*(HOME / "docs/fr").glob("*.md"), *HOME.glob("README.??.md")} == expected
