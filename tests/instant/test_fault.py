"""Whose fault it is that a database of an archive does not run: a double of Docker's client says what happened."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from servers import errors
from servers.remote.instant import cage, fault, serving
from servers.remote.wire import Control, Refused


def client(place: Path, script: str) -> cage.Docker:
    program = place / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return cage.Docker([str(program)])


def told(place: Path, script: str) -> Refused | None:
    session: Any = SimpleNamespace(token="t" * 32, memory=64 << 20)
    return fault.Machine(session, client(place, script), str(place), Control(0)).fault()


def test_a_double_of_docker_that_saw_nothing_lays_it_on_the_files(tmp_path):
    assert told(tmp_path, "exit 0") is None


@pytest.mark.parametrize(
    ("script", "code", "kind"),
    [("echo oom", "memory", errors.MemoryExhausted), ("echo away; exit 1", "docker-away", errors.DockerAway)],
)
def test_a_double_of_docker_that_tells_of_memory_or_is_away(tmp_path, script, code, kind):
    refusal = told(tmp_path, script)
    assert refusal is not None
    assert (refusal.code, errors.REFUSALS[refusal.code]) == (code, kind)


def test_a_double_of_docker_is_asked_about_this_session_alone(tmp_path):
    told(tmp_path, f'echo "$@" > {tmp_path}/asked')
    asked = (tmp_path / "asked").read_text()
    assert "event=oom" in asked
    assert f"label=phpborg.session={'t' * 32}" in asked


def test_a_full_disk_below_the_layers_is_the_machines(tmp_path, monkeypatch):
    monkeypatch.setattr(fault, "_LEAST_ROOM", 1 << 62)
    refusal = told(tmp_path, "exit 0")
    assert refusal is not None
    assert (errors.REFUSALS[refusal.code], str(tmp_path) in refusal.message) == (errors.LayersFull, True)


class Quiet:
    """A double of what a program says."""

    size = 0

    def tail(self, _since: int = 0) -> bytes:
        return b"crash recovery: 12 percent"

    def bound(self) -> None:
        pass


def serving_by(place: Path, script: str) -> Any:
    """A session whose Docker is a double, and none of whose stages has begun."""
    one: Any = serving.Serving.__new__(serving.Serving)
    one._control, one._log, one._docker = Control(0), Quiet(), client(place, script)
    one._session = SimpleNamespace(token="t" * 32)
    return one


def test_a_server_that_is_still_at_work_when_its_time_is_over_says_nothing_about_its_files(tmp_path):
    one, running = serving_by(tmp_path, ""), SimpleNamespace(process=SimpleNamespace(poll=lambda: None))
    with pytest.raises(Refused, match="12 percent") as caught:
        one._pause(running, 0.0)
    assert errors.REFUSALS[caught.value.code] is errors.ReadyTooLate
    one._asker = SimpleNamespace(ask=lambda *_: (False, "ERROR: 7 transactions are being rolled back"))
    with pytest.raises(Refused, match="rolled back") as caught:
        one._ask(0, None, running, 0.0)
    assert errors.REFUSALS[caught.value.code] is errors.ReadyTooLate


def test_a_double_of_docker_is_told_how_long_a_preparation_may_take_to_end(tmp_path):
    """What is in memory has to be written: a server that is killed at it is no damaged one."""
    one = serving_by(tmp_path, f'echo "$@" >> {tmp_path}/asked; sleep 1')
    one._up = lambda _number: SimpleNamespace(wait=lambda *_: (137, None))
    stage: Any = SimpleNamespace(ends=False, seconds=1.0)
    with pytest.raises(Refused, match="did not end in time") as caught:
        one._prepare(0, stage)
    assert errors.REFUSALS[caught.value.code] is errors.ReadyTooLate
    assert "stop --time 1 " in (tmp_path / "asked").read_text()
    stage.seconds = 60.0
    with pytest.raises(Refused, match="exit 137") as caught:
        one._prepare(0, stage)
    assert errors.REFUSALS[caught.value.code] is errors.SessionFailed


@pytest.mark.parametrize("code", ["docker", "busy"])
def test_what_cannot_be_taken_away_says_nothing_about_the_files(code):
    assert errors.REFUSALS[code] is errors.RemainsLeft


@pytest.mark.parametrize(
    ("code", "kind"), [(125, errors.DockerAway), (1, errors.SessionFailed), (137, errors.SessionFailed)]
)
def test_an_engine_that_gave_a_container_up_is_told_apart_from_a_server_that_ended(code, kind):
    double: Any = SimpleNamespace(_last_words=lambda: "error waiting for container: unexpected EOF")
    refusal = serving.Serving._ended(double, "the database server has ended", code)
    assert errors.REFUSALS[refusal.code] is kind
    assert "unexpected EOF" in refusal.message
