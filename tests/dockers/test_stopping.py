"""How a restore stops containers, with an engine that is fake."""

from __future__ import annotations

from typing import Any

import pytest

from servers.remote import wire
from servers.remote.dockers import containers, quiesce
from servers.remote.dockers.steps import Context


class FakeEngine:
    """One container that runs until it is stopped."""

    def __init__(self, code: int = 0, policy: str = "no", own: Any = None) -> None:
        self.code = code
        self.said: dict[str, Any] = {
            "Id": "1",
            "Name": "/db",
            "State": {"Status": "running", "ExitCode": 0},
            "Config": {"StopTimeout": own, "Labels": {}},
            "HostConfig": {"RestartPolicy": {"Name": policy, "MaximumRetryCount": 5}},
        }
        self.posts: list[tuple[str, Any, dict[str, Any]]] = []

    def container(self, name: str) -> dict[str, Any]:
        return self.said

    def post(self, path: str, body: Any = None, seconds: float = 0, **query: Any) -> None:
        self.posts.append((path.rpartition("/")[2], body, query))
        if path.endswith("/stop"):
            self.said = {**self.said, "State": {"Status": "exited", "ExitCode": self.code}}


def stop(engine: FakeEngine, seconds: int | None = None) -> dict[str, Any]:
    context = Context(engine, "t", wire.Control(60), None, [], 1)  # type: ignore[arg-type]
    step = containers.StopContainer(context, {"container": "db", "seconds": seconds})
    step.prepare()
    return step.apply(lambda more: None)


@pytest.mark.parametrize(("own", "asked", "given"), [(None, None, 60), (300, None, 300), (0, None, 60), (300, 5, 5)])
def test_fake_a_container_has_as_long_as_a_backup_gives_it(own: Any, asked: int | None, given: int) -> None:
    engine = FakeEngine(own=own)
    stop(engine, asked)
    assert engine.posts[-1] == ("stop", None, {"t": given})
    if asked is None:
        assert quiesce._patience(engine.said) == given


def test_fake_one_that_had_to_be_killed_is_told() -> None:
    assert "power cut" in stop(FakeEngine(code=137))["killed"]
    assert stop(FakeEngine(code=143))["killed"] is None


@pytest.mark.parametrize(
    ("policy", "calmed"),
    [("always", True), ("on-failure", True), ("unless-stopped", False), ("no", False), ("", False)],
)
def test_fake_no_engine_that_is_started_anew_brings_it_back(policy: str, calmed: bool) -> None:
    engine = FakeEngine(policy=policy)
    former = dict(containers.policy_of(engine.said))
    stop(engine)
    orders = [body for order, body, _ in engine.posts if order == "update"]
    assert orders == ([{"RestartPolicy": {"Name": "no"}}] if calmed else [])
    engine.posts.clear()
    engine.said["HostConfig"] = {"RestartPolicy": {"Name": "no" if calmed else policy}}
    containers.give_back_policy(engine, engine.said, former)  # type: ignore[arg-type]
    assert [body for _, body, _ in engine.posts] == ([{"RestartPolicy": former}] if calmed else [])
