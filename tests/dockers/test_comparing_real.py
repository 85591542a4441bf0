"""What was made is compared with what had to be made: the same is no difference on any engine, and no value is told."""

from __future__ import annotations

from typing import Any

import pytest

from servers.remote.dockers import bodies, comparing
from servers.remote.dockers.engine import Engine as Client
from tests.dockers.test_bodies_real import CASES, PLAIN, SPEAKS, WAIT, make, name, row
from tests.dockers.world import inspected
from tests.support.bridged import Bridged

__all__ = ["name"]
pytestmark = pytest.mark.real


def differs(engine: Bridged, kept: dict[str, Any]) -> list[str]:
    with Client(str(engine.socket)) as client:
        said = comparing.compare(client, {"containers": [bodies.rewrite(kept, {})]})
    fields: list[str] = said["differs"][kept["name"]]
    return fields


@pytest.mark.parametrize("case", CASES)
def test_the_same_is_no_difference(pair: tuple[Bridged, Bridged], name: str, case: str) -> None:
    first, second = pair
    first.docker("create", "--name", name, *CASES[case])
    try:
        with Client(str(first.socket)) as client:
            kept = row(client, name)
        assert differs(second, kept) == ["name"]  # it is not there
        with Client(str(second.socket)) as client:
            make(client, kept, {})
        for engine in pair:
            assert differs(engine, kept) == []
            if "--privileged" not in CASES[case]:
                engine.docker("start", name)
                assert differs(engine, kept) == []
    finally:
        for engine in pair:
            engine.docker("rm", "--force", "--volumes", name, check=False)


def test_what_is_another_is_named_without_its_value(pair: tuple[Bridged, Bridged], name: str) -> None:
    first, second = pair
    first.docker("create", "--name", name, "--env", "A=canary-one", "--memory", "64m", PLAIN, *WAIT)
    second.docker("create", "--name", name, "--env", "A=canary-two", "--memory", "32m", PLAIN, *WAIT)
    second.docker("network", "create", f"{name}-net")
    second.docker("network", "connect", f"{name}-net", name)
    try:
        with Client(str(first.socket)) as client:
            kept = row(client, name)
        assert differs(second, kept) == ["Env", "HostConfig.Memory", "HostConfig.MemorySwap"]
        with Client(str(second.socket)) as client:
            there = row(client, name)
        assert differs(first, there) == ["Env", "HostConfig.Memory", "HostConfig.MemorySwap", f"Networks.{name}-net"]
    finally:
        for engine in pair:
            engine.docker("rm", "--force", "--volumes", name, check=False)
        second.docker("network", "rm", f"{name}-net", check=False)


def test_what_the_engine_fills_in_and_the_image_adds_is_no_difference(pair: tuple[Bridged, Bridged], name: str) -> None:
    """As an engine with other defaults, or an image before its last change, has it in the archive."""
    first, _second = pair
    first.docker("create", "--name", name, SPEAKS)
    with Client(str(first.socket)) as client:
        kept = row(client, name)
    first.docker("rm", "--volumes", name)
    body = kept["create"]
    body.update(Env=["OWN=1"], Labels={"own": ""})
    body["HostConfig"].update(LogConfig={"Type": "", "Config": {}}, IpcMode="", ShmSize=0, RestartPolicy={"Name": ""})
    try:
        with Client(str(first.socket)) as client:
            make(client, kept, {})
        there = inspected(first, name)
        assert there["HostConfig"]["LogConfig"]["Type"] == "json-file"
        assert len(there["Config"]["Env"]) > 1
        assert differs(first, kept) == []
    finally:
        first.docker("rm", "--force", "--volumes", name, check=False)
