"""A field that is named like a method of its form hides that method from every script (form.remove())."""

from __future__ import annotations

import re
from pathlib import Path

HOME = Path(__file__).resolve().parents[2]
USED_BY_SCRIPTS = [
    "after",
    "append",
    "before",
    "children",
    "closest",
    "contains",
    "dataset",
    "elements",
    "focus",
    "getAttribute",
    "hasAttribute",
    "id",
    "insertBefore",
    "matches",
    "method",
    "nextSibling",
    "parentElement",
    "parentNode",
    "previousSibling",
    "querySelector",
    "querySelectorAll",
    "remove",
    "removeAttribute",
    "replaceWith",
    "requestSubmit",
    "reset",
    "setAttribute",
    "style",
    "submit",
    "tagName",
    "target",
    "value",
]


def test_no_field_hides_a_method_that_scripts_use():
    hidden = re.compile(rf'\bname="({"|".join(USED_BY_SCRIPTS)})"')
    found = [
        f"{path.relative_to(HOME)}: {name}"
        for path in (HOME / "templates").rglob("*.html")
        for name in hidden.findall(re.sub(r"<meta[^>]*>", "", path.read_text()))
    ]
    assert found == []
