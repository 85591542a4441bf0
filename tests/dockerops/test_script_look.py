"""The look of a script before it touches anything: the rules, on what an inspection says (made up here)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dockerops.choice import Choice
from dockerops.inventory import Inventory
from dockerops.options import Options
from dockerops.plan import DockerPlan
from dockerops.script import script
from dockerops.scripts.looking import changes
from tests.dockerops import sample
from tests.dockerops.test_conflicts import PROJECT
from tests.dockerops.test_held_plan import FILES, NFS, PATH, archived, there
from tests.dockerops.test_planning import plan

ODD = os.fsdecode(b"/srv/caf\xe9")


def inspected() -> list[dict[str, Any]]:
    """The containers of the sample as an engine says of them."""
    rows = []
    for one in Inventory.from_json(sample.there()).containers:
        mounts = [{"Type": row.type, "Name": row.name, "Source": row.source} for row in one.mounts]
        rows.append({"Name": f"/{one.name}", "Id": one.id, "State": {"Status": one.state}, "Mounts": mounts})
    return rows


def of(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(row for row in rows if row["Name"] == f"/{name}")


def stored(made: DockerPlan) -> dict[str, Any]:
    """As a script reads it."""
    table: dict[str, Any] = json.loads(made.canonical)
    return table


def other(name: str, *mounts: dict[str, str], state: str = "running") -> dict[str, Any]:
    return {"Name": f"/{name}", "Id": "f" * 64, "State": {"Status": state}, "Mounts": list(mounts)}


DATA = {"Type": "volume", "Name": "kiosk_data", "Source": "/var/lib/docker/volumes/kiosk_data/_data"}


def test_nothing_is_told_of_what_is_as_the_plan_saw_it():
    for made in (plan(PROJECT), plan(Choice()), plan(Choice("volumes", volumes=("kiosk_data",)))):
        assert changes(stored(made), inspected(), first=True) == []


CHANGES: dict[str, tuple[Any, str]] = {
    "gone": (lambda rows: rows.remove(of(rows, "kiosk_db_1")), "kiosk_db_1 is gone."),
    "stopped": (lambda rows: of(rows, "kiosk_db_1")["State"].update(Status="exited"), "kiosk_db_1 is exited now."),
    "made anew": (lambda rows: of(rows, "kiosk_db_1").update(Id="9" * 64), "kiosk_db_1 was made anew."),
    "another user": (
        lambda rows: rows.append(other("late", DATA)),
        "late uses /var/lib/docker/volumes/kiosk_data/_data.",
    ),
    "another user by its path": (
        lambda rows: rows.append(other("late", {"Type": "bind", "Source": DATA["Source"] + "/deep"})),
        "late uses /var/lib/docker/volumes/kiosk_data/_data.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("what", CHANGES)
def test_what_is_otherwise_is_told(what: str, first: bool):
    change, text = CHANGES[what]
    rows = inspected()
    change(rows)
    assert changes(stored(plan(PROJECT)), rows, first) == [text]


def test_who_does_not_run_or_sees_the_whole_machine_is_no_user():
    rows = [*inspected(), other("old", DATA, state="exited"), other("monitor", {"Type": "bind", "Source": "/"})]
    assert changes(stored(plan(PROJECT)), rows, first=True) == []


def test_the_one_that_holds_a_volume_for_this_script_is_no_user_of_it():
    """Only by then, only with its name and its label: another one stays one that others have."""
    made = stored(plan(FILES, there=there(NFS), raw=archived(NFS)))
    mark = made["token"][:8]
    assert mark
    held = {"Type": "volume", "Name": "kiosk_files", "Source": PATH}
    rows = {
        f"phpborg-{mark}-kiosk_files": mark,
        f"phpborg-{mark}-other": mark,
        "phpborg-ffffffff-kiosk_files": "ffffffff",
        "mine": mark,
    }
    holders = [{**other(name, held), "Config": {"Labels": {"phpborg.docker": label}}} for name, label in rows.items()]
    unlabelled = {**holders[0], "Config": {"Labels": None}}
    ours = f"phpborg-{mark}-kiosk_files uses {PATH}."
    others = [f"{name} uses {PATH}." for name in list(rows)[1:]]
    assert changes(made, holders, first=False) == others
    assert changes(made, holders, first=True) == [ours, *others]
    assert changes(made, [unlabelled], first=False) == [ours]


def test_one_that_only_stops_meanwhile_comes_back_into_the_state_that_was_seen():
    made = plan(Choice("volumes", volumes=("kiosk_data",)))
    rows = inspected()
    of(rows, "kiosk_db_1")["State"]["Status"] = "paused"
    assert changes(stored(made), rows, first=False) == ["kiosk_db_1 is paused now."]


def test_a_name_that_somebody_took_is_told():
    made = plan(PROJECT, Options(create_missing=True), sample.empty())
    assert changes(stored(made), [other("kiosk_web_1", state="exited")], first=True) == ["kiosk_web_1 is there now."]


def test_what_lies_now_where_nothing_was_is_told_only_before_the_first_step(tmp_path: Path):
    """Later it may be a volume that the script itself has made."""
    options = Options(placement="other_path", path=str(tmp_path))
    made = stored(plan(Choice("configs"), options))
    assert changes(made, [], first=True) == []
    target = Path(next(step["params"]["target"] for step in made["steps"] if step["op"] == "exchange"))
    target.parent.mkdir(parents=True)
    target.mkdir()
    assert changes(made, [], first=True) == []  # an empty directory hides nothing
    (target / "since").touch()
    assert changes(made, [], first=True) == [f"{target} is there now."]
    assert changes(made, [], first=False) == []


@pytest.mark.parametrize("form", ["first", "again"])
def test_the_scripts_own_python_says_the_same(form: str):
    made = plan(Choice("volumes", volumes=("kiosk_data",)))
    rows = [*inspected(), other("la\nte", DATA)]
    text = script(made, "simple")
    code = text[text.index("<<'PHPBORG_PYTHON'") :].split("\n", 1)[1].split("\nPHPBORG_PYTHON\n")[0]
    fed = f"{made.canonical}\n{json.dumps(rows)}"
    words = [sys.executable, "-I", "-c", code, "look", form]
    said = subprocess.run(words, input=fed, capture_output=True, text=True, check=True).stdout
    assert said == "la?te uses /var/lib/docker/volumes/kiosk_data/_data.\n"


def test_a_script_looks_before_everything_and_again_before_it_touches_what_is_there():
    for form, mark in (("simple", r"    # {}."), ("advanced", "    step {} ")):
        made = plan(PROJECT)
        main = script(made, form).split("main() {", 1)[1].split("\n}\n", 1)[0]
        first = next(step for step in made.steps if step.op == "stop_container")
        order = [main.index("look first"), main.index("ask_passphrase"), main.index(mark.format(1).replace("\\", ""))]
        order += [main.index("look again"), main.index(mark.format(first.number))]
        assert order == sorted(order)
        assert main.count("look again") == 1
