"""Containers that keep still for a backup, and what is seen of it: order, former states, others' hands, refusals."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from servers import errors
from tests.dockers.backing import Backup, inspected, quiet, run, sdk, status
from tests.dockers.fixtures_backup import backup, backup_engine, engine, here, place

__all__ = ["backup", "backup_engine", "engine", "here", "place"]
pytestmark = pytest.mark.real


def test_containers_are_paused_and_stopped_and_come_back_and_others_stay_as_they_were(backup: Backup, engine):
    for name in ("paused", "stopped", "was-paused", "was-stopped", "not-asked"):
        run(engine, name)
    engine.docker("pause", "was-paused")
    engine.docker("stop", "was-stopped")
    before = {name: inspected(engine, name)["State"] for name in ("was-paused", "was-stopped", "not-asked", "paused")}
    asked = [
        quiet("paused", "pause"),
        quiet("stopped", "stop"),
        quiet("was-paused", "pause"),
        quiet("was-stopped", "stop"),
    ]
    made = backup.make(containers=["paused", "stopped"], quiesce=asked)
    now = {name: status(engine, name) for name in ("paused", "stopped", "was-paused", "was-stopped", "not-asked")}
    assert now == {
        "paused": "paused", "stopped": "exited", "was-paused": "paused", "was-stopped": "exited", "not-asked": "running"
    }  # fmt: skip
    assert {row["container"]: (row["how"], row["from"]) for row in made["quiesced"]} == {
        "paused": ("pause", "running"),
        "stopped": ("stop", "running"),
    }
    assert backup.manifest()["quiesced"] == made["quiesced"]
    told = backup.state()
    assert (told["exists"], told["valid"], told["changed"], told["used_percent"]) == (True, True, [], None)
    backup.remove()
    assert {name: inspected(engine, name)["State"] for name in before} == before
    assert status(engine, "stopped") == "running"
    backup.is_gone()
    assert backup.remove() == []
    assert backup.state()["exists"] is False


def test_who_depends_on_others_stops_before_them_and_starts_after_them(backup: Backup, engine):
    labels = ("--label", "com.docker.compose.project=shop")
    for service, needs in (
        ("web", "api:service_started:false"),
        ("api", "db:service_healthy:true,cache"),
        ("db", ""),
        ("cache", ""),
    ):
        depends = f"com.docker.compose.depends_on={needs}"
        run(engine, f"shop-{service}-1", *labels, "--label", f"com.docker.compose.service={service}",
            "--label", "com.docker.compose.container-number=1", "--label", depends)  # fmt: skip
    asked = [quiet(f"shop-{service}-1", "stop", "shop", service) for service in ("db", "web", "cache", "api")]
    backup.make(quiesce=asked)
    ended = {name: inspected(engine, f"shop-{name}-1")["State"]["FinishedAt"] for name in ("web", "api", "db", "cache")}
    assert ended["web"] < ended["api"] < min(ended["db"], ended["cache"])
    backup.remove()
    began = {name: inspected(engine, f"shop-{name}-1")["State"]["StartedAt"] for name in ended}
    assert max(began["db"], began["cache"]) < began["api"] < began["web"]


def test_where_nothing_says_who_needs_whom_the_later_one_stops_first(backup: Backup, engine):
    for name in ("a-second", "z-first"):
        run(engine, name)
    engine.docker("restart", "--time", "0", "a-second")
    backup.make(quiesce=[quiet("z-first", "stop"), quiet("a-second", "stop")])
    ended = {name: inspected(engine, name)["State"]["FinishedAt"] for name in ("a-second", "z-first")}
    assert ended["a-second"] < ended["z-first"]


def test_with_a_restart_policy_it_stays_stopped_and_with_rm_it_is_paused_instead(backup: Backup, engine):
    run(engine, "always", "--restart", "always")
    identity = run(engine, "once", "--rm")
    made = backup.make(quiesce=[quiet("always", "stop"), quiet("once", "stop")])
    time.sleep(1)
    assert (status(engine, "always"), status(engine, "once")) == ("exited", "paused")
    assert [(row["code"], row["name"]) for row in made["findings"]] == [("paused_not_stopped", "once")]
    backup.remove()
    assert (status(engine, "always"), status(engine, "once")) == ("running", "running")
    assert inspected(engine, "once")["Id"] == identity
    assert inspected(engine, "always")["RestartCount"] == 0


def test_a_task_of_swarm_is_refused_with_the_reason_before_anything_is_touched(backup: Backup, engine):
    """Case 114."""
    run(engine, "plain")
    labels = ("service.id=abc", "service.name=web", "task.id=def")
    run(engine, "web.1.xyz", *(word for label in labels for word in ("--label", f"com.docker.swarm.{label}")))
    with pytest.raises(
        errors.SnapshotFailed, match=r"web\.1\.xyz is a task of the Swarm service web.*cannot be stopped"
    ):
        backup.make(quiesce=[quiet("plain", "stop"), quiet("web.1.xyz", "stop")])
    assert (status(engine, "plain"), status(engine, "web.1.xyz")) == ("running", "running")
    assert inspected(engine, "plain")["State"]["FinishedAt"].startswith("0001")
    backup.is_gone()


def test_a_container_made_anew_meanwhile_is_told_and_left_alone(backup: Backup, engine, place: Path):
    """Case 113."""
    (place / "docker-compose.yml").write_text(
        f"version: '2.4'\nservices:\n  web:\n    image: {backing_image()}\n    command: sleep 3600\n    init: true\n"
    )
    compose = ("--project-name", "shop")
    engine.compose(*compose, "up", "--detach", cwd=str(place))
    backup.make(quiesce=[quiet("shop_web_1", "stop", "shop", "web")])
    old = inspected(engine, "shop_web_1")["Id"]
    engine.compose(*compose, "up", "--detach", "--force-recreate", cwd=str(place))
    told = backup.state()
    assert [(row["kind"], row["code"], row["name"]) for row in told["changed"]] == [
        ("docker_changed", "recreated", "shop_web_1")
    ]
    assert told["valid"] is True
    new = inspected(engine, "shop_web_1")
    assert new["Id"] != old
    backup.remove()
    after = inspected(engine, "shop_web_1")
    assert (after["Id"], after["State"]["StartedAt"]) == (new["Id"], new["State"]["StartedAt"])


def test_one_made_anew_under_another_name_that_does_not_run_is_started(backup: Backup, engine, place: Path):
    """Case 113, with `up --no-start`: found by project and service."""
    (place / "docker-compose.yml").write_text(
        f"version: '2.4'\nservices:\n  web:\n    image: {backing_image()}\n    command: sleep 3600\n    init: true\n"
    )
    compose = ("--project-name", "shop")
    engine.compose(*compose, "up", "--detach", cwd=str(place))
    backup.make(quiesce=[quiet("shop_web_1", "stop", "shop", "web")])
    engine.compose(*compose, "up", "--no-start", "--force-recreate", cwd=str(place))
    engine.docker("rename", "shop_web_1", "another")
    assert status(engine, "another") == "created"
    backup.remove()
    assert status(engine, "another") == "running"


def test_what_somebody_started_stopped_or_removed_meanwhile_is_his(backup: Backup, engine):
    for name in ("started", "stopped-again", "removed", "unpaused"):
        run(engine, name)
    backup.make(
        quiesce=[*(quiet(name, "stop") for name in ("started", "stopped-again", "removed")), quiet("unpaused", "pause")]
    )
    engine.docker("start", "started")
    engine.docker("start", "stopped-again")
    engine.docker("stop", "stopped-again")
    engine.docker("rm", "removed")
    engine.docker("unpause", "unpaused")
    told = {row["name"]: row["code"] for row in backup.state()["changed"]}
    assert told == {"started": "started", "stopped-again": "started", "removed": "removed", "unpaused": "started"}
    began = inspected(engine, "started")["State"]["StartedAt"]
    backup.remove()
    assert inspected(engine, "started")["State"]["StartedAt"] == began
    assert status(engine, "stopped-again") == "exited"


def test_one_that_cannot_be_started_is_told_the_others_run_and_it_is_tried_again(backup: Backup, engine, place: Path):
    source = place / "source"
    source.mkdir()
    run(engine, "broken", "--mount", f"type=bind,source={source},target=/x")
    run(engine, "whole")
    backup.make(quiesce=[quiet("broken", "stop"), quiet("whole", "stop")])
    source.rename(place / "elsewhere")
    with pytest.raises(errors.SnapshotFailed, match=r"not everything runs again: broken: .*source"):
        backup.remove()
    assert status(engine, "whole") == "running"
    assert not (backup.kept / "made").exists()
    began = inspected(engine, "whole")["State"]["StartedAt"]
    with pytest.raises(errors.SnapshotFailed, match="broken"):
        backup.remove()
    (place / "elsewhere").rename(source)
    backup.remove()
    assert status(engine, "broken") == "running"
    assert inspected(engine, "whole")["State"]["StartedAt"] == began


def test_one_that_ends_at_once_when_it_is_started_is_told(backup: Backup, engine, place: Path):
    flag = place / "flag"
    flag.touch()
    script = "test -e /place/flag || exit 7; trap 'exit 0' TERM; while :; do sleep 0.1; done"
    run(engine, "picky", "--mount", f"type=bind,source={place},target=/place", argv=("/bin/sh", "-c", script))
    backup.make(quiesce=[quiet("picky", "stop")])
    flag.unlink()
    with pytest.raises(errors.SnapshotFailed, match="picky: it was started again and ended at once: exit 7"):
        backup.remove()
    flag.touch()
    backup.remove()
    assert status(engine, "picky") == "running"


def test_one_that_does_not_end_is_killed_and_that_is_told(backup: Backup, engine):
    argv = ("/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    run(engine, "deaf", "--stop-timeout", "1", argv=argv)
    made = backup.make(quiesce=[quiet("deaf", "stop")])
    assert [row["code"] for row in made["findings"]] == ["killed"]


def test_a_plan_that_is_not_known_is_refused(backup: Backup, engine):
    run(engine, "app")
    for plan in (
        {"more": []},
        {"quiesce": [quiet("app", "remove")]},
        {"quiesce": [{**quiet("app", "stop"), "argv": ["x"]}]},
        {"paths": ["relative"]},
        {"paths": ["/a/../b"]},
        {"images": ["$(id)"]},
        {"dumps": [{"container": "app", "engine": "oracle"}]},
        {"quiesce": [quiet("app", "pause")], "dumps": [{"container": "app", "engine": "mysql"}]},
    ):
        with pytest.raises((errors.RequestRefused, errors.UnsafePath)):
            backup.make(**plan)
        backup.is_gone()
    with sdk(engine) as client:
        assert [one.status for one in client.containers.list(all=True)] == ["running"]


def backing_image() -> str:
    """The image of all of these containers."""
    return "phpborg-test/plain:1"
