"""When a container counts as well, with an engine that is fake."""

from __future__ import annotations

from typing import Any

import pytest

from servers.remote import wire
from servers.remote.dockers.composing import ComposeUp
from servers.remote.dockers.starting import Healthy
from servers.remote.dockers.steps import Context


class FakeEngine:
    """One container that has ended."""

    def __init__(self, code: int, policy: str) -> None:
        self.said = {
            "Id": "1",
            "Name": "/job",
            "State": {"Status": "exited", "ExitCode": code, "Error": ""},
            "HostConfig": {"RestartPolicy": {"Name": policy}},
        }

    def container(self, name: str) -> dict[str, Any]:
        return self.said


class FakeCompose(ComposeUp):
    """Makes one container and says that all is well."""

    def _up(self) -> Any:
        self.engine.said["State"]["Status"] = "exited"  # type: ignore[attr-defined]
        return 0, ""


@pytest.mark.parametrize(("code", "good"), [(0, True), (3, False)])
def test_fake_what_compose_has_started_is_watched(code: int, good: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine(code, "no")
    monkeypatch.setattr(engine, "get", lambda path, **_: [], raising=False)
    context = Context(engine, "t", wire.Control(60), None, [], 1)  # type: ignore[arg-type]
    step = FakeCompose(context, {"project": "shop", "working_dir": "/srv/shop", "files": ["/srv/shop/c.yml"]})
    step.prepare()
    monkeypatch.setattr(engine, "get", lambda path, **_: [{"Id": "1"}])
    if good:
        assert step.apply(lambda more: None)["states"] == {"job": "exited"}
    else:
        with pytest.raises(wire.Refused, match="job has ended with exit 3"):
            step.apply(lambda more: None)


def watch(code: int, policy: str) -> dict[str, Any]:
    context = Context(FakeEngine(code, policy), "t", wire.Control(60), None, [], 1)  # type: ignore[arg-type]
    return Healthy(context, {"container": "job", "seconds": 1}).apply(lambda more: None)


@pytest.mark.parametrize("policy", ["", "no", "on-failure"])
def test_fake_one_that_has_done_its_work_is_well(policy: str) -> None:
    assert watch(0, policy) == {"state": "exited", "health": None}


@pytest.mark.parametrize(("code", "policy"), [(1, "no"), (137, "on-failure"), (0, "always"), (0, "unless-stopped")])
def test_fake_one_that_failed_or_was_to_stay_is_not(code: int, policy: str) -> None:
    with pytest.raises(wire.Refused, match="has ended"):
        watch(code, policy)
