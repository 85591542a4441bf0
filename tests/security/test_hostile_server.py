"""A server that has been taken over answers whatever it likes."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from phpborg import process
from servers import errors
from servers.transport.base import Target
from servers.transport.conversation import Conversation
from servers.transport.local import LocalHost
from servers.transport.tunnel import Server
from tests.support.sshd import descendants

ANSWERS = ["", "[]", "nonsense", "[" * 200_000, "1" * 5000]


def helper(path: Path, stdout: str, stderr: str = "exit 0 -") -> LocalHost:
    """A "phpborg-remote" that says what an attacker wants."""
    (path / "said").write_text(stdout)
    program = path / "helper"
    program.write_text(
        "#!/usr/bin/python3\n"
        "import json, sys\n"
        "nonce = json.loads(sys.stdin.readline())['nonce']\n"
        "for stream in (sys.stdout, sys.stderr): print(f'\\nphpborg-remote {nonce} ready', file=stream, flush=True)\n"
        f"sys.stdout.write(open({str(path / 'said')!r}).read()); sys.stdout.flush()\n"
        f"print(f'\\nphpborg-remote {{nonce}} {stderr}', file=sys.stderr)\n"
    )
    program.chmod(0o755)
    return LocalHost(Target(kind="local", name="hostile", helper_path=str(program)))


@pytest.mark.parametrize("answer", ANSWERS, ids=range(len(ANSWERS)))
def test_an_answer_that_is_no_table_is_an_expected_error(tmp_path, answer):
    with pytest.raises(errors.RemoteFailed):
        helper(tmp_path, answer).call("hello")


def test_an_answer_without_end_is_not_collected(tmp_path):
    with pytest.raises(errors.RemoteFailed, match="no end"):
        helper(tmp_path, "x" * 1_000_000).call("hello", most_bytes=100_000)


def test_collected_output_has_a_limit():
    assert process.stream(["printf", "12345"], most_bytes=5).stdout == b"12345"
    with pytest.raises(process.TooMuchOutput):
        process.stream(["printf", "123456"], most_bytes=5)


@pytest.mark.parametrize("words", [b"refused {", b"refused [1]", b"refused " + b"[" * 200_000, b"refused"])
def test_a_refusal_is_a_refusal_whatever_it_says(words):
    talk = Conversation(15)
    talk.stderr_line(f"phpborg-remote {talk.nonce} ".encode() + words)
    assert isinstance(talk.refusal, dict)


@pytest.mark.parametrize("words", [b"exit", b"exit x y", b"exit 0", b"exit 0 0 0", b"exit " + b"9" * 5000 + b" -"])
def test_an_end_that_is_none_is_not_taken_for_one(words):
    talk = Conversation(15)
    talk.stderr_line(f"phpborg-remote {talk.nonce} ".encode() + words)
    assert talk.ended is None


@pytest.mark.real
def test_a_server_cannot_start_any_number_of_processes_here(tmp_path):
    before = set(descendants(os.getpid()))
    server = Server(tmp_path / "s", str(tmp_path / "repository"), append_only=True)
    connections = []
    try:
        for _ in range(40):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(tmp_path / "s"))
            connections.append(connection)
        time.sleep(1)
        assert 1 <= len(set(descendants(os.getpid())) - before) <= 6
        for connection in connections:
            connection.close()
        time.sleep(2)
        with socket.socket(socket.AF_UNIX) as later:  # who was too many does not lock others out
            later.connect(str(tmp_path / "s"))
            time.sleep(0.5)
            assert set(descendants(os.getpid())) - before
    finally:
        for connection in connections:
            connection.close()
        server.close()
