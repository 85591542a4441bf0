"""Reads a page as a machine for people who cannot see it would."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import pairwise

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


class Element:
    """One element: its name, attributes, text with that of its children, and its parent."""

    def __init__(self, name: str, attributes: dict[str, str], parent: Element | None) -> None:
        self.name, self.attributes, self.parent, self.text = name, attributes, parent, ""

    def inside(self, *names: str) -> bool:
        return self.parent is not None and (self.parent.name in names or self.parent.inside(*names))

    def __repr__(self) -> str:
        return f"<{self.name} {self.attributes}>"


class Page(HTMLParser):
    """The elements of a document, and whether its tags are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.problems: list[str] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        self.problems += [f"{element} is not closed" for element in self._open]

    def handle_starttag(self, tag, attrs):
        element = Element(tag, {key: value or "" for key, value in attrs}, self._open[-1] if self._open else None)
        self.elements.append(element)
        if tag == "img":
            self._say(element.attributes.get("alt", ""))
        self._say(element.attributes.get("aria-label", "") if tag == "svg" else "")
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if not self._open or self._open[-1].name != tag:
            self.problems.append(f"</{tag}> closes {self._open[-1] if self._open else 'nothing'}")
            return
        self._open.pop()

    def handle_data(self, data):
        self._say(data)

    def _say(self, words: str) -> None:
        for element in self._open:
            element.text += words

    def all(self, *names: str) -> list[Element]:
        return [element for element in self.elements if element.name in names]

    def ids(self) -> list[str]:
        return [element.attributes["id"] for element in self.elements if "id" in element.attributes]


def accessibility_problems(html: str) -> list[str]:
    """What an automatic check of a page finds: names, labels, headings, language, references."""
    page = Page(html)
    found = list(page.problems)
    (root,) = page.all("html")
    if root.attributes.get("lang") not in {"fr", "en"}:
        found.append("no language")
    if not page.all("title")[0].text.strip():
        found.append("no title")
    if len(page.all("h1")) != 1:
        found.append(f"{len(page.all('h1'))} h1")
    if len(page.all("main")) != 1:
        found.append("not one main")
    ids = page.ids()
    found += [f"id {ident} twice" for ident in {ident for ident in ids if ids.count(ident) > 1}]
    return found + _nameless(page) + _unlabelled(page, ids) + _levels(page) + _dangling(page, set(ids))


def _nameless(page: Page) -> list[str]:
    return [
        f"nameless {element}"
        for element in page.all("a", "button", "summary", "th", "caption", "h1", "h2", "h3")
        if not (element.text.strip() or element.attributes.get("aria-label"))
        and "data-default" not in element.attributes  # the dialog's own, filled before it opens
        and not any(e.parent is element and "aria-label" in e.attributes for e in page.elements)
    ]


def _unlabelled(page: Page, ids: list[str]) -> list[str]:
    labelled = {label.attributes.get("for") for label in page.all("label")}
    found = []
    for field in page.all("input", "select", "textarea"):
        if field.attributes.get("type") in {"hidden", "submit", "button"}:
            continue
        if field.attributes.get("id") in labelled or field.inside("label") or field.attributes.get("aria-label"):
            continue
        found.append(f"no label for {field}")
    found += [f"label for nothing: {name}" for name in labelled if name and name not in ids]
    found += [f"nameless {bar}" for bar in page.all("progress") if not bar.attributes.get("aria-label")]
    navs = [nav.attributes.get("aria-label") for nav in page.all("nav")]
    return found + (["a nav without a name"] if not all(navs) else [])


def _levels(page: Page) -> list[str]:
    levels = [int(heading.name[1]) for heading in page.all("h1", "h2", "h3", "h4") if not heading.inside("dialog")]
    return [f"h{a} then h{b}" for a, b in pairwise(levels) if b > a + 1]


def _dangling(page: Page, ids: set[str]) -> list[str]:
    found = []
    for element in page.elements:
        for name in ("aria-describedby", "aria-labelledby", "aria-controls"):
            missing = [ident for ident in element.attributes.get(name, "").split() if ident not in ids]
            found += [f"{name}={ident} leads nowhere" for ident in missing]
    return found
