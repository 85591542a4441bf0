"""A container under other names, at other paths and ports: what follows is changed, and nothing else."""

from __future__ import annotations

import copy
import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from servers.remote.dockers import bodies
from servers.remote.dockers.creating import CreateContainer
from servers.remote.dockers.steps import Context

COMPOSE = "com.docker.compose."
HEX = "ab" * 32
ROW: dict[str, Any] = {
    "name": "shop_web_1",
    "image": "shop:1",
    "image_id": "sha256:" + "1" * 64,
    "create": {
        "Image": "shop:1",
        "Env": ["SECRET=/opt/app/x", "A=shop_web_1"],
        "Labels": {
            COMPOSE + "project": "shop",
            COMPOSE + "project.working_dir": "/opt/app",
            COMPOSE + "project.config_files": "/opt/app/a,b.yml,/opt/application/c.yml,/opt/app",
            COMPOSE + "project.environment_file": "/opt/app/.env",
            COMPOSE + "service": "web",
            "mine": "shop /opt/app it's; $(x)\n",
        },
        "HostConfig": {
            "NetworkMode": "shop_front",
            "IpcMode": "container:shop_db_1",
            "PidMode": "",
            "VolumesFrom": ["shop_db_1:ro"],
            "Links": ["shop_db_1:db"],
            "Binds": ["/opt/app/data:/d:rw,z", "/opt/application:/e", "shop_data:/f:ro", HEX + ":/g", "/h"],
            "Mounts": [
                {"Type": "bind", "Source": "/opt/app", "Target": "/i"},
                {
                    "Type": "volume",
                    "Source": "shop_data",
                    "Target": "/j",
                    "VolumeOptions": {"Labels": {COMPOSE + "project": "shop"}},
                },
                {"Type": "volume", "Source": HEX, "Target": "/k"},
                {"Type": "tmpfs", "Target": "/l"},
            ],
            "PortBindings": {
                "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "127.0.0.1", "HostPort": "8081"}],
                "81/udp": [{"HostIp": "::", "HostPort": "8000-8002"}],
                "82/tcp": [{"HostIp": "", "HostPort": ""}],
            },
        },
        "NetworkingConfig": {"EndpointsConfig": {"shop_front": {"Aliases": ["web"]}}},
    },
    "networks": {
        "shop_front": {
            "Aliases": ["web", "shop_web_1"],
            "IPAMConfig": {"IPv4Address": "10.0.0.9", "LinkLocalIPs": ["169.254.1.1"]},
            "MacAddress": "02:42:00:00:00:01",
        },
        "shop_back": {"Links": ["shop_db_1:store"], "IPAMConfig": {"IPv4Address": "10.1.0.9"}},
    },
}
EVERYTHING = {
    "project": {"shop": "copy"},
    "containers": {"shop_web_1": "copy_web_1", "shop_db_1": "copy_db_1"},
    "volumes": {"shop_data": "copy_data", HEX: ""},
    "networks": {"shop_front": "copy_front"},
    "paths": {"/opt/app": "/restored/x", "/opt/app/data": "/elsewhere/"},
    "ports": {"80/tcp@0.0.0.0:8080": "18080", "80/tcp@127.0.0.1:8081": None, "81/udp@:::8000-8002": "9000-9002"},
    "images": {"shop:1": "sha256:" + "2" * 64},
    "addresses": {"10.0.0.9": "10.9.0.9", "10.1.0.9": ""},
}


def test_without_renames_it_is_what_it_was() -> None:
    made = bodies.rewrite(ROW, {})
    first = {key: value for key, value in ROW["networks"]["shop_front"].items() if key != "MacAddress"}
    expected = {**ROW["create"], "NetworkingConfig": {"EndpointsConfig": {"shop_front": first}}}
    assert made == {
        "name": "shop_web_1",
        "body": expected,
        "networks": {"shop_back": ROW["networks"]["shop_back"]},
        "disconnect": [],
    }


def test_all_that_was_renamed_is_and_nothing_else() -> None:
    before = copy.deepcopy(ROW)
    made = bodies.rewrite(ROW, EVERYTHING)
    assert before == ROW
    body, host = made["body"], made["body"]["HostConfig"]
    assert made["name"] == "copy_web_1"
    assert body["Image"] == "sha256:" + "2" * 64
    assert body["Env"] == ROW["create"]["Env"]
    assert body["Labels"] == {
        COMPOSE + "project": "copy",
        COMPOSE + "project.working_dir": "/restored/x",
        COMPOSE + "project.config_files": "/restored/x/a,b.yml,/opt/application/c.yml,/restored/x",
        COMPOSE + "project.environment_file": "/restored/x/.env",
        COMPOSE + "service": "web",
        "mine": "shop /opt/app it's; $(x)\n",
    }
    assert host["NetworkMode"] == "copy_front"
    assert (host["IpcMode"], host["PidMode"]) == ("container:copy_db_1", "")
    assert (host["VolumesFrom"], host["Links"]) == (["copy_db_1:ro"], ["copy_db_1:db"])
    assert host["Binds"] == ["/elsewhere:/d:rw,z", "/opt/application:/e", "copy_data:/f:ro", "/g", "/h"]
    assert [mount.get("Source") for mount in host["Mounts"]] == ["/restored/x", "copy_data", None, None]
    assert host["Mounts"][1]["VolumeOptions"]["Labels"] == {COMPOSE + "project": "copy"}
    assert host["PortBindings"] == {
        "80/tcp": [{"HostIp": "", "HostPort": "18080"}],
        "81/udp": [{"HostIp": "::", "HostPort": "9000-9002"}],
        "82/tcp": [{"HostIp": "", "HostPort": ""}],
    }
    front = {
        "Aliases": ["web", "copy_web_1"],
        "IPAMConfig": {"IPv4Address": "10.9.0.9", "LinkLocalIPs": ["169.254.1.1"]},
    }
    assert body["NetworkingConfig"] == {"EndpointsConfig": {"copy_front": front}}
    assert made["networks"] == {"shop_back": {"Links": ["copy_db_1:store"], "IPAMConfig": {}}}


def test_a_port_that_is_not_published_any_more_leaves_no_empty_row() -> None:
    row = copy.deepcopy(ROW)
    row["create"]["HostConfig"]["PortBindings"] = {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
    made = bodies.rewrite(row, {"ports": {"80/tcp@0.0.0.0:8080": ""}})
    assert made["body"]["HostConfig"]["PortBindings"] == {}


@pytest.mark.parametrize(
    ("mode", "networks", "left", "further"),
    [
        ("default", {"bridge": {}}, [], []),
        ("default", {"back": {}}, ["bridge"], ["back"]),
        ("front", {"back": {}}, ["front"], ["back"]),
        ("front", {}, [], []),
        ("host", {"host": {}}, [], []),
        ("container:x", {}, [], []),
    ],
)
def test_the_network_that_it_is_made_in(mode: str, networks: Any, left: list[str], further: list[str]) -> None:
    row = {"name": "x", "create": {"Image": "i", "HostConfig": {"NetworkMode": mode}}, "networks": networks}
    made = bodies.rewrite(row, {})
    assert (made["disconnect"], sorted(made["networks"])) == (left, further)


def test_it_stands_alone_as_a_script_carries_it() -> None:
    """No import of ours, and JSON in and out."""
    alone = runpy.run_path(str(Path(bodies.__file__)))
    assert json.loads(json.dumps(alone["rewrite"](ROW, EVERYTHING))) == json.loads(
        json.dumps(bodies.rewrite(ROW, EVERYTHING))
    )


def test_references_by_a_short_id_become_names() -> None:
    said = {
        "Id": "f" * 64,
        "Config": {"Hostname": "f" * 12, "Image": "i", "Cmd": ["x"]},
        "HostConfig": {"NetworkMode": "container:" + "ab" * 6, "VolumesFrom": ["cd" * 32 + ":ro", "unknown"]},
    }
    made = bodies.from_inspect(said, {"ab" * 32: "one", "cd" * 32: "two"})["create"]
    assert made["HostConfig"]["NetworkMode"] == "container:one"
    assert made["HostConfig"]["VolumesFrom"] == ["two:ro", "unknown"]
    assert "Hostname" not in made
    assert made["Entrypoint"] == [""]


@pytest.mark.parametrize(("api", "where"), [((1, 41), "settings"), ((1, 44), "network")])
def test_a_fake_engine_is_told_the_address_of_the_card_where_its_version_takes_it(
    api: tuple[int, int], where: str
) -> None:
    """No engine as new as that is to be had here."""
    posted: list[Any] = []

    class FakeEngine:
        def container(self, name: str) -> None:
            return None

        def get(self, path: str) -> list[dict[str, str]]:
            return [{"Id": "b" * 64, "Name": "shop_back"}]

        def post(self, path: str, body: Any = None, **query: Any) -> dict[str, str]:
            posted.append(body)
            return {"Id": "f" * 64}

    engine: Any = FakeEngine()
    engine.api = api
    row = {**ROW, "create": {**ROW["create"], "MacAddress": "02:42:00:00:00:01"}}
    context: Any = Context(engine, "t" * 8, None, None, [], 0)  # type: ignore[arg-type]
    CreateContainer(context, bodies.rewrite(row, {})).apply(lambda more: None)
    body = posted[0]
    first = body["NetworkingConfig"]["EndpointsConfig"]["shop_front"]
    assert (body.get("MacAddress"), first.get("MacAddress")) == (
        ("02:42:00:00:00:01", None) if where == "settings" else (None, "02:42:00:00:00:01")
    )
    assert posted[1] == {"Container": "f" * 64, "EndpointConfig": ROW["networks"]["shop_back"]}
