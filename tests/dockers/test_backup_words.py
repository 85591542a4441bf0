"""What a backup of an engine is asked, and what is made of the engine's answers; no engine is asked here."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backups.services import freezing
from servers.remote import wire
from servers.remote.dockers import containers, dumping, planned, quiesce, scope, writing
from servers.remote.dockers.engine import Engine
from servers.remote.dockers.ondisk import Kept, write_whole
from servers.remote.dockers.reading import Seen
from servers.remote.snapshots import docker as kind

HOSTILE = "a b;$(id)'\"\n\udcff"


def said(
    name: str, *, needs: str = "", project: str = "shop", status: str = "running", **labels: str
) -> dict[str, Any]:
    """As `inspect` tells a container of a Compose project."""
    compose = {"project": project, "service": name, "container-number": "1", "depends_on": needs, **labels}
    return {
        "Id": f"id-of-{name}",
        "Name": f"/{name}",
        "State": {"Status": status, "StartedAt": "2026-01-01T00:00:00Z"},
        "Config": {"Labels": {f"com.docker.compose.{key}": value for key, value in compose.items()}},
        "HostConfig": {},
    }


def seen(*containers: dict[str, Any], volumes: tuple[dict[str, Any], ...] = ()) -> Seen:
    return Seen("28", "1.51", {}, list(containers), list(volumes), [], [], {})


def stop(name: str) -> planned.Quiet:
    return planned.Quiet(name, None, None, None, "stop")


def test_names_and_paths_of_every_kind_are_taken_as_they_are():
    plan = planned.plan(
        {"containers": [HOSTILE], "volumes": [HOSTILE], "paths": [f"/srv/{HOSTILE}"], "networks": [HOSTILE]}
    )
    assert (plan.containers, plan.volumes, plan.networks) == ([HOSTILE], [HOSTILE], [HOSTILE])
    assert plan.paths == [f"/srv/{HOSTILE}"]
    assert planned.plan({}).networks is None


@pytest.mark.parametrize(
    ("rules", "dumps", "allowed"),
    [
        ({}, True, True),
        ({"read_roots": ["/var"]}, False, False),
        ({"read_roots": ["/var"], "docker": True}, False, True),
        ({"read_roots": ["/srv"], "docker": True}, False, False),  # what is written down may not be read
        ({"read_roots": ["/var"], "docker": True}, True, False),
        ({"read_roots": ["/var"], "docker": True, "databases": True}, True, True),
        ({"docker": False}, False, False),
    ],
)
def test_the_policy_of_the_server_says_whether(tmp_path, monkeypatch, rules, dumps, allowed):
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(rules))
    monkeypatch.setattr("servers.remote.places.POLICY", str(file))
    plan = {"dumps": [{"container": "db", "engine": "mysql"}] if dumps else []}
    args = {"action": "make", "socket": "/run/docker.sock", "plan": plan}
    if allowed:
        assert kind.volume(args, {}).plan is not None
    else:
        with pytest.raises(wire.Refused, match="does not allow"):
            kind.volume(args, {})
    # What was made must go whatever it says by then.
    assert kind.volume({"action": "remove", "socket": "/run/docker.sock"}, {}).plan is None


@pytest.mark.parametrize("name", ["none", "dump"])
def test_who_does_not_keep_still_is_in_no_row(name):
    assert planned.plan({"quiesce": [{"container": "a", "how": name}]}).quiesce == []


def test_services_that_need_each_other_have_some_order():
    rows, _ = quiesce.rows(
        [stop("a"), stop("b"), stop("c")], seen(said("a", needs="b"), said("b", needs="a"), said("c", needs="a"))
    )
    assert rows[0]["container"] == "c"
    assert len(rows) == 3


def test_only_one_of_the_same_project_is_needed():
    rows, _ = quiesce.rows(
        [stop("web"), stop("db"), stop("other-db")],
        seen(
            said("web", needs="db:service_healthy:false"), said("db"), said("other-db", project="other", service="db")
        ),
    )
    assert {row["container"]: row["needed"] for row in rows} == {"web": False, "db": True, "other-db": False}


def test_one_that_was_renamed_is_found_by_its_service():
    asked = planned.Quiet("old-name", "shop", "web", 1, "stop")
    rows, told = quiesce.rows([asked], seen(said("new-name", service="web")))
    assert ([row["container"] for row in rows], told) == (["new-name"], [])


def test_what_run_started_once_is_not_the_service():
    asked = planned.Quiet("web", "shop", "web", 1, "stop")
    rows, told = quiesce.rows([asked], seen(said("web_run_1", service="web", oneoff="True")))
    assert (rows, [row["code"] for row in told]) == ([], ["container_missing"])


def test_a_volume_of_the_project_that_is_backed_up_comes_before_others_of_that_name():
    volumes = tuple(
        {"Name": f"{one}_data", "Labels": {"com.docker.compose.project": one, "com.docker.compose.volume": "data"}}
        for one in ("shop", "other")
    )
    plan = planned.plan({"containers": ["web"], "volumes": ["data"]})
    assert scope.volume_of("data", plan, seen(said("web"), volumes=volumes)) == "shop_data"
    assert scope.volume_of("other_data", plan, seen(said("web"), volumes=volumes)) == "other_data"
    assert scope.volume_of("shop", plan, seen(said("web"), volumes=volumes)) is None


def test_the_name_of_a_dump_is_never_a_path_elsewhere():
    assert dumping.path_of("shop_db-1", "mysql", 0) == "dumps/shop_db-1.sql"
    for name in ("../../etc/passwd", HOSTILE, ".hidden", "", "a" * 300):
        assert dumping.path_of(name, "mongodb", 3) == "dumps/container-3.archive"


def test_a_path_is_covered_by_itself_and_what_is_above_it():
    plan = planned.plan({"paths": ["/srv/app"], "binds": ["/etc/app.conf"]})
    assert writing.covered("/srv/app/data", plan)
    assert writing.covered("/etc/app.conf", plan)
    assert not writing.covered("/srv/application", plan)


def test_what_is_written_down_is_read_again_and_half_of_it_is_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("servers.remote.dockers.ondisk.BASE", str(tmp_path / "kept"))
    monkeypatch.setattr("servers.remote.dockers.ondisk.SEEN", str(tmp_path / "seen"))
    kept = Kept("0123456789abcdef")
    assert (kept.load(), kept.exists(), kept.remove()) == (False, False, False)
    kept.make("/run/docker.sock")
    kept.rows = [{"container": HOSTILE}]
    kept.save()
    again = Kept(kept.token)
    assert again.load()
    assert (again.socket, again.rows) == ("/run/docker.sock", [{"container": HOSTILE}])
    with pytest.raises(wire.Refused, match="exists already"):
        Kept(kept.token).make("/run/docker.sock")
    write_whole(f"{kept.directory}/state.json", b"{")
    with pytest.raises(wire.Refused, match="damaged"):
        again.load()
    assert again.remove()
    assert not kept.exists()


def test_a_fake_secret_without_an_end_is_not_read_into_memory():
    """A container says in its environment which file is read: it may be /dev/zero, or its program may not end."""
    given = {"out": 0, "err": 0}

    class FakeEngine:
        def execute(self, container: str, argv: list[str], out: Any, err: Any) -> int:
            for _ in range(1000):
                err(b"e" * 1000)
                given["err"] += 1
            for _ in range(1000):
                given["out"] += 1
                out(b"x" * 1000)
            return 0

    container = {"Id": "x", "Config": {"Env": ["POSTGRES_PASSWORD_FILE=/dev/zero"]}}
    told = dumping._Environment(FakeEngine(), container)  # type: ignore[arg-type]
    with pytest.raises(wire.Refused, match="larger than 65536 bytes"):
        told.first("POSTGRES_PASSWORD")
    assert given == {"out": 66, "err": 1000}


@pytest.mark.parametrize("size", [0, 65536])
def test_a_fake_secret_of_a_sensible_size_is_read(size: int):
    class FakeEngine:
        def execute(self, container: str, argv: list[str], out: Any, err: Any) -> int:
            for begin in range(0, size, 4096):
                out(b"x" * min(4096, size - begin))
            return 0

    container = {"Id": "x", "Config": {"Env": ["POSTGRES_PASSWORD_FILE=/run/secrets/p"]}}
    told = dumping._Environment(FakeEngine(), container)  # type: ignore[arg-type]
    assert told.first("POSTGRES_PASSWORD") == "x" * size


def test_two_that_say_the_same_of_themselves_are_not_kept_still():
    """One of them could be another's: it would be stopped, and started, in the place of the one that was meant."""
    twin = said("db", status="running")
    twin.update(Id="other", Name="/liar")
    with pytest.raises(wire.Refused, match="cannot be told") as refused:
        quiesce.rows([stop("db")], seen(said("db"), twin))
    assert refused.value.code == "snapshot"
    # One that `run` started once, and one that a restore has set aside, are none.
    for changed in ({"Name": "/db.phpborg-01234567"}, {"Config": said("db", oneoff="True")["Config"]}):
        rows, told = quiesce.rows([stop("db")], seen(said("db"), {**twin, **changed}))
        assert ([row["container"] for row in rows], told) == (["db"], [])


def test_a_fake_engine_tells_no_label_of_an_image():
    labels = {"com.docker.compose.project": "shop", "com.docker.compose.container-number": "1", "phpborg.drill": "x"}
    answers: dict[str, Any] = {
        "/containers/x/json": {"Id": "x", "Image": "sha256:1", "Config": {"Labels": {**labels, "mine": "y"}}},
        "/images/sha256%3A1/json": {"Config": {"Labels": labels}},
    }
    engine = Engine.__new__(Engine)
    engine.find = answers.get  # type: ignore[method-assign,assignment]
    found = engine.container("x")
    assert found is not None
    assert found["Config"]["Labels"] == {"mine": "y"}
    assert engine.container("y") is None


def test_a_hundred_containers_may_all_take_as_long_as_one_may():
    each = quiesce._START_SECONDS + containers.STOP_SECONDS + quiesce._STOP_MARGIN
    assert 100 * each <= freezing.REMOVE_SECONDS
