"""The client of the engine: whose socket it is, programs in containers, streams in both directions."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.remote import wire
from servers.remote.dockers.engine import Engine as Client
from tests.dockers.world import clean
from tests.support.bridged import Bridged

pytestmark = pytest.mark.real
SPEAKS, PLAIN = "phpborg-test/speaks:1", "phpborg-test/plain:1"


@pytest.fixture
def first(pair: tuple[Bridged, Bridged]) -> Iterator[Bridged]:
    clean(pair[0])
    yield pair[0]
    clean(pair[0])


def test_an_engine_of_another_account_is_not_asked(tmp_path: Path, first: Bridged) -> None:
    subprocess.run(["chown", "4242", first.socket], check=True)
    try:
        with pytest.raises(wire.Refused, match="not the socket of an engine that root runs"):
            Client(str(first.socket))
    finally:
        subprocess.run(["chown", "0", first.socket], check=True)
    with pytest.raises(wire.Refused) as refused:
        Client(str(tmp_path / "none.sock"))
    assert refused.value.code == "docker-away"


def test_a_program_in_a_container_gets_secrets_by_its_environment(first: Bridged) -> None:
    first.docker("run", "--detach", "--name", "box", SPEAKS)
    out, err = bytearray(), bytearray()
    with Client(str(first.socket)) as client:
        words = ["/bin/sh", "-c", 'printf %s "$SECRET"; printf oops >&2; exit 3']
        code = client.execute("box", words, out.extend, err.extend, env={"SECRET": "it's; $(x)\n"})
        assert (code, bytes(out), bytes(err)) == (3, b"it's; $(x)\n", b"oops")
        out.clear()
        many = 'i=0; while [ $i -lt 3000 ]; do echo "line $i of the many lines of a dump"; i=$((i+1)); done'
        assert client.execute("box", ["/bin/sh", "-c", many], out.extend, err.extend) == 0
        assert out.count(b"\n") == 3000
        saved = b"".join(client.read("/images/get", names=PLAIN))
        assert len(saved) > 1 << 20
        assert client.send("/images/load", [saved], quiet=True)
        with pytest.raises(wire.Refused):
            client.send("/images/load", [b"no image at all" * 100000], quiet=True)


def test_an_answer_that_leads_elsewhere_is_none(first: Bridged) -> None:
    """The engine cleans an address with dots in it by sending its asker away: that is not “done”."""
    with Client(str(first.socket)) as client, pytest.raises(wire.Refused) as refused:
        client.post("/networks/a%2F..%2Fb/connect", {})
    assert refused.value.facts["status"] in (301, 307, 308)


def test_waiting_can_be_ended(first: Bridged) -> None:
    first.docker("run", "--detach", "--name", "box", PLAIN, "sleep", "3600")
    asked = 0

    def check() -> None:
        nonlocal asked
        asked += 1
        if asked > 12:
            raise wire.Stopped

    with Client(str(first.socket), check) as client, pytest.raises(wire.Stopped):
        client.post("/containers/box/wait", seconds=600)
