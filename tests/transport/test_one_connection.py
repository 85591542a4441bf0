"""Requests that follow each other at once share a sign-in; each of them is as alone as before."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import time
from contextlib import suppress

import pytest

from servers import errors
from servers.remote import children, wire
from servers.transport import host_for, launch
from tests.support.sshd import descendants, running, wait_until

pytestmark = pytest.mark.real


@pytest.fixture
def launches(monkeypatch) -> list[launch.Launch]:
    """Every launcher that was started meanwhile."""
    made: list[launch.Launch] = []
    start = launch.Launch.__init__

    def noted(self, argv):
        start(self, argv)
        made.append(self)

    monkeypatch.setattr(launch.Launch, "__init__", noted)
    return made


def ours() -> set[int]:
    return set(descendants(os.getpid()))


def test_calls_share_a_connection_and_a_tool_is_its_last_request(host, launches, place):
    before = ours()
    with host.one_connection():
        name = host.call("hello")["hostname"]
        for number in range(3):
            (place / f"{number}").touch()
            assert len(host.call("list_dir", {"path": str(place)})["entries"]) == number + 1
        assert len(launches) == 1
        ended = host.run("paths", {"paths": [str(place)]})
        assert (ended.exit.code, json.loads(ended.exit.stdout)["paths"][0]["kind"]) == (0, "directory")
        assert len(launches) == 1
        assert host.call("hello")["hostname"] == name
        assert len(launches) == 2
    wait_until(lambda: ours() <= before)


def test_without_it_each_has_its_own(host, launches):
    host.call("hello")
    host.call("hello")
    assert len(launches) == 2


def test_a_large_answer_is_whole(host, launches, place):
    for number in range(3000):
        (place / f"{number:04}-{'n' * 200}").touch()
    with host.one_connection():
        for _ in range(3):
            found = host.call("list_dir", {"path": str(place), "limit": 1000})
            assert len(found["entries"]) == 1000
    assert len(launches) == 1


def test_after_a_refusal_the_next_one_connects_anew(host, launches):
    with host.one_connection():
        host.call("hello")
        with pytest.raises(errors.UnsafePath):
            host.call("list_dir", {"path": "/etc/../root"})
        assert host.call("hello")["version"]
    assert len(launches) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_connection_that_was_lost_meanwhile_is_made_anew(host, launches, number):
    with host.one_connection():
        host.call("hello")
        os.killpg(launches[0]._child.pid, number)
        assert host.call("hello")["version"]
    assert len(launches) == 2


def test_a_connection_that_waited_too_long_is_not_used(host, launches, monkeypatch):
    monkeypatch.setattr(launch, "_MOST_QUIET_SECONDS", 0.0)
    before = ours()
    with host.one_connection():
        host.call("hello")
        host.call("hello")
        assert len(launches) == 2
        assert not launches[0]._child.alive()
    wait_until(lambda: ours() <= before)


def test_another_account_has_its_own(lab, sshd, launches):
    host = host_for(sshd.sudo_target())
    with host.one_connection():
        assert host.call("hello")["uid"] == 0
        assert host.call("hello", as_login=True)["uid"] != 0
        assert host.call("hello")["uid"] == 0
    assert len(launches) == 3


def test_an_error_ends_it(host, launches):
    before = ours()
    with suppress(ZeroDivisionError), host.one_connection():
        host.call("hello")
        raise ZeroDivisionError
    wait_until(lambda: ours() <= before)
    assert not launches[0]._child.alive()


def test_a_far_end_that_nobody_speaks_to_goes(lab, settings, launches):
    settings.SSH_KEEPALIVE_SECONDS = 1
    with running(lab, "127.0.0.13") as server:
        host = host_for(server.target())
        with host.one_connection():
            host.call("hello")
            wait_until(lambda: not launches[0]._child.alive(), 15)


def test_an_older_program_there_answers_once(lab, sshd, launches, tmp_path):
    """It does not know `keep` and ends after its answer."""
    old = tmp_path / "phpborg-remote"
    old.write_text(
        "#!/usr/bin/python3\nimport json, sys\n"
        "nonce = json.loads(sys.stdin.readline())['nonce']\n"
        "print(f'\\nphpborg-remote {nonce} ready', flush=True)\n"
        "print(json.dumps({'version': 'old'}), flush=True)\n"
        "print(f'\\nphpborg-remote {nonce} ready\\n\\nphpborg-remote {nonce} exit 0 -', file=sys.stderr, flush=True)\n"
    )
    old.chmod(0o755)
    host = host_for(dataclasses.replace(sshd.target(), helper_path=str(old)))
    with host.one_connection():
        assert [host.call("hello")["version"] for _ in range(2)] == ["old", "old"]
    assert len(launches) == 2


def test_the_last_words_of_a_lost_connection_are_not_about_the_next_one(sshd, launches, tmp_path):
    """ssh says "client_loop: send disconnect: Broken pipe" and ends: the next request has a connection of its own."""
    there, helper = tmp_path / "once", tmp_path / "phpborg-remote"
    helper.write_text(
        "#!/usr/bin/python3\nimport json, os, sys\n"
        "nonce = json.loads(sys.stdin.readline())['nonce']\n"
        "print(f'\\nphpborg-remote {nonce} ready', flush=True)\n"
        "print(json.dumps({'version': 'x'}), flush=True)\n"
        "print(f'\\nphpborg-remote {nonce} ready\\n\\nphpborg-remote {nonce} exit 0 -', file=sys.stderr, flush=True)\n"
        f"if not os.path.exists({str(there)!r}):\n"
        f"    open({str(there)!r}, 'w'); sys.stdin.readline()\n"
        "    print('client_loop: send disconnect: Broken pipe', file=sys.stderr); sys.exit(255)\n"
    )
    helper.chmod(0o755)
    host = host_for(dataclasses.replace(sshd.target(), helper_path=str(helper)))
    with host.one_connection():
        assert [host.call("hello")["version"] for _ in range(2)] == ["x", "x"]
    assert len(launches) == 2


def test_a_request_of_its_own_process_ends_with_it():
    assert children.in_own_process(lambda: 3) == 3
    assert children.in_own_process(lambda: os.kill(os.getpid(), signal.SIGKILL) or 0) == 1


def test_what_breaks_in_it_is_told(capfd):
    assert children.in_own_process(lambda: 1 // 0) == 1
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_the_end_of_a_tool_is_found_also_when_a_signal_to_it_has_found_it_first():
    control = wire.Control(60)
    assert children.Tool(["sh", "-c", "exit 7"], children.environment()).wait(control) == (7, None)
    assert children.Tool(["sh", "-c", "kill -9 $$"], children.environment()).wait(control) == (None, 9)
    tool = children.Tool(["true"], children.environment(), stdout=subprocess.DEVNULL)
    time.sleep(0.3)
    tool.process.send_signal(signal.SIGINT)
    assert tool.wait(control) == (0, None)
