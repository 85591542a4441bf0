"""Containers of others that only had to be stopped: what becomes of them is told, and undoes nothing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest
from django.template.loader import render_to_string

from dockerops.inventory import Inventory, Running
from dockerops.models import DockerRestore
from dockerops.plan import DockerPlan, Step
from dockerops.run_errors import NotAsInArchive
from dockerops.services import planning, proving, undoing
from dockerops.services.restore_run import DockerRestoreRun, _findings
from servers.errors import DockerRefused


class FakeContext:
    """Keeps the rows of steps."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.stop = self

    def check(self) -> None:
        pass

    def phase(self, name: str) -> None:
        pass

    @contextmanager
    def step(self, code: str, title: str, **facts: Any) -> Any:
        self.rows.append({})
        yield self.rows[-1]


class FakeCarrier:
    """Nothing succeeds."""

    def carry(self, step: Step, row: dict[str, Any]) -> None:
        raise DockerRefused("proxy has ended with exit 1")


def run() -> DockerRestoreRun:
    made = object.__new__(DockerRestoreRun)
    made.context, made.findings, made.at, made._phases = FakeContext(), [], "", {}  # type: ignore[assignment]
    return made


def step(op: str, why: str = "", **params: Any) -> Step:
    return Step(1, op, {"container": "proxy", **params}, why, {"name": "proxy", "seconds": 1})


@pytest.mark.parametrize(("op", "why"), [("start", "again"), ("start", "again_paused"), ("healthy", "again")])
def test_fake_a_container_of_others_that_is_not_well_is_a_note(op: str, why: str) -> None:
    made = run()
    made._carry(FakeCarrier(), step(op, why))  # type: ignore[arg-type]
    assert [(one.kind, one.path) for one in made.findings] == [("docker_others", "proxy")]


@pytest.mark.parametrize(("op", "why"), [("start", ""), ("healthy", ""), ("stop_container", "uses")])
def test_fake_anything_else_that_is_refused_undoes_all(op: str, why: str) -> None:
    made = run()
    with pytest.raises(DockerRefused):
        made._carry(FakeCarrier(), step(op, why))  # type: ignore[arg-type]
    assert made.findings == []


def prove(state: str, *steps: Step, done: dict[int, dict[str, Any]] | None = None) -> None:
    plan = DockerPlan("a", "", "", "", "", steps, {}, (), ())
    there = Inventory(containers=(Running("proxy", state=state),))
    proving._states(plan, there, done or {})


class FakeEngine:
    """Answers an inventory, and says that it was asked."""

    def __init__(self, told: list[str]) -> None:
        self.told = told

    def inventory(self, *_: Any) -> Inventory:
        self.told.append("inventory")
        return Inventory()


class FakeTeller(FakeCarrier):
    """Says what it carries out."""

    def __init__(self, told: list[str]) -> None:
        self.told = told

    def carry(self, step: Step, row: dict[str, Any]) -> Any:
        self.told.append(step.op)
        return {}


def test_fake_who_is_there_is_asked_once_more_right_before_the_first_that_touches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    made, before = run(), Inventory(hostname="before")
    ops = ("create_volume", "extract", "stop_container", "exchange", "create_container")
    made.plan = DockerPlan("a", "", "", "", "", tuple(step(op) for op in ops), {}, (), ())
    made.engine, made._asked_again, made._there = FakeEngine(told), False, before  # type: ignore[assignment]
    made.restore = DockerRestore()
    monkeypatch.setattr(planning, "check_containers", lambda *seen: told.append(f"checked {seen[2].hostname}"))
    monkeypatch.setattr(undoing, "held", lambda context, kind: [kind])
    made.context.release = told.append  # type: ignore[method-assign,assignment]
    made._carry_all(FakeTeller(told))  # type: ignore[arg-type]
    # What was extracted and not used goes before a container starts that may give it to its own user.
    assert told == [*ops[:2], "inventory", "checked before", *ops[2:4], "restore_staging", *ops[4:]]


class FakeKiller(FakeCarrier):
    """What it stops is killed."""

    def carry(self, step: Step, row: dict[str, Any]) -> Any:
        return {"killed": "it did not end within 60 s"}


def test_fake_a_container_that_was_killed_is_a_note() -> None:
    made = run()
    made._carry(FakeKiller(), step("stop_container", "uses"))  # type: ignore[arg-type]
    assert [(one.kind, one.path) for one in made.findings] == [("docker_killed", "proxy")]


@pytest.mark.parametrize(("same", "told"), [(False, ["docker_other_image"]), (True, [])])
def test_an_image_that_means_another_by_now_is_a_note(same: bool, told: list[str]) -> None:
    pulled = Step(1, "pull_image", {"reference": "web:1", "id": "sha256:old", "tag": "web:1"})
    found = _findings(pulled, {"id": "sha256:new", "same": same})
    assert [one.kind for one in found] == told
    assert all((one.path, one.message) == ("web:1", "sha256:old → sha256:new") for one in found)


@pytest.mark.parametrize(
    ("ops", "said"),
    [
        (("exchange", "compose_up"), "compose"),
        (("create_container", "start"), "former"),
        (("exchange", "create_container"), "nothing"),
    ],
)
def test_what_became_of_containers_is_said_as_it_was_planned(ops: tuple[str, ...], said: str) -> None:
    plan = DockerPlan("a", "", "", "", "", tuple(step(op) for op in ops), {}, (), ())
    assert plan.brings_up == said
    page = render_to_string("dockerops/_outcome.html", {"restore": DockerRestore(state="done"), "plan": plan})
    assert ("Compose has made" in page, "former states" in page) == (said == "compose", said == "former")


def test_the_proof_asks_for_no_more_than_the_steps_did() -> None:
    started, watched = step("start", state="running"), Step(2, "healthy", {"container": "proxy", "seconds": 1})
    prove("running", started, watched)
    prove("exited", started, watched, done={2: {"state": "exited"}})
    prove("restarting", started)
    prove("exited", step("start", "again", state="running"), step("healthy", "again"))
    with pytest.raises(NotAsInArchive):
        prove("exited", started, watched, done={2: {"state": "running"}})
    with pytest.raises(NotAsInArchive):
        prove("running", step("start", state="paused"))
