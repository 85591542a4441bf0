"""Labels of an image are no word of whoever runs it: they make a container nobody's, and hide none."""

from __future__ import annotations

import json

import pytest

from servers.remote.dockers import reading
from servers.remote.probes import docker_said
from tests.servers.test_probes_docker import LABEL, _Server, compose, engine, facts, inspected

__all__ = ["engine"]
MARKS = {LABEL + "config-hash": "ab" * 32, LABEL + "container-number": "1"}
MADE = {**compose("db"), **MARKS}


@pytest.mark.parametrize(
    ("own", "image", "kept"),
    [
        # An image that says that its containers are the shop's, and a plain `run` of it.
        ({}, {**compose("db"), **MARKS}, set()),
        ({"mine": "x"}, {**compose("db"), **MARKS, "mine": "x"}, {"mine"}),
        # One that Compose has built and made: its image says the same as it.
        (MARKS, {LABEL + "project": "shop", LABEL + "service": "db"}, {"project", "service", *MARKS}),
        (
            {**compose("db"), **MARKS},
            {**compose("db"), **MARKS, LABEL + "config-hash": "other"},
            {*compose("db"), *MARKS},
        ),
        ({}, {"com.docker.swarm.service.id": "x", "phpborg.drill": "y", "phpborg.docker": "z"}, set()),
        ({"phpborg.drill": "t"}, {"phpborg.drill": "y"}, {"phpborg.drill"}),
        (MADE, {"com.docker.swarm.task": "x"}, {*MADE}),
    ],
)
def test_what_an_image_says_of_its_containers_is_not_believed(
    own: dict[str, str], image: dict[str, str], kept: set[str]
):
    said = {"Config": {"Labels": {**image, **own}}}
    before = json.dumps(said)
    found = docker_said.own_labels(said, {"Config": {"Labels": image}})
    names = {one if "." in one or one == "mine" else LABEL + one for one in kept}
    assert set(found["Config"]["Labels"]) == names
    assert json.dumps(said) == before


def test_an_image_hides_no_container_and_puts_none_into_a_project(engine: _Server):
    labels = {**compose("db"), **MARKS, "phpborg.drill": "x"}
    one = inspected("liar", labels=labels)
    engine.answers["/v1.41/containers/json?all=1"] = [{"Id": one["Id"], "Labels": labels}]
    engine.answers[f"/v1.41/containers/{one['Id']}/json"] = one
    engine.answers["/v1.41/images/sha256%3Aliar/json"] = {"Config": {"Labels": labels}}
    found = facts()
    assert [(row["name"], row["project"]) for row in found["containers"]] == [("liar", None)]
    assert found["projects"] == []


@pytest.mark.parametrize(
    ("name", "label", "ours"),
    [
        ("phpborg-drill-0123abcd_web_1", {"phpborg.drill": "0123ABCD4567"}, True),
        ("probe-1-phpborg-drill-0123abcd", {"phpborg.drill": "0123abcd4567"}, True),
        ("phpborg-0123abcd-1", {"phpborg.docker": "0123abcd"}, True),
        ("phpborg-0123abcd-0", {"phpborg.session": "0123abcd"}, True),
        ("shop_db_1", {"phpborg.drill": "0123abcd4567"}, False),
        ("shop_db_1", {"phpborg.docker": "0123abcd", "phpborg.session": "x", "phpborg.drill": ""}, False),
        ("phpborg-drill-0123abcd_web_1", {}, False),
        ("phpborg-drill-_web_1", {"phpborg.drill": ""}, False),
    ],
)
def test_only_what_we_run_ourselves_is_none_of_what_is_there(
    engine: _Server, name: str, label: dict[str, str], ours: bool
):
    """A label alone is anybody's: it hides nothing from a backup."""
    one = inspected(name, labels=label)
    engine.answers["/v1.41/containers/json?all=1"] = [{"Id": one["Id"]}]
    engine.answers[f"/v1.41/containers/{one['Id']}/json"] = one
    assert [row["name"] for row in facts()["containers"]] == ([] if ours else [name])
    assert reading.is_ours(one) is ours
