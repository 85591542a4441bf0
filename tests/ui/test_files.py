"""Rules that hold for every template, stylesheet and script of ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.template.loader import get_template

HOME = Path(settings.BASE_DIR)
STATIC = HOME / "static"
TEMPLATES = sorted((HOME / "templates").rglob("*.html"))
SCRIPTS = sorted((STATIC / "js").glob("*.js"))
STYLES = sorted((STATIC / "css").glob("*.css"))
COMMENT = re.compile(r"\{#.*?#\}|\{% comment %\}.*?\{% endcomment %\}", re.DOTALL)
INLINE = {
    "a style attribute": re.compile(r"\sstyle\s*=", re.IGNORECASE),
    "a style element": re.compile(r"<style\b", re.IGNORECASE),
    "a script without src": re.compile(r"<script\b(?![^>]*\bsrc=)", re.IGNORECASE),
    "an event attribute": re.compile(r"<[^>]*\son[a-z]+\s*=", re.IGNORECASE),
    "an htmx expression": re.compile(r"hx-on|hx-vals\s*=\s*['\"]js:|hx-trigger\s*=\s*['\"][^'\"]*\[", re.IGNORECASE),
    "another host": re.compile(r"(src|href|action)\s*=\s*['\"](https?:)?//", re.IGNORECASE),
}


def named(path: Path) -> str:
    return str(path.relative_to(HOME))


# A letter has no stylesheet beside it, and no page's policy holds for it.
LETTER = HOME / "templates/notifications/_letter.html"


@pytest.mark.parametrize("what", INLINE)
def test_no_template_has(what):
    ours = [path for path in TEMPLATES if path != LETTER or what != "a style element"]
    found = [named(path) for path in ours if INLINE[what].search(COMMENT.sub("", path.read_text()))]
    assert found == []


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_every_template_can_be_read(path):
    get_template(str(path.relative_to(HOME / "templates")))


def test_every_icon_that_is_named_exists():
    known = set(re.findall(r'<symbol id="([\w-]+)"', (STATIC / "icons.svg").read_text()))
    used = set()
    for path in TEMPLATES:
        text = path.read_text()
        used |= {(name, named(path)) for name in re.findall(r'\{% icon "([\w-]+)"', text)}
        used |= {(name, named(path)) for name in re.findall(r'icon_name="([\w-]+)"', text)}
    from phpborg.tasks.states import State
    from phpborg.ui.context import ENTRIES, THEMES
    from phpborg.ui.html import TONE_ICONS
    from phpborg.ui.templatetags.ui import STEP_ICONS

    used |= {(icon, "code") for icon in (*TONE_ICONS.values(), *STEP_ICONS.values(), *(state.icon for state in State))}
    used |= {(entry.icon, "navigation") for entry in ENTRIES} | {(icon, "themes") for _name, icon, _label in THEMES}
    assert sorted((name, where) for name, where in used if name not in known) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=named)
def test_scripts_are_small_modules_without_evaluation(path):
    text = path.read_text()
    assert len(text.splitlines()) < 150
    assert not re.search(r"\beval\(|new Function|innerHTML|insertAdjacentHTML|document\.write", text)


def test_every_script_is_imported():
    imported = set(re.findall(r'import "\./([\w.]+)"', (STATIC / "js/app.js").read_text()))
    mentioned = {name for path in TEMPLATES for name in re.findall(r'static "js/([\w.]+)"', path.read_text())}
    assert {path.name for path in SCRIPTS} - {"app.js"} == imported | (mentioned - {"app.js"})


def test_colours_are_named_in_one_place():
    colour = re.compile(r"#[0-9a-f]{3,8}\b|\brgba?\(|\bhsla?\(|\boklch\(", re.IGNORECASE)
    allowed = {"tokens.css", "taskbar.css"}  # the latter for one shadow
    assert [named(path) for path in STYLES if path.name not in allowed and colour.search(_rules(path))] == []


def _rules(path: Path) -> str:
    """The declarations of a stylesheet without selectors (ids look like colours)."""
    return "\n".join(line for line in path.read_text().splitlines() if ":" in line and line.rstrip().endswith(";"))


def test_every_custom_property_is_defined():
    text = "\n".join(path.read_text() for path in STYLES)
    defined = set(re.findall(r"(--[\w-]+)\s*:", text))
    used = set(re.findall(r"var\((--[\w-]+)\s*[,)]", text))
    assert used - defined == set()


def test_reduced_motion_is_respected():
    assert "prefers-reduced-motion: reduce" in (STATIC / "css/base.css").read_text()


def test_the_collected_files_are_complete(tmp_path, settings):
    """Strict, hashed storage: a file that a stylesheet or a module names and that is missing fails here."""
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "phpborg.ui.static.HashedStorage"},
    }
    call_command("collectstatic", interactive=False, verbosity=0)
    (app,) = tmp_path.glob("js/app.????????????.js")
    assert re.search(r'import ?"\./confirm\.[0-9a-f]{12}\.js"', app.read_text())
    (css,) = tmp_path.glob("css/app.????????????.css")
    assert re.search(r'url\("tokens\.[0-9a-f]{12}\.css"\) layer\(tokens\)', css.read_text())
    assert list(tmp_path.glob("css/app.????????????.css.gz"))


def test_vendored_files_carry_their_licence_and_version():
    readme = (STATIC / "vendor/README.md").read_text()
    for package in (STATIC / "vendor").iterdir():
        if package.is_dir():
            assert (package / "LICENSE").exists()
            assert all(f"{package.name}/{script.name}" in readme for script in package.glob("*.js"))
