"""When a container counts as well, with an engine that is fake."""

from __future__ import annotations

from typing import Any

import pytest

from servers.remote import wire
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
