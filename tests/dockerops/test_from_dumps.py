"""Which databases come back from their dumps, what is put back empty for them, and what the plan says of the others."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest

from backups.borg import argv
from dockerops import script
from dockerops.choice import Choice
from dockerops.forms import OptionsForm
from dockerops.from_dumps import torn_dumps
from dockerops.options import Options
from dockerops.plan import DockerPlan
from dockerops.services.archive_reading import Count
from dockerops.services.extracting import paths_of, portion_of
from tests.dockerops import sample
from tests.dockerops.test_conflicts import PROJECT
from tests.dockerops.test_planning import plan, steps

DATA = "/var/lib/docker/volumes/kiosk_data/_data"
Raw = dict[str, Any]


def dumped(**database: Any) -> Raw:
    """The sample's database ran on, and was dumped."""
    raw = sample.manifest()
    raw["quiesced"] = []
    raw["containers"][0].update(database)
    return raw


def torn(made: DockerPlan) -> dict[str, Any]:
    return {note.code: note.facts for note in made.notes if note.code.startswith("torn_")}


def test_a_database_comes_back_from_its_dump_before_anybody_else_is_started():
    made = plan(PROJECT, raw=dumped())
    order = steps(made, "create_container", "start", "load_dump", "healthy")
    assert order == [
        ("create_container", "kiosk_db_1"),
        ("create_container", "kiosk_web_1"),
        ("start", "kiosk_db_1"),
        ("load_dump", "kiosk_db_1"),
        ("healthy", "kiosk_db_1"),
        ("start", "kiosk_web_1"),
        ("healthy", "kiosk_web_1"),
    ]
    (load,) = [step for step in made.steps if step.op == "load_dump"]
    assert load.params == {
        "container": "kiosk_db_1",
        "engine": "postgresql",
        "stream": "/var/lib/phpborg/docker/dumps/0.sql",
        "bytes": 90_000,
        "seconds": 900,
    }
    (extract,) = [step for step in made.steps if step.params.get("without")]
    assert (extract.params["directory"], extract.params["without"]) == ("/var/lib/docker", [DATA])
    assert extract.bytes == 5_000  # the anonymous volume alone
    (empty,) = [step for step in made.steps if step.op == "exchange" and step.params["target"] == DATA]
    assert (empty.why, "dump" in empty.sentence) == ("empty", True)
    assert list(torn(made)) == ["torn_loaded"]
    assert torn(made)["torn_loaded"]["places"] == "kiosk_data"
    assert "dumps" not in {note.code for note in made.notes}
    assert DockerPlan.from_json(made.as_json()).hash == made.hash


def test_one_that_nobody_says_to_need_it_waits_all_the_same():
    raw = dumped()
    raw["containers"][1]["create"]["Labels"]["com.docker.compose.depends_on"] = ""
    raw["containers"][1]["name"] = raw["projects"][0]["containers"][1] = "a_web"
    made = plan(PROJECT, Options(create_missing=True), sample.empty(), raw)
    order = steps(made, "start", "load_dump")
    assert order.index(("load_dump", "kiosk_db_1")) < order.index(("start", "a_web"))


@pytest.mark.parametrize(
    ("options", "database", "code"),
    [
        (Options(as_it_lay=("kiosk_db_1",)), {}, "torn_chosen"),
        (Options(start="none"), {}, "torn_not_started"),
        (None, {"state": "exited"}, "torn_not_running"),
    ],
)
def test_otherwise_its_volume_is_put_back_as_it_lay_and_that_is_told(options: Any, database: Raw, code: str):
    made = plan(PROJECT, options, raw=dumped(**database))
    assert list(torn(made)) == [code]
    assert not steps(made, "load_dump")
    assert not [step for step in made.steps if step.params.get("without")]
    (note,) = [note for note in made.notes if note.code == code]
    assert "kiosk_data" in note.sentence
    assert "dumps/0.sql" in note.sentence


def test_of_mongodb_by_the_plan_alone_the_dump_is_not_loaded_and_that_is_told():
    """No server of MongoDB can be had here, and its tool takes its password where it takes the dump."""
    raw = dumped()
    raw["dumps"][0]["engine"] = "mongodb"
    raw["containers"][0]["mounts"][0]["destination"] = "/data/db"
    made = plan(PROJECT, raw=raw)
    assert list(torn(made)) == ["torn_other_engine"]
    assert not steps(made, "load_dump")


def test_a_volume_that_is_not_restored_keeps_its_data():
    made = plan(Choice("custom", containers=("kiosk_db_1",)), raw=dumped())
    assert list(torn(made)) == ["torn_kept"]
    assert not steps(made, "load_dump")


def test_the_data_alone_are_put_back_and_what_they_are_is_told():
    for options in (None, Options(placement="other_path", path="/srv/x")):
        made = plan(Choice("volumes", volumes=("kiosk_data",)), options, raw=dumped())
        assert list(torn(made)) == ["torn_not_made"]
        assert not [step for step in made.steps if step.params.get("without")]


def test_data_where_no_image_begins_anew_are_put_back():
    raw = dumped()
    raw["containers"][0]["create"]["Cmd"] = ["postgres", "-D", "/data/pg"]
    assert list(torn(plan(PROJECT, raw=raw))) == ["torn_own_place"]
    raw = dumped()
    raw["containers"][0]["mounts"][0]["destination"] = "/elsewhere"
    assert list(torn(plan(PROJECT, raw=raw))) == ["torn_own_place"]
    # In the container alone: nothing of it would be there without its dump.
    raw["containers"][0]["mounts"] = []
    assert list(torn(plan(PROJECT, raw=raw))) == ["torn_loaded"]


def test_what_was_paused_is_consistent_and_is_put_back():
    assert torn_dumps(sample.contents()) == ()
    assert torn(plan(PROJECT)) == {}


def test_data_in_a_directory_of_the_project_begin_empty_too():
    raw = dumped()
    mount = {
        "type": "bind",
        "name": None,
        "source": "/opt/app/pg",
        "destination": "/var/lib/postgresql",
        "writable": True,
    }
    raw["containers"][0]["mounts"] = [mount]
    made = plan(PROJECT, raw=raw)
    (extract,) = [step for step in made.steps if step.params.get("without")]
    assert (extract.params["directory"], extract.params["without"]) == ("/opt", ["/opt/app/pg"])
    assert steps(made, "load_dump")


def test_the_directory_that_postgresql_is_told_goes_before_the_usual_one():
    raw = dumped()
    raw["containers"][0]["create"]["Env"].append("PGDATA=/data/pg")
    raw["containers"][0]["mounts"][0]["destination"] = "/data"
    made = plan(PROJECT, raw=raw)
    assert steps(made, "load_dump")
    # What lies beside it is in no dump.
    (extract,) = [step for step in made.steps if step.params.get("without")]
    assert extract.params["without"] == [f"{DATA}/pg"]
    assert torn(made)["torn_loaded"]["places"] == "kiosk_data/pg"
    (back,) = [step for step in made.steps if step.op == "exchange" and step.params["target"] == DATA]
    assert back.why == "volume"
    mount = {"type": "bind", "name": None, "source": "/opt/app/data", "destination": "/data", "writable": True}
    raw["containers"][0]["mounts"] = [mount]
    (extract,) = [step for step in plan(PROJECT, raw=raw).steps if step.params.get("without")]
    assert extract.params["without"] == ["/opt/app/data/pg"]


def test_no_database_is_initialised_in_a_volume_in_whose_top_something_else_lies():
    raw, there = dumped(), sample.there()
    nfs = {"type": "nfs", "device": ":/export/data", "o": "addr=192.0.2.4,rw"}
    next(one for one in raw["volumes"] if one["name"] == "kiosk_data").update(options=nfs)
    known = next(one for one in there["volumes"] if one["name"] == "kiosk_data")
    known.update(options=nfs, option_names=sorted(nfs))
    made = plan(PROJECT, there=there, raw=raw)
    assert "hold_volume" in [step.op for step in made.steps]
    assert list(torn(made)) == ["torn_inside"]
    assert not steps(made, "load_dump")
    # In a directory below the top it is alone.
    raw["containers"][0]["create"]["Env"].append("PGDATA=/var/lib/postgresql/data/pg")
    made = plan(PROJECT, there=there, raw=raw)
    assert list(torn(made)) == ["torn_loaded"]


def test_a_dump_that_failed_is_told_unless_its_container_rested():
    raw = dumped()
    raw["dumps"] = []
    raw["not_included"] = [{"kind": "dump", "name": "kiosk_db_1", "reason": "exit 1"}]
    assert list(torn(plan(PROJECT, raw=raw))) == ["torn_not_dumped"]
    raw["quiesced"] = sample.manifest()["quiesced"]
    assert torn(plan(PROJECT, raw=raw)) == {}


def test_what_comes_empty_counts_as_its_directory_alone():
    params = {"directory": "/srv", "sources": ["/srv/a", "/srv/b"], "without": ["/srv/a/pg"]}
    assert paths_of([params]) == ["/srv/a", "/srv/b", "/srv/a/pg"]
    counts = {b"srv/a": Count(10, 1000), b"srv/b": Count(1, 5), b"srv/a/pg": Count(7, 900)}
    portion = portion_of(params, counts)
    assert portion.expected == Count(5, 105)
    words = argv.extract("borg", "/r", "a", [b"srv/a"], empty=portion.empty)
    (rule,) = [str(word) for word in words if str(word).startswith("--exclude=")]
    assert rule == "--exclude=re:^srv/a/pg/"
    odd = argv.below(b"srv/a.b (x)/caf\xe9")
    assert re.search(odd.removeprefix("re:"), os.fsdecode(b"srv/a.b (x)/caf\xe9/file"))
    assert not re.search(odd.removeprefix("re:"), os.fsdecode(b"srv/a.b (x)/caf\xe9"))
    assert not re.search(odd.removeprefix("re:"), os.fsdecode(b"srv/axb (x)/caf\xe9/file"))


@pytest.mark.parametrize("form", script.FORMS)
def test_a_script_says_that_it_does_not_load_dumps_before_it_touches_anything(form: str):
    text = script.script(plan(PROJECT, raw=dumped()), form)
    main = text[text.index("\nmain() {") :]
    assert main.index("refuse_dumps kiosk_db_1") < main.index("check_tools") < main.index("stop_container")
    assert "refuse_dumps" not in script.script(plan(PROJECT), form)


def test_each_of_them_can_be_had_as_it_lay():
    torn = torn_dumps(sample.contents(dumped()))
    form = OptionsForm(torn=torn, initial=OptionsForm.initial_of(Options()))
    assert form.initial["dumps"] == ["kiosk_db_1"]
    data = {name: value for name, value in OptionsForm.initial_of(Options()).items() if value not in (False, ())}
    for ticked, lay in ((["kiosk_db_1"], ()), ([], ("kiosk_db_1",))):
        form = OptionsForm({**data, "dumps": ticked}, torn=torn)
        assert form.is_valid(), form.errors
        assert form.options().as_it_lay == lay
    again = OptionsForm(torn=torn, initial=OptionsForm.initial_of(Options(as_it_lay=("kiosk_db_1",))))
    assert again.initial["dumps"] == []
