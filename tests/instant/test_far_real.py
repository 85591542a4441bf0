"""A session on another server: the repository comes through the tunnel, and its end is the same from afar."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from servers.transport import host_for
from servers.transport.base import Host
from tests.instant.conftest import ROWS, Session
from tests.instant.test_verb_real import left, sql
from tests.support.sshd import Lab, Sshd, processes, running
from tests.support.workers import wait_until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def sshd(lab: Lab) -> Iterator[Sshd]:
    with running(lab) as server:
        yield server


@pytest.fixture(params=["root", "sudo"])
def far(request, sshd: Sshd) -> Host:
    return host_for({"root": sshd.target, "sudo": sshd.sudo_target}[request.param]())


def test_it_answers_there_and_leaves_nothing(far: Host, start, engine):
    session: Session = start(host=far)
    port = session.until("ready")["port"]
    assert sql(port, "SELECT count(*) FROM kettle").stdout.strip() == str(ROWS)
    session.finish()
    assert session.error is None
    assert left(session.token, engine) == []


def test_a_connection_that_is_lost_ends_it_there(far: Host, start, engine):
    """Nobody is there to tell it: the end of its input is enough."""
    session: Session = start(host=far)
    port = session.until("ready")["port"]
    clients = processes(
        lambda words: os.path.basename(words[0]) == "ssh" and any(session.token in one for one in words)
    )
    assert clients
    for pid in clients:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: left(session.token, engine) == [], 60, "something is left there")
    assert sql(port, "SELECT 1").returncode != 0
    session.thread.join(30)
    assert session.error is not None
