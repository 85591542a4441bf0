"""The house rules that a machine can hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import polib
import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command

from script.errors import PAGES, document

HOME = Path(settings.BASE_DIR)
ROOMS = ("phpborg", "servers", "backups", "recovery", "dockerops", "notifications")
CODE = {".py", ".js", ".html", ".css", ".sh"}
# The two places that start processes: ours on this host, and the helper on the servers.
STARTERS = ("phpborg/process.py", "servers/remote/")


@cache
def sources(*folders: str) -> tuple[Path, ...]:
    """Our own text files below `folders`, by what git would take; generated and vendored ones left out."""
    found = []
    for folder in folders:
        for path in sorted((HOME / folder).rglob("*")):
            parts = path.relative_to(HOME).parts
            if path.is_file() and not {"migrations", "vendor", "__pycache__"} & set(parts):
                found.append(path)
    return tuple(found)


def named(path: Path) -> str:
    return str(path.relative_to(HOME))


def all_code() -> list[Path]:
    folders = (*ROOMS, "templates", "static", "tests", "script", "sudoers", ".ci")
    return [path for path in sources(*folders) if path.suffix in CODE or not path.suffix]


def product_modules() -> list[Path]:
    return [path for path in sources(*ROOMS) if path.suffix == ".py"]


def test_no_file_is_longer_than_400_lines():
    long = {named(path): len(path.read_text(errors="replace").splitlines()) for path in all_code()}
    assert {name: lines for name, lines in long.items() if lines > 400} == {}


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Its lines without decorators, parameters and docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_function_is_longer_than_40_lines():
    long = {}
    for path in product_modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > 40:
                long[f"{named(path)}:{node.lineno} {node.name}"] = body_lines(node)
    assert long == {}


# The tests may name what they try to sneak in; the product may not.
IN_THE_PRODUCT = {
    "a host key that is not checked": re.compile(r"StrictHostKeyChecking[= ](no|off|accept-new)\b"),
    "a policy that accepts every host key": re.compile(r"AutoAddPolicy|WarningPolicy"),
}
ANYWHERE = {
    "a shell": re.compile(r"shell\s*=\s*True"),
    "unfinished work": re.compile(r"\b(TODO|FIXME|XXX)\b|NotImplementedError|pytest\.skip\(|mark\.(skip|xfail)"),
}


def naming(pattern: re.Pattern[str], paths: Iterable[Path]) -> list[str]:
    return [named(path) for path in paths if pattern.search(path.read_text("utf-8", "replace"))]


@pytest.mark.parametrize("what", ANYWHERE)
def test_nowhere_is(what):
    assert naming(ANYWHERE[what], (path for path in all_code() if path != Path(__file__))) == []


@pytest.mark.parametrize("what", IN_THE_PRODUCT)
def test_in_the_product_there_is_no(what):
    assert naming(IN_THE_PRODUCT[what], (path for path in all_code() if not named(path).startswith("tests/"))) == []


def starts_processes(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(
            name.name.split(".")[0] in {"subprocess", "pty"} for name in node.names
        ):
            return True
        if isinstance(node, ast.ImportFrom) and node.module in {"subprocess", "pty", "asyncio.subprocess"}:
            return True
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "os" and re.fullmatch(
                r"system|popen|fork|forkpty|spawn\w+|exec[lv]\w*|posix_spawnp?", node.attr
            ):
                return True
            if node.value.id == "asyncio" and node.attr.startswith("create_subprocess"):
                return True
    return False


def test_processes_start_in_two_places_only():
    others = [path for path in product_modules() if not named(path).startswith(STARTERS)]
    assert [named(path) for path in others if starts_processes(ast.parse(path.read_text()))] == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import subprocess", True),
        ("from subprocess import run", True),
        ("import os\nos.system('x')", True),
        ("import os\nos.execv('x', [])", True),
        ("import asyncio\nasyncio.create_subprocess_exec('x')", True),
        ("import os\nos.path.join('a')\nos.kill(1, 2)", False),
    ],
)
def test_the_rule_above_sees_what_it_must(code, expected):
    assert starts_processes(ast.parse(code)) is expected


# Set by the product itself for its own children.
INTERNAL_NAMES = {"PHPBORG_WORK_HORSE"}


def environment_names() -> set[str]:
    """Every variable that the settings and script/server read."""
    settings_text = (HOME / "phpborg/settings.py").read_text()
    names = set(re.findall(r"(?:env\.\w+|boolean|directory|whole|pairs|templates)\(\s*\"([A-Z_]+)\"", settings_text))
    scripts = [HOME / "script" / name for name in ("serve.py", "supervise.py", "setting_up.py", "lib.sh", "test")]
    for path in (*scripts, *product_modules()):
        text = path.read_text()
        names |= set(re.findall(r"os\.environ(?:\.get|\.setdefault)?[\[(]\"(PHPBORG_\w+)\"", text))
        names |= set(re.findall(r"\$\{(PHPBORG_\w+)", text))
    names -= INTERNAL_NAMES
    return names | set(re.findall(r"^    \"(PHPBORG_\w+)\": \"", (HOME / "script/serve.py").read_text(), re.MULTILINE))


def test_the_settings_are_found():
    assert {"PHPBORG_VAR", "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "PHPBORG_PORT"} <= environment_names()


def test_every_environment_variable_is_documented():
    guide = (HOME / "docs/administrator.md").read_text()
    assert sorted(name for name in environment_names() if f"`{name}`" not in guide) == []


def test_the_example_file_names_only_what_is_read():
    known = environment_names()
    named_there = set(re.findall(r"^#? ?([A-Z_]+)=", (HOME / ".env.example").read_text(), re.MULTILINE))
    assert named_there
    assert named_there - known == set()


@pytest.mark.parametrize("language", PAGES)
def test_every_error_code_is_documented(language):
    """If this fails: .venv/bin/python script/errors.py"""
    assert (HOME / PAGES[language][0]).read_text() == document(language)


def test_errors_say_what_happened_and_what_to_do():
    rows = [line for line in document("en").splitlines() if re.match(r"\| [A-Z]{2,}", line)]
    assert len(rows) > 50
    for row in rows:
        assert re.fullmatch(r"\| [A-Z]{2,4}-\d{2} \| \S.{5,} \| \S.{5,} \|", row), row


def test_french_is_complete():
    files = sorted((HOME / "phpborg/locale/fr").rglob("*.po"))
    assert files
    for path in files:
        entries = [entry for entry in polib.pofile(str(path)) if not entry.obsolete]
        assert entries
        assert [entry.msgid for entry in entries if entry.fuzzy or not entry.translated()] == []


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt", "requirements-borg14.txt"])
def test_requirements_are_pinned_and_hashed_and_name_no_registry(name):
    text = (HOME / name).read_text()
    assert "http" not in text
    assert "--index" not in text
    blocks = re.split(r"\n(?=[a-z0-9])", text.strip(), flags=re.IGNORECASE)
    loose = [
        block.splitlines()[0] for block in blocks if "==" not in block.splitlines()[0] or "--hash=sha256:" not in block
    ]
    assert [line for line in loose if not line.startswith(("#", "-c", "-r"))] == []


@pytest.mark.parametrize("name", ["requirements.in", "requirements-dev.in", "requirements-borg14.in"])
def test_each_dependency_says_why(name):
    lines = [line for line in (HOME / name).read_text().splitlines() if line and not line.startswith(("#", "-"))]
    assert lines
    assert [line for line in lines if not re.search(r"  *# .{8,}", line)] == []


@pytest.mark.django_db
def test_migrations_are_complete():
    call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)


def test_migrations_are_named_for_what_they_do():
    names = [path.stem for room in ROOMS for path in (HOME / room).rglob("migrations/0*.py")]
    assert names
    assert [name for name in names if "auto" in name] == []


def test_every_app_has_a_name_for_people():
    ours = [config for config in apps.get_app_configs() if config.name.split(".")[0] in ROOMS]
    assert [config.name for config in ours if not str(config.verbose_name)] == []


@pytest.mark.parametrize("path", [*(HOME / "docs").rglob("*.md"), HOME / "README.md"], ids=named)
def test_links_in_the_documentation_lead_somewhere(path):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        file = target.split("#")[0]
        if file and "://" not in file and not file.startswith("mailto:") and not (path.parent / file).exists():
            broken.append(target)
    assert broken == []
