"""Names that an archive may hold mean what they say to the engine, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.remote.dockers import restoring
from servers.remote.dockers.engine import Engine as Client
from tests.dockers.steps_at_hand import HOSTILE, Step, do, do_all, journals_fixture
from tests.dockers.world import clean, declared, inspected, world
from tests.support.bridged import Bridged

__all__ = ["journals_fixture"]
pytestmark = pytest.mark.real
TOKEN = "abcdef12-3456"
PLAIN = "phpborg-test/plain:1"


@pytest.fixture
def first(pair: tuple[Bridged, Bridged], journals: Path) -> Iterator[Bridged]:
    clean(pair[0])
    yield pair[0]
    clean(pair[0])


@pytest.mark.parametrize("name", ['it\'s; $(id) "q"', "a/../b", "%2e%2e?x=1&y#z", "née"])
def test_a_network_of_an_odd_name_is_that_very_network(first: Bridged, name: str) -> None:
    first.docker("network", "create", "b")
    first.docker("create", "--name", "box", "--network", "b", PLAIN, "sleep", "1")
    before = world(first)
    body = {"Image": PLAIN, "Cmd": ["sleep", "1"], "HostConfig": {}}
    steps: list[Step] = [
        ("create_network", {"name": name, "body": {"Labels": {"l": HOSTILE}, "IPAM": {"Driver": "default"}}}),
        ("create_container", {"name": "odd", "body": body, "networks": {name: {}}}),
        ("disconnect", {"network": name, "container": "odd"}),
    ]
    with Client(str(first.socket)) as client:
        restoring.begin(TOKEN)
        do_all(client, TOKEN, steps[:2])
        assert world(first)["networks"][name][3] == {"l": HOSTILE}
        assert name in declared(inspected(first, "odd"))["networks"]
        do(client, TOKEN, 2, *steps[2])
        assert name not in declared(inspected(first, "odd"))["networks"]
    assert restoring.rollback(str(first.socket), TOKEN)["problems"] == []
    assert world(first) == before
