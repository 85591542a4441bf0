"""The typed shapes: what is written reads back equal, whatever names servers choose, and secrets stay out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dockerops import typed
from dockerops.choice import Choice
from dockerops.errors import ManifestUnreadable
from dockerops.inventory import Inventory
from dockerops.manifest import Contents, parse
from dockerops.options import Options
from dockerops.plan import DockerPlan, Note, Protected, Step
from dockerops.shape import Port
from tests.dockerops import sample

NAMES = st.binary(max_size=40).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


def test_the_manifest_is_read_whole():
    found = sample.contents()
    web = found.container("kiosk_web_1")
    assert web is not None
    assert web.shape is not None
    assert web.shape.ports == (Port("80/tcp", "", "8080"),)
    assert web.shape.depends == ("db:service_healthy:false",)
    assert [link.network for link in web.shape.links] == ["kiosk_default", "proxy"]
    assert web.shape.links[1].addresses == ("172.30.0.20",)
    assert found.network("proxy").subnets == ("172.30.0.0/24",)  # type: ignore[union-attr]
    assert found.volume("kiosk_files").option_names == ("device", "o", "type")  # type: ignore[union-attr]


def test_what_is_public_holds_no_secret_and_still_answers_questions():
    public = sample.contents().public()
    text = json.dumps(public.as_json())
    assert not [canary for canary in sample.CANARIES if canary in text]
    again = Contents.from_json(json.loads(text))
    assert again == public
    assert [one.shape for one in again.containers] == [one.shape for one in sample.contents().containers]


@pytest.mark.parametrize("data", [b"", b"[]", b'{"format": 2}', b"\xff", b'{"format": "1"}'])
def test_a_manifest_of_another_form_is_refused(data):
    with pytest.raises(ManifestUnreadable):
        parse(data)


def test_whatever_a_server_answers_an_inventory_comes_out():
    strange = {"containers": [{"name": 5}, None, {"name": "a", "ports": "x", "mounts": [{"type": []}]}], "paths": [1]}
    found = Inventory.from_json(strange)
    assert [one.name for one in found.containers] == ["", "a"]
    assert Inventory.from_json(None) == Inventory()
    assert Inventory.from_json(sample.inventory().as_json()) == sample.inventory()


@settings(deadline=None)
@given(NAMES, NAMES)
def test_every_name_survives_a_database(name, key):
    written = typed.stored({key: [name]})
    json.dumps(written).encode("utf-8")
    assert "\0" not in "".join(written)
    assert not any("\ud800" <= one <= "\udfff" for one in str(written))
    assert typed.restored(json.loads(json.dumps(written))) == {key: [name]}


@settings(deadline=None)
@given(NAMES, st.integers(0, 2**40))
def test_a_plan_reads_back_equal_with_the_same_hash(name, size):
    plan = DockerPlan(
        archive_name=name,
        archive_id="ab" * 32,
        repository="ssh://x/./r",
        server_name=name,
        socket="/run/docker.sock",
        steps=(
            Step(
                1, "exchange", {"target": name, "items": [name], "whole": True}, "volume", {"name": name}, (name,), size
            ),
        ),
        renames={"volumes": {name: "b"}},
        notes=(Note("no_secret", {"count": size, "name": name}),),
        protected=(Protected("path", name, "aside", name, None),),
    )
    again = DockerPlan.from_json(json.loads(json.dumps(plan.as_json())))
    assert again == plan
    assert again.hash == plan.hash == plan.as_json()["hash"]
    assert DockerPlan.from_json({**plan.as_json(), "hash": "0"}).hash == plan.hash


def test_another_step_is_another_hash():
    plan = DockerPlan("a", "b", "c", "d", "e", steps=(Step(1, "start", {"container": "x", "state": "running"}),))
    other = DockerPlan("a", "b", "c", "d", "e", steps=(Step(1, "start", {"container": "x", "state": "paused"}),))
    assert plan.hash != other.hash


def test_choice_and_options_read_back_and_unknown_words_do_not():
    choice = Choice("custom", volumes=("a\udcff",), files={"a\udcff": ("b/c",)})
    assert Choice.from_json(choice.as_json()) == choice
    assert Choice.from_json({"mode": "rm"}) == Choice()
    options = Options(placement="other_project", project_name="x", stop=("a",))
    assert Options.from_json(options.as_json()) == options
    assert Options.from_json({"placement": "moon", "protect": 5}) == Options()
