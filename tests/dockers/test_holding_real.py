"""Containers of ours that hold a volume mounted take away what they made, and nothing that only has its name."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest

from servers.remote import wire
from servers.remote.dockers import holding
from servers.remote.dockers.engine import Engine as Client
from tests.dockers.backing import PLAIN, volumes
from tests.dockers.fixtures_backup import backup_engine, engine

__all__ = ["backup_engine", "engine"]
pytestmark = pytest.mark.real


@pytest.fixture
def client(engine) -> Iterator[Client]:
    with Client(str(engine.socket)) as found:
        yield found


@pytest.mark.parametrize("by", ["others", "nobody"])
def test_a_volume_that_somebody_makes_anew_meanwhile_is_not_removed(engine, client: Client, by: str):
    engine.docker("volume", "create", "data")
    holder = holding.Holder(client, uuid.uuid4().hex)
    seen = client.find("/volumes/data")
    check, calls = holder._check_same, []

    def and_then_it_is_removed(volume):
        check(volume)
        if not calls:
            engine.docker("volume", "rm", "data")
            time.sleep(1.1)  # the engine tells the moment of its making in seconds
        if not calls and by == "others":
            engine.docker("volume", "create", "--label", "owner=others", "data")
        calls.append(volume)

    holder._check_same = and_then_it_is_removed  # type: ignore[method-assign]
    with pytest.raises(wire.Refused, match="removed it meanwhile"):
        holder.hold(seen)
    assert volumes(engine) == ({"data"} if by == "others" else set())
    assert engine.docker("ps", "--all", "--quiet").stdout == ""


def test_an_image_that_only_has_our_name_is_neither_used_nor_removed(engine, client: Client):
    token = uuid.uuid4().hex
    engine.docker("volume", "create", "data")
    engine.docker("tag", PLAIN, f"phpborg-holder:{token}")
    try:
        with pytest.raises(wire.Refused, match="not ours"):
            holding.Holder(client, token).hold(client.find("/volumes/data"))
        assert holding.release(client, token) == []
        assert client.find(f"/images/phpborg-holder:{token}/json") is not None
    finally:
        engine.docker("rmi", f"phpborg-holder:{token}")


def test_what_it_made_goes_with_its_image(engine, client: Client):
    token = uuid.uuid4().hex
    engine.docker("volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "data")
    held = holding.Holder(client, token).hold(client.find("/volumes/data"))
    assert holding.release(client, token) == [held["holder"], f"phpborg-holder:{token}"]
    assert client.find(f"/images/phpborg-holder:{token}/json") is None
    assert volumes(engine) == {"data"}
