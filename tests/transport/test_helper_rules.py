"""The helper's closed lists: what is a borg command for it, what is not, and on which Python it runs."""

from __future__ import annotations

import ast
import io
import re
import sys
import zipfile
from pathlib import Path

import pytest

from servers.remote import argv, policy, validate, wire
from servers.remote.build import build_helper, helper_version

ROOT = Path(__file__).parents[2]
PLACE = "ssh://phpborg/srv/jaga FS::etc-2026"


def test_a_backup_command_is_taken_apart_and_put_together_without_ambiguity():
    command = argv.parse(
        ["create", "--json", "--log-json", "--compression", "zstd,3", "--exclude", "-rf", PLACE, "/etc", "/-rf"],
        local=False,
    )
    assert argv.command_line(command, local=False) == [
        "create", "--json", "--log-json", "--compression=zstd,3", "--exclude=-rf", "--", PLACE, "/etc", "/-rf",
    ]  # fmt: skip


def test_common_options_may_stand_before_the_subcommand():
    assert argv.parse(["--log-json", "list", "--json", "ssh://phpborg/r"], local=False).subcommand == "list"


@pytest.mark.parametrize(
    "words",
    [
        ["create", "--rsh", "sh -c id", PLACE, "/etc"],
        ["create", "--rsh=sh -c id", PLACE, "/etc"],
        ["create", "--remote-path=/tmp/evil", PLACE, "/etc"],
        ["create", "--remote-pat=/tmp/evil", PLACE, "/etc"],
        ["create", "-o", "ProxyCommand=id", PLACE, "/etc"],
        ["create", "--content-from-command", PLACE, "/bin/sh"],
        ["create", "--paths-from-command", PLACE, "/bin/sh"],
        ["create", "--patterns-from=/etc/shadow", PLACE, "/etc"],
        ["create", "--exclude-from", "/etc/shadow", PLACE, "/etc"],
        ["create", "--pattern", "R /root", PLACE, "/etc"],
        ["create", "--debug-profile=/etc/passwd", PLACE, "/etc"],
        ["create", "--json=x", PLACE, "/etc"],
        ["create", "--comment", "two\nlines", PLACE, "/etc"],
        ["create", PLACE, "etc"],
        ["create", PLACE, "/etc/../root"],
        ["create", PLACE],
        ["create", "--", "--rsh=id", "/etc"],
        ["create", "ssh://phpborg/r", "/etc"],
        ["create", "ssh://elsewhere/r::a", "/etc"],
        ["create", "ssh://-oProxyCommand=id/r::a", "/etc"],
        ["create", "ssh://phpborg:22/r::a", "/etc"],
        ["create", "root@phpborg:/r::a", "/etc"],
        ["create", "/srv/repo::a", "/etc"],
        ["create", "ssh://phpborg/a/../etc::a", "/etc"],
        ["create", "ssh://phpborg//r::a", "/etc"],
        ["create", "ssh://phpborg/r::{hostname}", "/etc"],
        ["create", "ssh://phpborg/{user}::a", "/etc"],
        ["create", "ssh://phpborg/r::a/b", "/etc"],
        ["create", "ssh://phpborg/r::a\nb", "/etc"],
        ["extract", "ssh://phpborg/r::a", "-rf"],
        ["extract", "ssh://phpborg/r::a", "sh"],
        ["extract", "ssh://phpborg/r", "pp:x"],
        ["delete", "ssh://phpborg/r::a"],
        ["prune", "--keep-last=1", "ssh://phpborg/r"],
        ["mount", "ssh://phpborg/r::a", "/mnt"],
        ["serve"],
        [],
    ],
)
def test_everything_else_is_refused(words):
    with pytest.raises(wire.Refused):
        argv.parse(words, local=False)


def test_a_local_location_is_a_plain_absolute_path():
    assert argv.parse(["list", "/srv/repo::a"], local=True).repository == b"/srv/repo"
    for place in ("srv/repo", "ssh://phpborg/r", "/srv/../etc", "user@host:/r"):
        with pytest.raises(wire.Refused):
            argv.parse(["list", place], local=True)


@pytest.mark.parametrize("path", ["/a/../b", "/a/./b", "/a//b", "a", "", "/a\0b", "/a/..", 7, None, "/" + "a" * 5000])
def test_paths_that_lead_elsewhere_are_refused(path):
    with pytest.raises(wire.Refused):
        validate.absolute(path, "path")


def test_a_path_that_is_not_utf8_survives_the_request():
    assert validate.absolute("/srv/\udcff", "path") == b"/srv/\xff"


@pytest.mark.parametrize(
    "token", ["../../etc", "short", "a" * 65, "-abcdefgh", "with space1", "a/b/c/d/e", "x\ny345678"]
)
def test_tokens_are_plain(token):
    with pytest.raises(wire.Refused):
        validate.token(token)


def test_a_root_is_a_boundary_not_a_prefix():
    assert policy._inside(b"/mnt/a/x", [b"/mnt/a"])
    assert not policy._inside(b"/mnt/ab", [b"/mnt/a"])
    assert policy._inside(b"/anything", [b"/"])


def test_the_helper_speaks_python_3_6():
    for path in sorted((ROOT / "servers/remote").rglob("*.py")):
        if path.name != "build.py":
            ast.parse(path.read_text(), str(path), feature_version=(3, 6))
            assert not re.search(r"capture_output|removeprefix|text=True|: (dict|list|tuple)\[", path.read_text()), path


def test_the_helper_needs_only_the_standard_library():
    # These came after Python 3.6.
    allowed = sys.stdlib_module_names - {"dataclasses", "contextvars", "graphlib", "tomllib", "zoneinfo", "__future__"}
    for path in sorted((ROOT / "servers/remote").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name.split(".")[0] for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [(node.module or "").split(".")[0]]
            assert path.name == "build.py" or set(names) <= allowed, (path, names)


def test_the_build_is_deterministic_and_knows_its_version():
    first, second = build_helper(), build_helper()
    assert first == second
    assert first.startswith(b"#!/usr/bin/python3 -I\n")
    text = zipfile.ZipFile(io.BytesIO(first)).read("remote/__init__.py").decode()
    assert f'VERSION = "{helper_version()}"' in text


def test_host_keys_are_never_accepted_blindly():
    paths = [*ROOT.glob("*/**/*.py"), *ROOT.glob("script/*"), *ROOT.glob("sudoers/*")]
    for path in paths:
        if path.is_file() and "tests" not in path.parts and ".venv" not in path.parts:
            found = re.search(r"StrictHostKeyChecking\W+(no|accept|off|ask)", path.read_text(errors="replace"))
            assert not found, path
            assert "AutoAddPolicy" not in path.read_text(errors="replace"), path
