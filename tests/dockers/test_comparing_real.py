"""What was made is compared with what had to be made: the same is no difference on any engine, and no value is told."""

from __future__ import annotations

from typing import Any

import pytest

from servers.remote.dockers import bodies, comparing
from servers.remote.dockers.engine import Engine as Client
from tests.dockers.test_bodies_real import CASES, PLAIN, WAIT, make, name, row
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


def test_what_the_engine_writes_in_its_own_words_is_no_difference(pair: tuple[Bridged, Bridged], name: str) -> None:
    """As an older engine tells rights and an option, this one takes them and tells them otherwise."""
    first, _second = pair
    first.docker("create", "--name", name, PLAIN, *WAIT)
    with Client(str(first.socket)) as client:
        kept = row(client, name)
    first.docker("rm", name)
    kept["create"]["HostConfig"].update(CapAdd=["net_raw"], CapDrop=["SYS_CHROOT"], RestartPolicy={"Name": ""})
    try:
        with Client(str(first.socket)) as client:
            make(client, kept, {})
        assert inspected(first, name)["HostConfig"]["CapAdd"] == ["CAP_NET_RAW"]
        assert differs(first, kept) == []
    finally:
        first.docker("rm", "--force", "--volumes", name, check=False)
