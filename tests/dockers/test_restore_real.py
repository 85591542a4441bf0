"""A restore into a real engine, killed anywhere, undone: containers, networks, volumes and files are as before."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from servers.remote import wire
from servers.remote.dockers import bodies, reading, restoring
from servers.remote.dockers.engine import Engine as Client
from tests.dockers.steps_at_hand import Step, do_all, fill, journals_fixture, killed_at, stage, tree_of
from tests.dockers.world import clean, data_of, declared, inspected, world
from tests.support.bridged import Bridged
from tests.support.sshd import wait_until

__all__ = ["journals_fixture"]
pytestmark = pytest.mark.real
TOKEN = "abcdef12-3456"
ASIDE = ".phpborg-abcdef12"
SPEAKS = "phpborg-test/speaks:1"
ARCHIVED = {"table": "archived rows", "deep/a b": "1"}
DAMAGED = {"table": "damaged rows", "junk": "2"}


@dataclass
class Shop:
    """A running project, what an archive knows of it, and what has become of it since."""

    engine: Bridged
    place: Path
    rows: dict[str, dict[str, Any]]

    @property
    def socket(self) -> str:
        return str(self.engine.socket)

    @property
    def data(self) -> Path:
        return data_of(self.engine, "shop_data")

    @property
    def former(self) -> tuple[Any, ...]:
        """All that must be there again."""
        trees = [tree_of(path, times=False) for path in (self.data, self.place / "app", self.place / "one.conf")]
        return world(self.engine), trees

    def stage(self) -> None:
        stage(self.data.parent, TOKEN, str(self.data), ARCHIVED, (4242, 4343))
        stage(self.place, TOKEN, str(self.place / "app"), {"compose.yml": "archived"})
        stage(self.place, TOKEN, str(self.place / "one.conf"), {"": "archived"})

    def steps(self) -> list[Step]:
        web = bodies.rewrite(self.rows["shop_web_1"], {})
        db = bodies.rewrite(self.rows["shop_db_1"], {})
        extra = {"Driver": "bridge", "IPAM": {"Config": [{"Subnet": "10.79.0.0/24"}]}, "Labels": {"a": "b;$(c)\n"}}
        app, conf = self.place / "app", self.place / "one.conf"
        return [
            ("need_image", {"reference": SPEAKS, "id": None}),
            ("create_network", {"name": "shop_extra", "body": extra}),
            ("create_volume", {"name": "shop_new", "driver": "local", "options": {}, "labels": {"x": "y"}}),
            *(("stop_container", {"container": name, "seconds": 5}) for name in ("shop_web_1", "shop_db_1", "user")),
            *(
                ("rename_container", {"container": f"shop_{one}_1", "to": f"shop_{one}_1{ASIDE}"})
                for one in ("web", "db")
            ),
            *(
                ("disconnect", {"network": network, "container": f"shop_web_1{ASIDE}"})
                for network in ("shop_front", "shop_back")
            ),
            ("exchange", {"target": str(self.data), "stage": str(self.data.parent), "source": str(self.data)}),
            ("exchange", {"target": str(app), "stage": str(self.place), "source": str(app)}),
            ("exchange", {"target": str(conf), "stage": str(self.place), "source": str(conf)}),
            ("create_container", db),
            ("start", {"container": "shop_db_1", "state": "running"}),
            ("create_container", web),
            ("start", {"container": "shop_web_1", "state": "paused"}),
            ("start", {"container": "user", "state": "running"}),
            ("healthy", {"container": "shop_db_1", "seconds": 20}),
            ("healthy", {"container": "user", "seconds": 20}),
        ]


def compose(service: str) -> list[str]:
    labels = {"project": "shop", "service": service, "container-number": "1", "oneoff": "False"}
    return [word for key, value in labels.items() for word in ("--label", f"com.docker.compose.{key}={value}")]


@pytest.fixture
def shop(pair: tuple[Bridged, Bridged], tmp_path: Path, journals: Path) -> Iterator[Shop]:
    engine, _ = pair
    clean(engine)
    app = tmp_path / "app"
    fill(app, {"compose.yml": "present", "b": "c"})
    fill(tmp_path / "one.conf", {"": "present"})
    engine.docker("network", "create", "--subnet", "10.78.0.0/24", "shop_front")
    engine.docker("network", "create", "shop_back")
    engine.docker("volume", "create", "--label", "com.docker.compose.project=shop", "shop_data")
    run = ["run", "--detach", "--restart", "always", "--volume", "shop_data:/srv"]
    engine.docker(*run, "--name", "shop_db_1", *compose("db"), "--network", "shop_back", SPEAKS)
    engine.docker(
        *(*run, "--name", "shop_web_1", *compose("web"), "--network", "shop_front", "--ip", "10.78.0.9"),
        *("--network-alias", "web", "--publish", "18099:80", "--env", "SECRET=x", "--volume", f"{app}:/app:ro", SPEAKS),
    )
    engine.docker("network", "connect", "--alias", "other", "shop_back", "shop_web_1")
    words = ["--detach", "--name", "user", "--volume", "shop_data:/d", "--no-healthcheck"]
    engine.docker("run", *words, SPEAKS)
    with Client(str(engine.socket)) as client:
        seen = reading.read(client)
        rows = {reading.name_of(said): reading.container_row(said, seen, reading.is_file) for said in seen.containers}
    made = Shop(engine, tmp_path, rows)
    # Since then: other settings, other data, and a container that somebody paused.
    engine.docker("rm", "--force", "shop_db_1")
    engine.docker(*run, "--name", "shop_db_1", *compose("db"), "--env", "LATER=1", "--network", "shop_back", SPEAKS)
    fill(made.data, DAMAGED, (7, 8))
    engine.docker("pause", "shop_db_1")
    made.stage()
    yield made
    engine.docker("unpause", "shop_db_1", check=False)
    clean(engine)


def carry_out(shop: Shop) -> list[dict[str, Any]]:
    with Client(shop.socket) as client:
        return do_all(client, TOKEN, shop.steps())


def test_it_is_restored_undone_and_restored_again(shop: Shop) -> None:
    before = shop.former
    restoring.begin(TOKEN)
    facts = carry_out(shop)
    assert facts[-2]["health"] == "healthy"
    assert {path.name: path.read_text() for path in shop.data.iterdir() if path.is_file()} == {"table": "archived rows"}
    assert (shop.data / "table").stat().st_gid == 4343
    for name, state in (("shop_db_1", "running"), ("shop_web_1", "paused"), ("user", "running")):
        assert inspected(shop.engine, name)["State"]["Status"] == state
    archived = declared(inspected(shop.engine, "shop_db_1"))
    assert "LATER=1" not in archived["config"]["Env"]
    assert declared(inspected(shop.engine, "shop_web_1"))["networks"]["shop_front"]["IPAMConfig"] == {
        "IPv4Address": "10.78.0.9"
    }
    # Neither of the two that were set aside comes back by itself beside the new ones.
    assert inspected(shop.engine, f"shop_db_1{ASIDE}")["HostConfig"]["RestartPolicy"]["Name"] == "no"
    assert inspected(shop.engine, "shop_db_1")["HostConfig"]["RestartPolicy"]["Name"] == "always"
    again = carry_out(shop)
    assert again == facts
    answer = restoring.rollback(shop.socket, TOKEN)
    assert answer["problems"] == answer["notes"] == []
    assert len(answer["undone"]) == len(shop.steps())
    assert shop.former == before
    assert restoring.rollback(shop.socket, TOKEN) == {"undone": [], "problems": [], "notes": []}
    restoring.begin(TOKEN)
    carry_out(shop)
    kept = restoring.state(TOKEN)["kept_bytes"]
    assert kept > 0
    told = restoring.forget(shop.socket, TOKEN, wire.Control(60))
    assert told["problems"] == []
    assert f"shop_web_1{ASIDE}" in told["removed"]
    now = world(shop.engine)
    assert set(now["containers"]) == {"/shop_web_1", "/shop_db_1", "/user"}
    assert not list(shop.place.glob(f".phpborg-{TOKEN}"))
    assert restoring.forget(shop.socket, TOKEN, wire.Control(60)) == {"removed": [], "problems": []}


def test_killed_in_every_kind_of_step_it_comes_back(shop: Shop) -> None:
    before = shop.former
    hit: set[tuple[str, bool]] = set()
    moment = 0
    while True:
        moment += 4
        restoring.begin(TOKEN)
        ended = killed_at(moment, lambda: carry_out(shop))
        told = restoring.state(TOKEN)["steps"]
        if told:
            hit.add((told[-1]["op"], told[-1]["done"]))
        answer = restoring.rollback(shop.socket, TOKEN)
        assert answer["problems"] == [], moment
        assert shop.former == before, moment
        if ended is not None:
            break
    ops = {op for op, _ in shop.steps()} - {"need_image", "healthy"}
    assert {op for op, done in hit if not done} >= ops


def test_a_rollback_that_is_killed_is_finished_by_the_next(shop: Shop) -> None:
    before = shop.former
    for moment in (2, 7, 16, 25, 34, 43, 52):
        restoring.begin(TOKEN)
        carry_out(shop)
        killed_at(moment, lambda: restoring.rollback(shop.socket, TOKEN))
        assert restoring.rollback(shop.socket, TOKEN)["problems"] == [], moment
        assert shop.former == before, moment


def test_after_a_power_cut_nobody_comes_back_by_himself_and_all_is_undone(shop: Shop) -> None:
    """The engine is killed with all that runs, and started again: what we stopped waits until it is brought back."""
    before = shop.former
    restoring.begin(TOKEN)
    steps = shop.steps()
    exchanged = max(number for number, (op, _) in enumerate(steps) if op == "exchange")
    with Client(shop.socket) as client:
        do_all(client, TOKEN, steps[: exchanged + 1])
    pid = shop.engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: shop.engine.pid is None)
    shop.engine.start()
    time.sleep(3)  # as long as an engine takes to start what it has to
    now = {name: state for name, (_, state, _) in world(shop.engine)["containers"].items()}
    assert set(now) == {f"/shop_web_1{ASIDE}", f"/shop_db_1{ASIDE}", "/user"}
    assert "running" not in now.values()
    assert restoring.rollback(shop.socket, TOKEN)["problems"] == []
    assert shop.former == before
