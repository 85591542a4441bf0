"""What a session will do is read from the very request that is sent, and shows no secret."""

from __future__ import annotations

import json

import pytest

from recovery.engines.base import Hints
from recovery.engines.mongodb import Mongodb
from recovery.engines.place import Place
from recovery.models import Session
from recovery.services import serving, session_plan
from tests.engines import engine_parts
from tests.engines.test_found_json import POSTGRESQL_WHOLE

pytestmark = pytest.mark.django_db


@pytest.fixture
def session() -> Session:
    asked, login = serving.request(POSTGRESQL_WHOLE, "postgres:15", read_only=True)
    return Session(
        archive_name="nightly",
        image="postgres:15",
        asked={**asked.args, "engine": "/run/docker.sock"},
        secrets=Session._meta.get_field("secrets").seal(json.dumps(dict(asked.secrets))),
        password=Session._meta.get_field("password").seal(login.password),
    )


def test_the_steps_are_those_of_the_request(session):
    steps = session_plan.steps(session)
    assert [step.code for step in steps] == ["view", "mount", "layer", "prepare", "serve", "port", "adminer"]
    prepare, serve = (step.command for step in steps if step.code in ("prepare", "serve"))
    assert "--single" in prepare
    assert "--single" not in serve
    for command in (prepare, serve):
        assert command.startswith("docker --host unix:///run/docker.sock run --rm ")
        assert "--network none" in command
        assert "postgres:15" in command
        assert "layers/data/merged" in command
    assert all(step.undo for step in steps)
    assert "15432" in steps[-2].sentence
    assert "--network none" in steps[-1].command


def test_an_image_that_is_not_there_is_fetched_before_anything_is_mounted(session):
    session.asked["pull"] = True
    steps = session_plan.steps(session)
    assert [step.code for step in steps][:3] == ["view", "image", "mount"]
    assert steps[1].command == "docker --host unix:///run/docker.sock pull --quiet postgres:15"


def test_no_secret_is_in_it(session):
    shown = json.dumps(session_plan.as_json(session))
    assert session.password.reveal() not in shown
    assert "SCRAM-SHA-256$" not in shown
    assert "CREATE ROLE" not in shown


def test_a_mongodb_is_asked_without_a_program_and_no_secret_is_in_what_is_asked(tmp_path):
    found = Mongodb().look(Place(engine_parts.made_mongodb(tmp_path / "m", "6.0")), Hints())
    assert found is not None
    asked, login = serving.request(found, "mongo:6.0", read_only=True)
    session = Session(archive_name="nightly", image="mongo:6.0", asked={**asked.args, "engine": "/run/docker.sock"})
    steps = session_plan.steps(session)
    assert [step.code for step in steps] == ["view", "mount", "layer", "prepare", "serve", "port"]
    assert "37017" in steps[-1].sentence
    assert "--noauth" in steps[3].command
    assert "--auth" in steps[4].command
    told = json.dumps([dict(asked.args), session_plan.as_json(session)])
    assert login.password not in told
    assert "createUser" not in told
    assert login.password in asked.secrets["login"]
