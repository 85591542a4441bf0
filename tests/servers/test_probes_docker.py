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

from servers.remote.probes import base, docker, docker_api, docker_said
from servers.remote.probes.docker_disk import Disk, uncounted

LABEL = "com.docker.compose."
ANONYMOUS = "a" * 64


def inspected(
    name: str, *, status: str = "running", labels: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    """One container as `GET /containers/ID/json` has it, with what must never be told."""
    return {
        "Id": (name * 64)[:64],
        "Name": f"/{name}",
        "Image": f"sha256:{name}",
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
    "/v1.41/images/json": [
        {"Id": "sha256:web", "RepoTags": ["web:1"], "RepoDigests": ["<none>@<none>"], "Size": 5},
        {"Id": "sha256:other", "RepoTags": ["<none>:<none>"], "Size": 7},
    ],
}


def recorded(*files: str) -> Disk:
    """A disk on which only these files are."""
    return uncounted(files.__contains__)


def test_a_project_of_two_files():
    (found,) = docker_said.projects(CONTAINERS, recorded("/srv/shop/.env"))
    assert (found["name"], found["working_dir"]) == ("shop", "/srv/shop")
    assert found["config_files"] == ["/srv/shop/docker-compose.yml", "/srv/a,b/override.yml"]
    assert found["environment_files"] == ["/srv/shop/prod.env", "/srv/shop/.env"]
    assert (found["services"], found["running"], found["total"]) == (["db", "web"], 1, 2)
    # None of it is on this machine.
    assert (found["directory"], found["size_bytes"]) == ("missing", None)
    assert len(found["missing_files"]) == 4


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
    assert docker_said.files(label, "/srv/p") == expected


def test_a_container_that_stands_alone_has_a_dockerfile_beside_its_mounts():
    found = docker_said.container(CONTAINERS[3], recorded("/srv/alone/Dockerfile"))
    assert (found["name"], found["image"], found["dockerfile"]) == ("alone", "alone:1", "/srv/alone/Dockerfile")
    assert (found["restart"], found["project"]) == ("unless-stopped", None)
    assert found["mounts"][0] == {
        "type": "bind",
        "name": None,
        "source": "/srv/alone/etc/app.conf",
        "destination": "/etc/app.conf",
        "writable": False,
    }
    assert docker_said.container(CONTAINERS[3], recorded())["dockerfile"] is None
    assert docker_said.container(CONTAINERS[0], recorded("/srv/alone/Dockerfile"))["dockerfile"] is None


def test_volumes_with_their_users_and_without_passwords():
    containers = [docker_said.container(one, recorded()) for one in CONTAINERS]
    found = {volume["name"]: volume for volume in docker_said.volumes(VOLUMES, containers, recorded())}
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
    assert [(one["name"], one["internal"], one["subnets"]) for one in found["networks"]] == [("bridge", False, [])]
    assert len(found["volumes"]) == 4
    image = {"id": "sha256:web", "tags": ["web:1"], "digests": [], "size_bytes": 5, "used_by": ["web"]}
    assert found["images"] == [image]
    assert [(one["source"], one["kind"], one["inside"]) for one in found["binds"]] == [
        ("/srv/alone/etc/app.conf", "missing", False)
    ]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("shop_db_1.phpborg-0a1b2c3d", {}),
        ("phpborg-0a1b2c3d-0", {"phpborg.session": "0a1b2c3d"}),
        ("phpborg-0a1b2c3d-1", {"phpborg.docker": "0a1b2c3d"}),
        ("phpborg-drill-0a1b2c3d-db-1", {"phpborg.drill": "0a1b2c3d9e8f"}),
    ],
)
def test_what_a_restore_set_aside_and_the_rest_of_our_own_is_no_part_of_it(engine: _Server, name: str, labels: Any):
    mine = inspected(name, labels=labels, Mounts=CONTAINERS[0]["Mounts"])
    engine.answers["/v1.41/containers/json?all=1"] = [
        *ANSWERS["/v1.41/containers/json?all=1"],
        {"Id": "mine", "Names": [f"/{name}"], "Labels": labels},
    ]
    engine.answers["/v1.41/containers/mine/json"] = mine
    found = facts()
    assert [one["name"] for one in found["containers"]] == ["db", "web", "task", "alone"]
    assert {user for one in found["volumes"] for user in one["used_by"]} == {"db"}


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


# --- what lies on the disk -------------------------------------------------------------------------


def test_what_only_the_compose_files_name(tmp_path: Path):
    (tmp_path / "app/img").mkdir(parents=True)
    (tmp_path / "app/.env").write_text("SECRET=never-told\n# OTHER=x\nIMAGES='../gone'\n")
    (tmp_path / "shared.env").write_text("PASSWORD=never-told\n")
    (tmp_path / "app/one.yml").write_text(
        "x-common: &common\n  env_file: [../shared.env]\n  profiles: [debug]\n"
        "services:\n  web:\n    <<: *common\n    build: ./img\n    environment:\n      PASSWORD: never-told\n"
        "secrets:\n  key:\n    file: ./key.txt\n"
    )
    (tmp_path / "app/two.yml").write_text(
        'services:\n  db:\n    env_file: ["${WHERE}.env", "${NONE:-base}.env"]\n    build: {context: $IMAGES}\n'
    )
    labels = compose("web")
    labels[LABEL + "project.working_dir"] = f"{tmp_path}/app"
    labels[LABEL + "project.config_files"] = f"{tmp_path}/app/one.yml,{tmp_path}/app/two.yml"
    labels[LABEL + "project.environment_file"] = ""
    (found,) = docker_said.projects([inspected("web", labels=labels)], Disk(base.Look({})))
    assert "never-told" not in json.dumps(found)
    assert (found["directory"], found["problem"], found["profiles"]) == ("directory", None, ["debug"])
    assert found["environment_files"] == [
        f"{tmp_path}/shared.env",
        f"{tmp_path}/app/base.env",
        f"{tmp_path}/app/.env",
    ]
    assert (found["files"], found["missing_files"]) == (
        [f"{tmp_path}/app/key.txt"],
        [f"{tmp_path}/app/base.env", f"{tmp_path}/app/key.txt"],
    )
    assert [(one["service"], one["context"], one["exists"]) for one in found["builds"]] == [
        ("web", f"{tmp_path}/app/img", True),
        ("db", f"{tmp_path}/gone", False),
    ]
    assert found["unclear"] == ["${WHERE}.env"]
    assert found["size_bytes"] > 0


def test_a_compose_file_that_is_not_understood_is_a_problem_and_no_guess(tmp_path: Path):
    (tmp_path / "odd.yml").write_text("services:\n  web:\n   - [\n")
    labels = {LABEL + "project": "odd", LABEL + "project.working_dir": str(tmp_path)}
    labels[LABEL + "project.config_files"] = f"{tmp_path}/odd.yml"
    (found,) = docker_said.projects([inspected("web", labels=labels)], Disk(base.Look({})))
    assert found["problem"] == f"{tmp_path}/odd.yml is not understood: a bracket is not closed"
    assert found["builds"] == []


def test_places_that_containers_see(tmp_path: Path):
    (tmp_path / "app/data").mkdir(parents=True)
    (tmp_path / "app.conf").write_text("12345")
    (tmp_path / "link").symlink_to(tmp_path / "app.conf")
    sources = [f"{tmp_path}/app/data", f"{tmp_path}/app.conf", f"{tmp_path}/link", f"{tmp_path}/none", "/dev/null"]
    mounts = [{"Type": "bind", "Source": one, "Destination": "/d", "RW": True} for one in sources]
    labels = {LABEL + "project": "p", LABEL + "project.working_dir": f"{tmp_path}/app"}
    disk = Disk(base.Look({}))
    said = [inspected("a", labels=labels, Mounts=mounts), inspected("b", Mounts=mounts[:1])]
    containers = [docker_said.container(one, disk) for one in said]
    found = {one["source"]: one for one in docker_said.binds(containers, docker_said.projects(said, disk), disk)}
    assert [found[one]["kind"] for one in sources] == ["directory", "file", "file", "missing", "other"]
    assert found[sources[0]]["containers"] == ["a", "b"]
    assert [found[one]["inside"] for one in sources[:2]] == [True, False]
    assert (found[sources[1]]["size_bytes"], found[sources[2]]["target"]) == (5, f"{tmp_path}/app.conf")


def test_a_volume_that_is_mounted_only_while_it_is_used_is_not_taken_for_an_empty_one(tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("x")
    (tmp_path / "empty").mkdir()

    def volume(folder: str, **more: Any) -> dict[str, Any]:
        return Disk(base.Look({})).volume({"Driver": "local", "Mountpoint": f"{tmp_path}/{folder}", **more})

    assert (volume("full")["readable"], volume("full")["empty"]) == (True, False)
    assert (volume("empty")["readable"], volume("empty")["empty"]) == (True, True)
    nfs = volume("empty", Options={"type": "nfs", "device": ":/x"})
    assert nfs == {"readable": False, "empty": None, "size_bytes": None}
    assert volume("empty", Driver="rexray")["readable"] is None
    assert volume("gone")["readable"] is False


@pytest.mark.parametrize(
    ("image", "env", "engine"),
    [
        ("postgres:15", [], "postgresql"),
        ("registry.example:5000/team/mariadb@sha256:ab", [], "mysql"),
        ("shop-db", ["PG_MAJOR=15", "POSTGRES_PASSWORD=never-told"], "postgresql"),
        ("shop-db", ["MONGO_VERSION=6"], "mongodb"),
        ("prom/mysqld-exporter", ["MYSQL_MAJOR=8"], None),
        ("mongo-express", [], None),
        ("wordpress", ["WORDPRESS_DB_PASSWORD=never-told"], None),
    ],
)
def test_a_database_is_recognised_by_its_image(image, env, engine):
    assert docker_said.database({"Config": {"Image": image, "Env": env}}) == engine


def test_a_database_is_recognised_by_its_program():
    config = {"Image": "own:1", "Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["/usr/sbin/mysqld", "--x"]}
    assert docker_said.database({"Config": config}) == "mysql"
    assert docker_said.database({"Config": {**config, "Cmd": ["sh", "-c", "mysqld"]}}) is None


def test_a_task_of_a_swarm_is_recognised():
    labels = {"com.docker.swarm.service.id": "x1", "com.docker.swarm.service.name": "shop_web"}
    assert docker_said.container(inspected("t", labels=labels), recorded())["stack"] == "shop_web"
