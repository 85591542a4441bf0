"""Scripts: real shellcheck, no secret, names of every kind, and the steps of the plan in their order."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from dockerops.choice import Choice
from dockerops.errors import PlanTooOld
from dockerops.options import Options
from dockerops.plan import DockerPlan, Step
from dockerops.script import _WORDS, FORMS, quoted, script
from dockerops.scripts.asking import requests
from dockerops.scripts.filling import fill
from servers.remote.dockers import bodies
from tests.dockerops import sample
from tests.dockerops.test_conflicts import PROJECT
from tests.dockerops.test_planning import plan

HOSTILE = 'it\'s; $(touch /tmp/harm) `id` "q"\n!x \\ é'
NO_TEXT = os.fsdecode(b"caf\xe9\xff")


def every_step(name: str, more: str = NO_TEXT) -> list[tuple[str, dict[str, Any], str]]:
    """(kind, parameters, why) of every kind of step, with this name for everything."""
    exchange = {"target": f"/{name}", "stage": "/", "source": f"/{more}", "whole": True, "items": None}
    compose = {"project": "p", "working_dir": f"/{name}", "files": [name], "env_files": [name], "seconds": 7}
    return [
        ("need_image", {"reference": name, "id": name}, ""),
        ("load_image", {"reference": name, "id": "", "images": [name, "b"], "stream": "/x/images/0.tar"}, ""),
        ("pull_image", {"reference": name, "id": "", "tag": name}, ""),
        ("create_network", {"name": name, "manifest_name": name, "free": True}, ""),
        ("create_volume", {"name": name, "manifest_name": name}, ""),
        ("hold_volume", {"volume": name, "path": f"/{name}"}, ""),
        ("release_volume", {"volume": name, "path": f"/{name}"}, ""),
        ("archive_former", {"archive": "before", "paths": [f"/{name}", f"/{more}"]}, ""),
        ("extract", {"directory": f"/{name}", "sources": [f"/{name}/{more}"]}, ""),
        ("stop_container", {"container": name, "seconds": 5}, ""),
        ("rename_container", {"container": name, "to": f"{name}.kept", "id": name}, ""),
        ("disconnect", {"network": name, "container": name}, ""),
        ("exchange", exchange, ""),
        ("exchange", {**exchange, "whole": False, "items": [name, more]}, ""),
        ("exchange", {**exchange, "whole": False}, ""),
        ("rewrite_files", {"files": [{"stage": f"/{name}", "source": f"/{more}", "sha256": "", "edits": []}]}, ""),
        ("create_container", {"name": name, "manifest_name": name}, ""),
        ("start", {"container": name, "state": "paused"}, ""),
        ("healthy", {"container": name, "seconds": 3}, ""),
        ("compose_up", compose, ""),
        ("start", {"container": name, "state": "running"}, "again"),
        ("healthy", {"container": name, "seconds": 3}, "again"),
    ]


def everything(name: str = HOSTILE, more: str = NO_TEXT) -> DockerPlan:
    """A plan with every kind of step, each with hostile names."""
    facts: dict[str, str | int] = dict.fromkeys(("name", "path", "image", "directory", "network", "to"), name)
    rows = enumerate(every_step(name, more), 1)
    steps = tuple(Step(number, op, params, why, facts) for number, (op, params, why) in rows)
    return DockerPlan(
        name,
        "ab" * 32,
        f"ssh://{name}",
        name,
        f"/{name}.sock",
        steps,
        manifest="/m",
        manifest_sha256="c" * 64,
        token="0" * 32,
    )


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["everything", "project", "files", "nothing to undo"])
def test_shellcheck_finds_nothing(form: str, kind: str, language: str, tmp_path: Path):
    made = {
        "everything": everything,
        "project": lambda: plan(Choice(), Options(protect="archive")),
        "files": lambda: plan(Choice("volumes", files={"kiosk_data": (HOSTILE,)}), Options(protect="none")),
        "nothing to undo": lambda: plan(Choice("configs"), Options(placement="other_path", path="/x")),
    }[kind]()
    with translation.override(language):
        file = tmp_path / "script.sh"
        file.write_text(script(made, form), encoding="utf-8")
    done = subprocess.run(["shellcheck", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert subprocess.run(["bash", "-n", str(file)], check=False).returncode == 0


@pytest.mark.parametrize("form", FORMS)
def test_a_script_holds_no_secret_and_says_its_plan(form: str):
    made = plan(Choice(), Options(create_missing=True), sample.empty())
    text = script(made, form)
    assert not [canary for canary in sample.CANARIES if canary in text]
    assert f"# Plan: {made.hash}\n" in text
    assert "read -rs" in text
    assert "BORG_PASSPHRASE=" not in text.replace('BORG_PASSPHRASE="', "")
    assert f"readonly REPOSITORY={made.repository}\n" in text


@pytest.mark.parametrize("form", FORMS)
def test_the_script_has_the_steps_of_the_plan_in_their_order(form: str):
    made = plan(PROJECT)
    text = script(made, form)
    mark = r"^    step (\d+) " if form == "advanced" else r"^    # (\d+)\. "
    assert [int(one) for one in re.findall(mark, text, re.M)] == [step.number for step in made.steps]
    verbs = {"start": "start_container", "exchange": "exchange_whole"}
    main = text[text.index("main() {") : text.index("\n}\n", text.index("main() {"))]
    main = main[main.index("step 1 " if form == "advanced" else "# 1. ") - 4 :]
    called = re.findall(r'^    (?:step \d+ "[^"]*" )?(?:or_tell )?([a-z_]+) ', main, re.M)
    called = [word for word in called if word not in ("trap", "look")]
    assert called == [verbs.get(step.op, step.op) for step in made.steps]


def test_a_plan_that_names_no_manifest_becomes_no_script():
    """Plans of an older phpBorg."""
    raw = plan(PROJECT).as_json()
    del raw["manifest_sha256"]
    for form in FORMS:
        with pytest.raises(PlanTooOld):
            script(DockerPlan.from_json(raw), form)


def test_a_dry_run_prints_every_step_and_does_nothing(tmp_path: Path):
    made = everything()
    file = tmp_path / "script.sh"
    file.write_text(script(made, "advanced"), encoding="utf-8")
    harm = Path("/tmp/harm")
    harm.unlink(missing_ok=True)
    # There is no engine and no repository: a dry run asks neither.
    done = subprocess.run(["bash", str(file), "--dry-run"], capture_output=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = re.findall(rb"^(\d+)\. ", done.stdout, re.M)
    assert [int(one) for one in printed] == [step.number for step in made.steps]
    assert not harm.exists()
    assert os.listdir(tmp_path) == ["script.sh"]


@pytest.mark.parametrize("tool", ["sha256sum", "borg"])
def test_a_script_means_the_same_in_every_locale(tool: str, tmp_path: Path):
    file, stub = tmp_path / "script.sh", tmp_path / tool
    text = script(everything(), "advanced")
    # Borg alone reads names as text: it needs a locale that has them all.
    file.write_text(text.replace("    check_plan\n", "    borg info\n") if tool == "borg" else text, encoding="utf-8")
    stub.write_text('#!/bin/sh\necho "LC_ALL is $LC_ALL" >&2\nexit 3\n')
    stub.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LC_ALL": "zh_CN.GBK", "LANG": "zh_CN.GBK"}
    done = subprocess.run(["bash", str(file), "--dry-run"], capture_output=True, text=True, check=False, env=env)
    assert "LC_ALL is " + {"sha256sum": "C\n", "borg": "C.UTF-8\n"}[tool] in done.stderr


@pytest.mark.parametrize("argv", [["--what"], ["--log"]])
def test_options_that_are_unknown_change_nothing(argv: list[str], tmp_path: Path):
    file = tmp_path / "script.sh"
    file.write_text(script(everything(), "advanced"), encoding="utf-8")
    done = subprocess.run(["bash", str(file), *argv], capture_output=True, check=False)
    assert done.returncode in (1, 2)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60).filter(lambda raw: b"\0" not in raw))
def test_every_name_is_one_word_of_bash(raw: bytes):
    text = quoted(os.fsdecode(raw))
    line = f"printf '%s\\0' {text}".encode()
    done = subprocess.run(["bash"], input=line, capture_output=True, check=True)
    assert done.stdout == raw + b"\0"
    text.encode()  # every byte of a script is UTF-8


NAMES = st.one_of(
    st.binary(min_size=1, max_size=20).filter(lambda raw: b"\0" not in raw).map(os.fsdecode),
    st.text(st.sampled_from("$`'\"\\;&|<>(){}[]*?!#~ \n\t-=%é\u2019"), min_size=1, max_size=12),
)


@settings(max_examples=12, deadline=None)
@given(name=NAMES, more=NAMES, form=st.sampled_from(FORMS))
def test_every_function_of_a_step_gets_its_names_as_they_are(name: str, more: str, form: str):
    """The whole script is run by bash; its steps and checks write down what they are given."""
    made = everything(name, more)
    calls = [_WORDS[step.op](step, step.params) for step in made.steps]
    words = [["" if word is None else str(word) for word in call] for call in calls]
    noted = "".join(f"{call[0]}() {{ printf '%s\\0' {call[0]} \"$@\" >&3; }}\n" for call in words)
    silent = "".join(
        f"{one}() {{ :; }}\n" for one in ("check_tools", "ask_passphrase", "read_manifest", "look", "finish")
    )
    with tempfile.TemporaryDirectory() as place:
        begun = script(made, form).removesuffix('main "$@"\n')
        file = Path(place) / "script.sh"
        file.write_text(f'{begun}{noted}{silent}exec 3>{place}/noted\nmain "$@"\n', encoding="utf-8")
        argv = ["bash", str(file), *(["--yes"] if form == "advanced" else [])]
        done = subprocess.run(argv, capture_output=True, check=False, cwd=place)
        assert done.returncode == 0, done.stderr
        assert done.stderr == b""
        assert (Path(place) / "noted").read_bytes() == b"".join(
            os.fsencode(f"{word}\0") for call in words for word in call
        )
        assert sorted(os.listdir(place)) == ["noted", "script.sh"]


def test_the_python_of_a_script_runs_with_any_python_from_3_6():
    text = script(everything(), "simple")
    code = text[text.index("<<'PHPBORG_PYTHON'") :].split("\n", 1)[1].split("\nPHPBORG_PYTHON\n")[0]
    tree = ast.parse(code, feature_version=(3, 6))
    names = [one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.ClassDef)]
    assert len(names) == len(set(names))
    assert "rewrite" in names
    # Nothing of ours is imported: the script stands alone.
    imported = {one.module or "" for one in tree.body if isinstance(one, ast.ImportFrom)}
    imported |= {name.name for one in tree.body if isinstance(one, ast.Import) for name in one.names}
    assert imported <= {"json", "os", "sys", "re", "typing", "urllib.parse"}


def test_what_the_engine_is_asked_is_what_the_worker_would_ask(tmp_path: Path):
    """The script's own Python, fed with the plan and the manifest, posts the filled steps."""
    options = Options(placement="other_project", project_name="two", path="/srv/two", ports="none")
    made = plan(PROJECT, options)
    text = script(made, "simple")
    code = text[text.index("<<'PHPBORG_PYTHON'") :].split("\n", 1)[1].split("\nPHPBORG_PYTHON\n")[0]
    for step in made.steps:
        if not step.op.startswith("create_"):
            continue
        fed = f"{made.canonical}\n{json.dumps(sample.MANIFEST)}"
        words = [sys.executable, "-c", code, "ask", str(step.number)]
        said = subprocess.run(words, input=fed, capture_output=True, text=True, check=True).stdout.splitlines()
        filled = fill(step.op, step.params, sample.MANIFEST, made.renames, bodies.rewrite)
        expected = [(path, json.loads(json.dumps(body))) for path, body in requests(step.op, filled)]
        assert [(path, json.loads(body)) for path, body in zip(said[::2], said[1::2], strict=True)] == expected
