"""MongoDB that keeps still for a snapshot. The server is a fake (fake_mongod.py): no real one can be had here."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from servers.remote import holds, wire
from servers.remote.holds import mongodb
from servers.remote.probes import scram
from tests.support.sshd import wait_until
from tests.transport.fake_mongod import FakeMongod
from tests.transport.test_holds import PASSWORD, held, killed_at

pytestmark = pytest.mark.real


@pytest.fixture
def fake() -> Iterator[FakeMongod]:
    with FakeMongod() as made:
        yield made
        made.shutdown()


def open_row(fake: FakeMongod) -> dict[str, Any]:
    return {**fake.where, "login": {"method": "none"}}


def test_a_fake_mongod_is_locked_for_the_length_of_the_block_alone(fake):
    with holds.opened(open_row(fake), {}) as hold:
        assert fake.locks == 0
        with hold:
            assert fake.locks == 1
        assert fake.locks == 0
    assert hold.facts
    assert (hold.facts["locked"], hold.facts["locked_seconds"] > 0) == (True, True)
    with pytest.raises(ZeroDivisionError):
        held(open_row(fake), lambda: 1 // (fake.locks - 1))
    assert fake.locks == 0


@pytest.mark.parametrize("step", ["signed in", "held", "released"])
def test_a_helper_that_is_killed_leaves_no_lock_on_a_fake_mongod(fake, step):
    with killed_at(open_row(fake), step):
        assert fake.locks == (step == "held")
    wait_until(lambda: fake.locks == 0, 3)
    time.sleep(0.5)
    assert fake.locks == 0


def test_the_keeper_is_killed_and_the_fake_mongod_is_unlocked_by_us(fake):
    with holds.opened(open_row(fake), {}) as hold, hold:
        assert isinstance(hold, mongodb.Server)
        assert hold._keeper
        os.kill(hold._keeper.pid, signal.SIGKILL)
        assert fake.locks == 1
    assert fake.locks == 0


def test_a_fake_mongod_that_is_held_too_long_is_let_go_and_no_success(fake, monkeypatch):
    monkeypatch.setattr(mongodb, "LONGEST_SECONDS", 0.5)
    with pytest.raises(wire.Refused, match="let go after"):
        held(open_row(fake), lambda: wait_until(lambda: fake.locks == 0, 3))


def test_a_lock_that_comes_late_is_given_back_to_the_fake_mongod(fake, monkeypatch):
    monkeypatch.setattr(mongodb, "_LOCK_SECONDS", 0.3)
    fake.lock_seconds = 1.5
    with pytest.raises(wire.Refused, match="timed out"):
        held(open_row(fake))
    wait_until(lambda: fake.commands.count("fsync") == 1 and "fsyncUnlock" in fake.commands, 5)
    time.sleep(2)
    assert fake.locks == 0


def test_a_fake_mongod_that_is_locked_by_somebody_or_a_router_is_refused(fake):
    fake.locks = 1
    with pytest.raises(wire.Refused, match="locked already"):
        holds.opened(open_row(fake), {}).__enter__()
    assert fake.locks == 1
    fake.locks, fake.hello = 0, {"msg": "isdbgrid"}
    with pytest.raises(wire.Refused, match="router"):
        holds.opened(open_row(fake), {}).__enter__()


def test_somebody_else_unlocks_the_fake_mongod_meanwhile_and_that_is_no_success(fake):
    with pytest.raises(wire.Refused, match="unlocked by somebody else"):
        held(open_row(fake), lambda: setattr(fake, "locks", 0))


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1"])
def test_a_given_login_opens_a_fake_mongod(mechanism):
    secret = scram.prepared(mechanism, "us=er", PASSWORD)
    with FakeMongod("us=3Der", secret, (mechanism,)) as fake:
        asked = {**fake.where, "login": {"method": "given", "user": "us=er", "authdb": "admin"}}
        with holds.opened(asked, {"database": PASSWORD}) as hold, hold:
            assert fake.locks == 1
        assert fake.locks == 0
        with pytest.raises(wire.Refused, match="Authentication failed"):
            holds.opened(asked, {"database": "wrong"}).__enter__()
        with pytest.raises(wire.Refused, match="requires authentication"):
            held(open_row(fake))
        fake.shutdown()


def test_the_example_of_rfc_7677():
    said, nonce = scram.first("user", "rOprNGfwEbeRWgbNEkqO")
    answer = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    last, check = scram.final("SCRAM-SHA-256", b"pencil", said, answer, nonce)
    assert last == (
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    check("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    with pytest.raises(scram.Failed):
        check("v=AAAA")
    for bad in (answer.replace("4096", "1"), answer.replace("rOpr", "xOpr"), ""):
        with pytest.raises(scram.Failed):
            scram.final("SCRAM-SHA-256", b"pencil", said, bad, nonce)
