"""The Docker probe: recorded answers of the engine, also served by a socket that only records."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from servers.remote.probes import base, docker, docker_api

LABEL = "com.docker.compose."
ANONYMOUS = "a" * 64


def inspected(
    name: str, *, status: str = "running", labels: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    """One container as `GET /containers/ID/json` has it, with what must never be told."""
    return {
        "Id": (name * 64)[:64],
        "Name": f"/{name}",
        "State": {"Status": status, "Running": status == "running"},
        "Config": {"Image": f"{name}:1", "Env": ["POSTGRES_PASSWORD=never-told"], "Labels": labels or {}},
        "HostConfig": {"RestartPolicy": {"Name": "", "MaximumRetryCount": 0}},
        "NetworkSettings": {"Networks": {"shop_default": {}, "proxy": {}}},
        "Mounts": [],
        **more,
    }


def compose(service: str, **labels: str) -> dict[str, str]:
    """Labels of Compose 2 for one service of the project `shop`, made of two files."""
    return {
        LABEL + "project": "shop",
        LABEL + "service": service,
        LABEL + "oneoff": "False",
        LABEL + "project.working_dir": "/srv/shop",
        LABEL + "project.config_files": "/srv/shop/docker-compose.yml,/srv/a,b/override.yml",
        LABEL + "project.environment_file": "/srv/shop/prod.env",
        **{LABEL + name.replace("_", "."): value for name, value in labels.items()},
    }


CONTAINERS = [
    inspected(
        "db",
        labels=compose("db"),
        Mounts=[
            {"Type": "volume", "Name": "shop_data", "Source": "/data2/volumes/shop_data/_data", "Destination": "/d",
             "Driver": "local", "RW": True},
            {"Type": "volume", "Name": ANONYMOUS, "Source": f"/data2/volumes/{ANONYMOUS}/_data", "Destination": "/x",
             "RW": True},
        ],
    ),
    inspected("web", status="exited", labels=compose("web")),
    inspected("task", labels=compose("web", oneoff="True")),
    inspected(
        "alone",
        HostConfig={"RestartPolicy": {"Name": "unless-stopped"}},
        Mounts=[{"Type": "bind", "Source": "/srv/alone/etc/app.conf", "Destination": "/etc/app.conf", "RW": False}],
    ),
]  # fmt: skip
VOLUMES = {
    "Volumes": [
        {"Name": "shop_data", "Driver": "local", "Mountpoint": "/data2/volumes/shop_data/_data", "Options": None,
         "Labels": {LABEL + "project": "shop"}},
        {"Name": ANONYMOUS, "Driver": "local", "Mountpoint": "", "Options": {}, "Labels": None},
        {"Name": "marked", "Driver": "local", "Labels": {"com.docker.volume.anonymous": ""}},
        {"Name": "share", "Driver": "local", "Mountpoint": "/data2/volumes/share/_data", "Labels": {},
         "Options": {"type": "cifs", "device": "//files/s", "o": "addr=files,username=u,password=never-told,uid=33"}},
    ],
    "Warnings": None,
}  # fmt: skip
ANSWERS: dict[str, Any] = {
    "/version": {"Version": "28.2.2", "ApiVersion": "1.50", "MinAPIVersion": "1.24"},
    "/v1.41/info": {"DockerRootDir": "/data2", "Driver": "overlay2", "Swarm": {"LocalNodeState": "inactive"}},
    "/v1.41/containers/json?all=1": [{"Id": one["Id"]} for one in CONTAINERS] + [{"Id": "gone"}],
    **{f"/v1.41/containers/{one['Id']}/json": one for one in CONTAINERS},
    "/v1.41/volumes": VOLUMES,
    "/v1.41/networks": [{"Name": "bridge", "Driver": "bridge", "Internal": False}],
}


def test_a_project_of_two_files():
    there = {"/srv/shop/.env"}
    assert docker.projects(CONTAINERS, there.__contains__) == [
        {
            "name": "shop",
            "working_dir": "/srv/shop",
            "config_files": ["/srv/shop/docker-compose.yml", "/srv/a,b/override.yml"],
            "environment_files": ["/srv/shop/prod.env", "/srv/shop/.env"],
            "services": ["db", "web"],
            "running": 1,
            "total": 2,
        }
    ]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (None, []),
        ("-", []),
        ("docker-compose.yml,../prod.yml,/etc/x.yml", ["/srv/p/docker-compose.yml", "/srv/prod.yml", "/etc/x.yml"]),
        ("/srv/a,b/one.yml,/srv/two.yml", ["/srv/a,b/one.yml", "/srv/two.yml"]),
    ],
)
def test_files_of_a_label_as_both_versions_of_compose_write_them(label, expected):
    assert docker.files(label, "/srv/p") == expected


def test_a_container_that_stands_alone_has_a_dockerfile_beside_its_mounts():
    found = docker.container(CONTAINERS[3], {"/srv/alone/Dockerfile"}.__contains__)
    assert (found["name"], found["image"], found["dockerfile"]) == ("alone", "alone:1", "/srv/alone/Dockerfile")
    assert (found["restart"], found["project"]) == ("unless-stopped", None)
    assert found["mounts"][0] == {
        "type": "bind",
        "name": None,
        "source": "/srv/alone/etc/app.conf",
        "destination": "/etc/app.conf",
        "writable": False,
    }
    assert docker.container(CONTAINERS[3], lambda _: False)["dockerfile"] is None
    assert docker.container(CONTAINERS[0], lambda _: True)["dockerfile"] is None


def test_volumes_with_their_users_and_without_passwords():
    containers = [docker.container(one, lambda _: False) for one in CONTAINERS]
    found = {volume["name"]: volume for volume in docker.volumes(VOLUMES, containers)}
    assert [found[name]["anonymous"] for name in ("shop_data", ANONYMOUS, "marked", "share")] == [
        False,
        True,
        True,
        False,
    ]
    assert (found["shop_data"]["used_by"], found["share"]["used_by"]) == (["db"], [])
    assert found["share"]["options"]["o"] == "addr=files,username=u,password=***,uid=33"
    assert "never-told" not in json.dumps([containers, found])


@pytest.mark.parametrize(
    ("newest", "oldest", "spoken"),
    [("1.50", "1.24", "1.41"), ("1.24", "1.12", "1.24"), ("1.54", "1.44", "1.44"), (None, None, "1.41")],
)
def test_the_version_of_the_interface_is_one_that_both_know(newest, oldest, spoken):
    assert docker_api.api_version({"ApiVersion": newest, "MinAPIVersion": oldest}) == spoken


def test_an_engine_with_a_socket_of_its_own_is_found_by_its_command_line():
    argv = ["dockerd", "-H", "unix:///srv/own.sock", "--host=tcp://127.0.0.1:2375", "-H"]
    assert docker.options(argv, "-H") == ["unix:///srv/own.sock"]
    assert docker.options(argv, "--host") == ["tcp://127.0.0.1:2375"]


@pytest.mark.parametrize(
    ("said", "version"),
    [("v2.24.5\n", "2.24.5"), ("1.29.2\n", "1.29.2"), ("\nUsage:  docker [OPTIONS] COMMAND\n", None), ("", None)],
)
def test_composes_version(said, version):
    assert docker.compose_version(said) == version


# --- over a socket ---------------------------------------------------------------------------------


class _Recorded(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        answers = self.server.answers  # type: ignore[attr-defined]
        found = self.path in answers
        said = answers[self.path] if found else {"message": f"no such thing: {self.path}"}
        body = said if isinstance(said, bytes) else json.dumps(said).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "recorded"

    def log_message(self, *_: object) -> None: ...


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    answers: dict[str, Any]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    """A socket that answers what was recorded; the only one that the probe finds."""
    path = tmp_path / "docker.sock"
    server = _Server(str(path), _Recorded)
    server.answers = dict(ANSWERS)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(docker, "_sockets", lambda *_: iter([str(path)]))
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def facts() -> dict[str, Any]:
    look = base.Look({})
    look._processes = []
    found = docker.probe(look)
    assert "never-told" not in json.dumps(found)
    return found


def test_a_whole_inventory(engine: _Server):
    found = facts()
    assert (found["installed"], found["running"], found["problem"]) == (True, True, None)
    assert (found["version"], found["api_version"], found["swarm"]) == ("28.2.2", "1.41", False)
    assert (found["data_root"], found["storage_driver"]) == ("/data2", "overlay2")
    # One was removed between the list and the look at it.
    assert [one["name"] for one in found["containers"]] == ["db", "web", "task", "alone"]
    assert found["networks"] == [{"name": "bridge", "driver": "bridge", "internal": False}]
    assert len(found["volumes"]) == 4


def test_an_answer_that_fails_is_quoted_and_the_others_count(engine: _Server):
    del engine.answers["/v1.41/networks"]
    engine.answers["/v1.41/volumes"] = b"<html>"
    found = facts()
    assert found["running"]
    assert len(found["containers"]) == 4
    assert "no such thing: /v1.41/networks (/networks 404)" in found["problem"]
    assert "answers /volumes with something else than JSON" in found["problem"]
    assert found["volumes"] == []


def test_a_second_engine_is_named(engine: _Server, monkeypatch: pytest.MonkeyPatch):
    path = str(engine.server_address)
    second = Path(path).with_name("second.sock")
    second.symlink_to(path)
    monkeypatch.setattr(docker, "_sockets", lambda *_: iter([path, str(second)]))
    assert facts()["problem"] == f"other engines run here too, which were not asked: {second}"


def test_a_socket_that_nobody_serves_is_no_running_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "docker.sock"
    _Server(str(path), _Recorded).server_close()
    monkeypatch.setattr(docker, "_sockets", lambda *_: iter([str(path)]))
    found = facts()
    assert (found["installed"], found["running"]) == (True, False)
    assert "Connection refused" in found["problem"]
