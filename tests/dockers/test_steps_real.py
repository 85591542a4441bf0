"""Single kinds of steps and the inventory against a real engine, with what goes wrong around them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servers.remote import dockers, policy, wire
from servers.remote.dockers import bodies, looking, reading, restoring
from servers.remote.dockers.engine import Engine as Client
from tests.dockers.conftest import image_in
from tests.dockers.steps_at_hand import HOSTILE, Step, do, do_all, fill, journals_fixture, request, stage
from tests.dockers.world import clean, data_of, declared, inspected, world
from tests.lab.engine import Engine, running_engine
from tests.support import registry
from tests.support.bridged import Bridged

__all__ = ["journals_fixture"]
pytestmark = pytest.mark.real
TOKEN = "abcdef12-3456"
SPEAKS, PLAIN = "phpborg-test/speaks:1", "phpborg-test/plain:1"
COMPOSE = "com.docker.compose."
WEB = """
version: "3.7"
services:
  web:
    image: phpborg-test/speaks:1
    environment: {SECRET: canary-env}
    volumes: ["data:/srv", "./html:/html:ro"]
    networks: {default: {aliases: [kettle]}}
  db:
    image: phpborg-test/plain:1
    command: [sleep, "3600"]
    stop_grace_period: 1s
    volumes: ["data:/srv"]
volumes: {data: {labels: {say: "it's; $$(x)"}}}
networks: {default: {}}
"""


@pytest.fixture
def first(pair: tuple[Bridged, Bridged], journals: Path) -> Iterator[Bridged]:
    clean(pair[0])
    yield pair[0]
    clean(pair[0])


@pytest.fixture
def second(pair: tuple[Bridged, Bridged]) -> Iterator[Bridged]:
    clean(pair[1])
    yield pair[1]
    clean(pair[1])


def carry_out(engine: Engine, steps: list[Step]) -> list[dict[str, Any]]:
    restoring.begin(TOKEN)
    with Client(str(engine.socket)) as client:
        return do_all(client, TOKEN, steps)


def roll_back(engine: Engine) -> dict[str, Any]:
    answer: dict[str, Any] = restoring.rollback(str(engine.socket), TOKEN)
    return answer


def seen(engine: Engine) -> reading.Seen:
    with Client(str(engine.socket)) as client:
        return reading.read(client)


def up(engine: Bridged, place: Path, *words: str) -> str:
    done = engine.compose("--project-name", "shop", "up", "--detach", *words, cwd=str(place))
    return done.stdout + done.stderr


def rows_of(engine: Bridged) -> dict[str, dict[str, Any]]:
    now = seen(engine)
    return {reading.name_of(said): reading.container_row(said, now, reading.is_file) for said in now.containers}


@pytest.fixture
def project(first: Bridged, tmp_path: Path) -> Path:
    place = tmp_path / "a b"
    (place / "html").mkdir(parents=True)
    (place / "docker-compose.yml").write_text(WEB)
    (place / ".env").write_text("A=1\n")
    up(first, place)
    return place


def test_case_117_compose_takes_what_was_restored_elsewhere_for_its_own(
    first: Bridged, second: Bridged, project: Path
) -> None:
    rows, now = rows_of(first), seen(first)
    volumes = {row["name"]: row for row in reading.volume_rows(now)}
    volume = volumes["shop_data"]
    (network,) = reading.network_rows(now)
    (data_of(first, "shop_data") / "x").write_text("kept")
    source = data_of(first, "shop_data")
    steps: list[Step] = [
        ("create_network", {"name": network["name"], "body": network["create"]}),
        *(
            ("create_volume", {key: one[key] for key in ("name", "driver", "options", "labels")})
            for one in volumes.values()
        ),
    ]
    carry_out(second, steps)
    target = data_of(second, "shop_data")
    stage(target.parent, TOKEN, str(source), {"x": "kept"})
    further: list[Step] = [("exchange", {"target": str(target), "stage": str(target.parent), "source": str(source)})]
    for name in ("shop_db_1", "shop_web_1"):
        further += [("create_container", bodies.rewrite(rows[name], {})), ("start", {"container": name})]
    with Client(str(second.socket)) as client:
        for number, (op, params) in enumerate(further, len(steps)):
            do(client, TOKEN, number, op, params)
    labels = world(second)["volumes"]["shop_data"][2]
    assert labels == {**volume["labels"], "say": "it's; $(x)"}
    assert {COMPOSE + "project": "shop", COMPOSE + "volume": "data"}.items() <= labels.items()
    said = up(second, project)
    assert said.count("up-to-date") == 2, said
    assert second.docker("exec", "shop_web_1", "/bin/cat", "/srv/x").stdout == "kept"
    for name in rows:
        assert declared(inspected(second, name)) == declared(inspected(first, name))
    assert roll_back(second)["problems"] == []
    assert world(second)["containers"] == world(second)["volumes"] == {}


def test_case_119_a_volume_without_a_name_is_at_its_place_again(first: Bridged, second: Bridged) -> None:
    first.docker("run", "--detach", "--name", "box", SPEAKS)
    row, now = rows_of(first)["box"], seen(first)
    (volume,) = reading.volume_rows(now)
    assert volume["anonymous"]
    assert len(volume["name"]) == 64
    assert row["mounts"][0]["name"] == volume["name"]
    source = data_of(first, volume["name"])
    make: list[Step] = [("create_volume", {key: volume[key] for key in ("name", "driver", "options", "labels")})]
    carry_out(second, make)
    target = data_of(second, volume["name"])
    stage(target.parent, TOKEN, str(source), {"x": "kept"})
    with Client(str(second.socket)) as client:
        params = {"target": str(target), "stage": str(target.parent), "source": str(source)}
        do(client, TOKEN, 1, "exchange", params)
        do(client, TOKEN, 2, "create_container", bodies.rewrite(row, {}))
        do(client, TOKEN, 3, "start", {"container": "box"})
    assert second.docker("exec", "box", "/bin/cat", "/var/lib/data/x").stdout == "kept"
    assert declared(inspected(second, "box")) == declared(inspected(first, "box"))
    assert roll_back(second)["problems"] == []
    assert world(second)["volumes"] == {}


def test_case_113_a_container_made_anew_meanwhile_is_found_by_its_labels(first: Bridged, project: Path) -> None:
    carry_out(first, [("stop_container", {"container": "shop_web_1", "seconds": None})])
    words = ("up", "--no-start", "--force-recreate", "--no-deps", "web")
    first.compose("--project-name", "shop", *words, cwd=str(project))
    assert inspected(first, "shop_web_1")["State"]["Status"] == "created"
    answer = roll_back(first)
    assert answer["problems"] == []
    assert "made anew" in answer["notes"][0]
    assert inspected(first, "shop_web_1")["State"]["Status"] == "running"


def test_compose_brings_up_and_its_undo_leaves_what_was_there(first: Bridged, project: Path) -> None:
    first.docker("rm", "--force", "shop_web_1")
    first.docker("stop", "shop_db_1")
    before = world(first)
    params = {"project": "shop", "working_dir": str(project), "files": [str(project / "docker-compose.yml")]}
    (facts,) = carry_out(first, [("compose_up", {**params, "env_files": [str(project / ".env")]})])
    assert facts["containers"] == ["shop_db_1", "shop_web_1"]
    now = world(first)
    assert now["containers"]["/shop_db_1"][:2] == (before["containers"]["/shop_db_1"][0], "running")
    assert roll_back(first)["problems"] == []
    assert world(first) == before


def test_compose_that_fails_says_why(first: Bridged, tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text('version: "3.7"\nservices: {web: {image: "nowhere.invalid/x:1"}}\n')
    params = {"project": "shop", "working_dir": str(tmp_path), "files": [str(tmp_path / "bad.yml")]}
    with pytest.raises(wire.Refused, match="Compose ended with exit 1"):
        carry_out(first, [("compose_up", params)])
    assert roll_back(first)["problems"] == []
    assert world(first)["containers"] == {}


def test_a_swarm_task_and_one_that_removes_itself_are_not_stopped(first: Bridged) -> None:
    words = ["--label", "com.docker.swarm.service.id=abc", "--label", "com.docker.swarm.service.name=web; $(x)"]
    first.docker("run", "--detach", "--name", "task", *words, SPEAKS)
    first.docker("run", "--detach", "--rm", "--name", "gone", SPEAKS)
    before = world(first)
    restoring.begin(TOKEN)
    with Client(str(first.socket)) as client:
        with pytest.raises(wire.Refused, match=r"task of the service web; \$\(x\)"):
            do(client, TOKEN, 0, "stop_container", {"container": "task", "seconds": 1})
        with pytest.raises(wire.Refused, match="--rm"):
            do(client, TOKEN, 1, "stop_container", {"container": "gone", "seconds": 1})
    assert world(first) == before


def test_what_is_there_and_equal_is_used_and_what_differs_is_refused(first: Bridged) -> None:
    first.docker("network", "create", "--subnet", "10.80.0.0/24", "netx")
    first.docker("volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "vol")
    before = world(first)
    options = {"type": "tmpfs", "device": "tmpfs"}
    same: list[Step] = [
        (
            "create_network",
            {"name": "netx", "body": {"Driver": "bridge", "IPAM": {"Config": [{"Subnet": "10.80.0.0/24"}]}}},
        ),
        ("create_volume", {"name": "vol", "driver": "local", "options": options, "labels": {}}),
    ]
    assert [facts["existed"] for facts in carry_out(first, same)] == [True, True]
    assert roll_back(first)["problems"] == []
    assert world(first) == before
    restoring.begin(TOKEN)
    with Client(str(first.socket)) as client:
        for op, params in (
            ("create_network", {"name": "netx", "body": {"IPAM": {"Config": [{"Subnet": "10.81.0.0/24"}]}}}),
            ("create_network", {"name": "netx", "body": {"Internal": True}}),
            ("create_volume", {"name": "vol", "options": {}}),
            ("create_volume", {"name": "vol", "driver": "other", "options": options}),
        ):
            with pytest.raises(wire.Refused) as refused:
                do(client, TOKEN, 0, op, params)
            assert refused.value.code == "exists"
    assert world(first) == before


def test_what_is_not_mounted_is_not_written_below(first: Bridged) -> None:
    first.docker("volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "vol")
    target = data_of(first, "vol")
    stage(target.parent, TOKEN, "/data", {"x": "y"})
    with pytest.raises(wire.Refused, match="mounted only while a container uses it"):
        carry_out(first, [("exchange", {"target": str(target), "stage": str(target.parent), "source": "/data"})])


def test_one_that_does_not_keep_running_or_is_not_healthy_is_told(first: Bridged) -> None:
    first.docker("run", "--detach", "--name", "ends", PLAIN, "sh", "-c", "exit 7")
    words = ["--health-cmd", "/bin/false", "--health-interval", "200ms", "--health-retries", "1"]
    first.docker("run", "--detach", "--name", "ill", *words, SPEAKS)
    restoring.begin(TOKEN)
    with Client(str(first.socket)) as client:
        with pytest.raises(wire.Refused, match="ended with exit 7"):
            do(client, TOKEN, 0, "healthy", {"container": "ends", "seconds": 5})
        with pytest.raises(wire.Refused, match=r"not healthy after 1 s \(unhealthy; its check ended with 1\)"):
            do(client, TOKEN, 1, "healthy", {"container": "ill", "seconds": 1})


def test_while_a_new_container_cannot_be_removed_nothing_before_it_is_undone(
    first: Bridged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files would be exchanged under it. The next rollback does the rest; also one without an engine waits."""
    fill(tmp_path / "app", {"a": "present"})
    stage(tmp_path, TOKEN, str(tmp_path / "app"), {"a": "archived"})
    first.docker("create", "--name", "box", SPEAKS)
    row = rows_of(first)["box"]
    before = world(first)
    steps: list[Step] = [
        ("exchange", {"target": str(tmp_path / "app"), "stage": str(tmp_path), "source": str(tmp_path / "app")}),
        ("create_container", bodies.rewrite(dict(row, name="box2"), {})),
        ("start", {"container": "box2"}),
    ]
    carry_out(first, steps)
    answer = restoring.rollback("/nowhere.sock", TOKEN)
    assert answer["undone"] == []
    assert any("waits" in problem for problem in answer["problems"])
    assert (tmp_path / "app/a").read_text() == "archived"
    assert roll_back(first)["problems"] == []
    assert (tmp_path / "app/a").read_text() == "present"
    assert world(first) == before


def test_the_inventory_tells_all_and_no_secret(first: Bridged, project: Path, tmp_path: Path) -> None:
    words = ["--label", f"say={HOSTILE}", "--publish", "127.0.0.1:18123:80", "--publish", "9000", "--rm"]
    first.docker("run", "--detach", "--name", "box", *words, "--env", "PASSWORD=canary-env", SPEAKS)
    first.docker("create", "--name", "later", "--publish", "18200:81/udp", "--env", "X=canary-env", PLAIN, "sleep", "1")
    options = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=1m,password=canary-option"]
    first.docker("volume", "create", *options, "remote")
    (tmp_path / "li nk").symlink_to(tmp_path)
    asked = [str(project), str(tmp_path / "not/there"), str(tmp_path / "li nk" / "x"), "/proc", str(project / ".env")]
    with Client(str(first.socket)) as client:
        said = looking.inventory(client, {"paths": asked}, wire.Control(60))
    text = json.dumps(said)
    assert "canary" not in text
    assert "create" not in text.replace("created", "")
    rows = {row["name"]: row for row in said["containers"]}
    assert set(rows) == {"box", "later", "shop_db_1", "shop_web_1"}
    assert {"ip": "127.0.0.1", "port": 18123, "protocol": "tcp", "container_port": 80} in rows["box"]["ports"]
    assert {row["container_port"] for row in rows["box"]["ports"]} == {80, 9000}
    assert rows["box"]["auto_remove"]
    assert rows["later"]["ports"] == [{"ip": "0.0.0.0", "port": 18200, "protocol": "udp", "container_port": 81}]
    assert (rows["shop_web_1"]["project"], rows["shop_web_1"]["number"]) == ("shop", 1)
    assert rows["shop_web_1"]["networks"] == ["shop_default"]
    assert {"ip": "127.0.0.1", "port": 18123, "protocol": "tcp"} in said["listening"]
    (remote,) = [row for row in said["volumes"] if row["name"] == "remote"]
    assert remote["options"]["o"] == "size=1m,password=***"
    assert remote["option_names"] == ["device", "o", "type"]
    (network,) = [row for row in said["networks"] if row["name"] == "shop_default"]
    assert network["containers"] == ["shop_db_1", "shop_web_1"]
    assert network["subnets"]
    places = said["paths"]
    assert (places[str(project)]["kind"], places[str(project)]["empty"]) == ("directory", False)
    assert places[str(tmp_path / "not/there")]["exists"] is False
    assert places[str(tmp_path / "not/there")]["free_bytes"] > 0
    assert places[str(tmp_path / "li nk" / "x")]["links"]
    assert places["/proc"]["renamable"] is False
    assert places[str(project)]["renamable"]
    assert said["engine"]["compose"] == {"command": "docker-compose", "version": "1.29.2"}
    assert said["data_root_free_bytes"] > 0
    assert [row["name"] for row in said["projects"]] == ["shop"]


def test_a_chosen_subnet_and_an_assigned_one_are_told_apart(first: Bridged) -> None:
    first.docker("network", "create", "assigned")
    first.docker("network", "create", "--subnet", "10.82.0.0/24", "chosen")
    first.docker("network", "create", "--subnet", "10.83.0.0/24", "--gateway", "10.83.0.1", "both")
    # One that looks like the engine's own choice, because it was: only a chosen address gives it away.
    form = "{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}}{{end}}"
    first.docker("network", "create", "alike")
    subnet, gateway = first.docker("network", "inspect", "--format", form, "alike").stdout.split()
    first.docker("network", "rm", "alike")
    first.docker("network", "create", "--subnet", subnet, "--gateway", gateway, "alike")
    address = gateway.rpartition(".")[0] + ".77"
    first.docker("create", "--name", "box", "--network", "alike", "--ip", address, PLAIN, "sleep", "1")
    rows = {row["name"]: row["assigned"] for row in reading.network_rows(seen(first))}
    assert rows == {"assigned": True, "chosen": False, "both": False, "alike": False}


def test_an_image_is_pulled_by_its_digest_and_gets_its_name(journals: Path) -> None:
    with running_engine() as engine:
        image_in(engine)
        with registry.serving(engine, PLAIN) as reference:
            former = engine.docker("image", "inspect", "--format", "{{.Id}}", SPEAKS).stdout.strip()
            engine.docker("tag", SPEAKS, "phpborg-test/moved:1")
            params = {"reference": reference, "id": None, "tag": "phpborg-test/moved:1"}
            try:
                (facts,) = carry_out(engine, [("pull_image", params)])
                assert facts["pulled"]
                now = engine.docker("image", "inspect", "--format", "{{.Id}}", "phpborg-test/moved:1").stdout.strip()
                assert now == facts["id"] != former
                assert roll_back(engine)["problems"] == []
                now = engine.docker("image", "inspect", "--format", "{{.Id}}", "phpborg-test/moved:1").stdout.strip()
                assert now == former
                restoring.begin(TOKEN)
                with Client(str(engine.socket)) as client:
                    (again,) = do_all(client, TOKEN, [("pull_image", {**params, "id": facts["id"]})])
                    assert not again["pulled"]
                    with pytest.raises(wire.Refused, match="refused"):
                        do(client, TOKEN, 1, "pull_image", {"reference": "127.0.0.1:1/nothing:1"})
                    with pytest.raises(wire.Refused, match="no image nothing:1"):
                        do(client, TOKEN, 2, "need_image", {"reference": "nothing:1", "id": None})
            finally:
                engine.docker("rmi", "--force", "phpborg-test/moved:1", reference, check=False)


def test_the_policy_forbids_steps_where_roots_are_listed(
    first: Bridged, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    asked = request(0, "need_image", {"reference": PLAIN})
    asked.args.update(socket=str(first.socket), token=TOKEN)
    for text, allowed in (('{"restore_roots": ["/x"]}', False), ('{"docker": false}', False), ("{}", True)):
        (tmp_path / "policy.json").write_text(text)
        if not allowed:
            with pytest.raises(wire.Refused, match="“docker” in the policy"):
                dockers.docker(asked, wire.Control(60))
    (tmp_path / "policy.json").write_text('{"restore_roots": ["/x"], "docker": true}')
    policy.check_docker()
    with pytest.raises(wire.Refused, match="no restore"):
        dockers.docker(asked, wire.Control(60))
