"""What a request may ask of a session, and the one form of its container."""

from __future__ import annotations

import copy
import os
import socket
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from servers.remote import wire
from servers.remote.instant import asked, cage

READY = {"programs": ["/bin/psql"], "argv": ["-c", "SELECT 1"], "answer": "1"}
STAGE = {"programs": ["/bin/postgres"], "argv": ["-D"], "seconds": 5, "ready": [READY]}
GOOD: dict[str, Any] = {
    "token": "0123456789abcdef",
    "engine": "/run/docker.sock",
    "image": "registry.example:5000/postgres:15",
    "user": [101, 103],
    "memory": 512 << 20,
    "layers": [{"name": "data", "source": "var/lib/postgresql"}, {"name": "space-1", "source": "srv/a,b"}],
    "mounts": [{"layer": "data", "at": "/var/lib/postgresql"}, {"layer": "space-1", "at": '/srv/a,"b"'}],
    "scratch": ["/var/run/postgresql"],
    "environment": {"PGPASSFILE": "/phpborg/run/x"},
    "stages": [STAGE],
    "socket": ".s.PGSQL.5432",
    "ports": [15432, 15440],
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(GOOD), **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"user": [0, 0]},
        {"user": [33, 0]},
        {"user": [33]},
        {"user": [True, 33]},
        {"memory": 1},
        {"image": "--privileged"},
        {"image": "a b"},
        {"layers": []},
        {"layers": [{"name": "run", "source": "x"}]},
        {"layers": [{"name": "data", "source": "a/../b"}]},
        {"layers": [{"name": "../data", "source": "a"}]},
        {"layers": [{"name": "data", "source": "a"}, {"name": "data", "source": "b"}]},
        {"mounts": [{"layer": "other", "at": "/data"}]},
        {"mounts": [{"layer": "data", "at": "/"}]},
        {"mounts": [{"layer": "data", "at": "/proc/sys"}]},
        {"mounts": [{"layer": "data", "at": "/usr"}]},
        {"mounts": [{"layer": "data", "at": "/phpborg/run"}]},
        {"mounts": [{"layer": "data", "at": "relative"}]},
        {"scratch": ["/dev/shm"]},
        {"environment": {"a b": "x"}},
        {"layers": [{"name": "data", "source": "a", "kind": "copy"}]},
        {"stages": []},
        {"stages": [{**STAGE, "programs": []}]},
        {"stages": [{**STAGE, "programs": ["postgres"]}]},
        {"stages": [{**STAGE, "ready": []}]},
        {"stages": [{**STAGE, "ready": [{**READY, "programs": []}]}]},
        {"stages": [{**STAGE, "ends": True}]},
        {"stages": [{**STAGE, "stdin": "unknown"}]},
        {"stages": [{**STAGE, "files": [{"layer": "data", "path": "../x", "text": ""}]}]},
        {"stages": [{**STAGE, "files": [{"layer": "data", "path": "x", "text": "", "mode": 0o4755}]}]},
        {"socket": "../docker.sock"},
        {"port": 9200},
        {"socket": None},
        {"door": {"name": "phpborg", "password": "word", "read_only": True}},
        {"stages": [{**STAGE, "ready": [{"http": "GET", "path": "/"}]}]},
        {"address": "localhost"},
        {"ports": [80, 90]},
        {"ports": [15440, 15432]},
        {"token": "../../etc"},
    ],
    ids=str,
)
def test_nothing_else_is_taken(changes):
    asked.session(GOOD, {})
    with pytest.raises(wire.Refused):
        asked.session(changed(**changes), {})


def at_a_port(**changes: Any) -> dict[str, Any]:
    ready = {"http": "GET", "path": "/_cluster/health?wait_for_status=yellow&timeout=1s", "answer": "x"}
    door = {"name": "phpborg", "password": "word", "read_only": True}
    asked = changed(port=9200, door=door, stages=[{**STAGE, "ready": [ready]}], **changes)
    del asked["socket"]
    return asked


def test_a_server_at_a_port_of_its_container_is_asked_by_http_and_has_a_door():
    session = asked.session(at_a_port(), {"word": "secret"})
    assert (session.socket, session.port) == (None, 9200)
    assert session.door is not None
    assert session.door.read_only
    assert session.stages[0].ready[0].holds == b"x"


@pytest.mark.parametrize(
    "change",
    [
        {"port": 80},
        {"port": "9200"},
        {"port": 70000},
        {"door": {"name": "a:b", "password": "word", "read_only": True}},
        {"door": {"name": "phpborg", "password": "unknown", "read_only": True}},
        {"door": {"name": "phpborg", "password": "empty", "read_only": True}},
        {"door": {"name": "phpborg", "password": "word"}},
        {"stages": [{**STAGE, "ready": [{"http": "DELETE", "path": "/"}]}]},
        {"stages": [{**STAGE, "ready": [{"http": "GET", "path": "/ HTTP/1.1\r\nX: y"}]}]},
        {"stages": [{**STAGE, "ready": [{"http": "GET", "path": "//else.where/"}]}]},
    ],
    ids=str,
)
def test_nothing_else_is_taken_at_a_port(change):
    with pytest.raises(wire.Refused):
        asked.session({**at_a_port(), **change}, {"word": "secret", "empty": ""})


def test_a_secret_is_named_in_the_request_and_comes_beside_it():
    files = [{"layer": "run", "path": ".pgpass", "secret": "password"}]
    session = asked.session(
        changed(stages=[{**STAGE, "files": files, "stdin": "sql"}]), {"password": "é", "sql": "SELECT"}
    )
    assert session.stages[0].files == [asked.File("run", b".pgpass", "é".encode(), 0o600)]
    assert session.stages[0].stdin == b"SELECT"


@pytest.fixture
def docker(tmp_path: Path, monkeypatch) -> cage.Docker:
    """A socket as an engine would have it, and a client."""
    monkeypatch.setattr(cage.children, "find", lambda name: "/usr/bin/" + name)
    path = tmp_path / "d.sock"
    socket.socket(socket.AF_UNIX).bind(os.fspath(path))
    monkeypatch.setattr(cage, "check_socket", lambda path: path)
    return cage.opened(str(path))


def test_the_container_has_no_network_no_rights_and_nothing_of_the_machine_but_its_layers(docker):
    session = asked.session(GOOD, {})
    words = cage.run(session, docker, 0, "/bin/postgres", lambda layer: "/L/" + layer)
    pairs = list(pairwise(words))
    for pair in (
        ("--network", "none"),
        ("--cap-drop", "ALL"),
        ("--security-opt", "no-new-privileges"),
        ("--user", "101:103"),
        ("--pull", "never"),
        ("--memory", str(512 << 20)),
        ("--memory-swap", str(512 << 20)),
    ):
        assert pair in pairs
    assert "--read-only" in words
    assert "--privileged" not in words
    mounts = [word for before, word in pairs if before == "--mount"]
    assert mounts == [
        "type=bind,source=/L/data,target=/var/lib/postgresql",
        'type=bind,source=/L/space-1,"target=/srv/a,""b"""',
        "type=bind,source=/L/run,target=/phpborg/run",
        "type=bind,source=/L/etc,target=/phpborg/etc,readonly",
        "type=bind,source=/L/etc/passwd,target=/etc/passwd,readonly",
        "type=bind,source=/L/etc/group,target=/etc/group,readonly",
    ]
    assert words[-3:] == ["/bin/postgres", "registry.example:5000/postgres:15", "-D"]


def test_an_engine_of_another_account_is_not_used(tmp_path, monkeypatch):
    path = tmp_path / "d.sock"
    socket.socket(socket.AF_UNIX).bind(os.fspath(path))
    status = os.lstat(path)
    monkeypatch.setattr(cage.os, "stat", lambda _: os.stat_result([*status[:4], 1000, *status[5:]]))
    with pytest.raises(wire.Refused, match="not the socket of an engine that root runs"):
        cage.check_socket(str(path))
