"""Labels of an image are no word of whoever runs it: they make a container nobody's, and hide none."""

from __future__ import annotations

import json

import pytest

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


def test_a_container_of_a_drill_is_none_of_what_is_there(engine: _Server):
    one = inspected("drilled", labels={"phpborg.drill": "x"})
    engine.answers["/v1.41/containers/json?all=1"] = [{"Id": one["Id"]}]
    engine.answers[f"/v1.41/containers/{one['Id']}/json"] = one
    assert facts()["containers"] == []
