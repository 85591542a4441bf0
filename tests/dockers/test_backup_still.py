"""Keeping still with a fake engine: what happens between two of its answers, which no real one does at will."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backups.services import docker_record
from servers.remote import wire
from servers.remote.dockers import lasting, planned, quiesce, reading
from servers.remote.dockers.engine import Engine
from servers.remote.dockers.measuring import Counting
from servers.remote.dockers.ondisk import Kept
from servers.remote.probes import docker_said
from servers.remote.snapshots import docker as kind
from tests.dockers.test_backup_words import said, seen

Row = dict[str, Any]


class FakeEngine(Engine):
    """Containers by their ids; `before` is called with each order's path, as somebody else's hand would act then."""

    def __init__(self, *containers: Row, before: Callable[[str], None] | None = None) -> None:
        self.there = {one["Id"]: one for one in containers}
        self.orders: list[str] = []
        self.before = before or (lambda path: None)

    def container(self, name: str) -> Row | None:
        found = [one for one in self.there.values() if name in (one["Id"], one["Name"].lstrip("/"))]
        return found[0] if found else None

    def get(self, path: str, seconds: float = 0, **query: Any) -> Any:
        assert path == "/containers/json"
        return [{"Id": identity} for identity in self.there]

    def post(self, path: str, body: Any = None, seconds: float = 0, **query: Any) -> None:
        self._carry_out(path)

    def order(self, path: str, seconds: float = 0, **query: Any) -> bool:
        return self._carry_out(path)

    def _carry_out(self, path: str) -> bool:
        """As the real one: a pause of what does not run is refused, a stop of it changes nothing."""
        self.before(path)
        _, _, identity, order = path.split("/")
        now = (self.container(identity) or {}).get("State")
        if now is None:
            raise wire.Refused("engine", "no such container", status=404)
        if order == "stop" and now["Status"] == "exited":
            return False
        if order == "pause" and now["Status"] != "running":
            raise wire.Refused("engine", "it is not running", status=409)
        self.orders.append(f"{order} {identity}")
        after = {"pause": "paused", "stop": "exited", "start": "running", "unpause": "running"}[order]
        now.update(Status=after, ExitCode=0)
        return True


def asked(name: str, how: str) -> planned.Quiet:
    return planned.Quiet(name, None, None, None, how)


def kept_still(engine: FakeEngine, rows: list[Row]) -> list[Row]:
    return quiesce.keep_still(engine, rows, lambda: None, wire.Control(0))


def made(how: str, *containers: Row) -> list[Row]:
    rows, told = quiesce.rows([asked(one["Name"].lstrip("/"), how) for one in containers], seen(*containers))
    assert told == []
    return rows


@pytest.mark.parametrize("how", ["pause", "stop"])
@pytest.mark.parametrize("moment", ["before it is looked at", "after it was looked at"])
def test_with_a_fake_who_ended_before_it_was_its_turn_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, how: str, moment: str
) -> None:
    job, other = said("job"), said("other")
    rows = made(how, job, other)

    def end(path: str = "job") -> None:
        if "job" in path:
            job["State"].update(Status="exited", ExitCode=137)

    engine = FakeEngine(job, other, before=end if moment.startswith("after") else None)
    if moment.startswith("before"):
        end()
    assert kept_still(engine, rows) == []
    assert {row["container"]: row["begun"] for row in rows} == {"job": False, "other": True}
    assert engine.orders == [f"{how} id-of-other"]
    engine.before = lambda path: None
    monkeypatch.setattr(quiesce, "_STEADY_SECONDS", 0)
    assert quiesce.bring_back(engine, rows, lambda: None) == []
    assert job["State"]["Status"] == "exited"
    assert other["State"]["Status"] == "running"


def test_with_a_fake_who_was_paused_by_somebody_meanwhile_stays_paused() -> None:
    job = said("job")
    rows = made("pause", job)
    engine = FakeEngine(job, before=lambda path: job["State"].update(Status="paused"))
    assert kept_still(engine, rows) == []
    engine.before = lambda path: None
    assert quiesce.bring_back(engine, rows, lambda: None) == []
    assert job["State"]["Status"] == "paused"


def test_with_a_fake_that_refuses_to_pause_what_runs_it_is_a_failure() -> None:
    def refuse(path: str) -> None:
        raise wire.Refused("engine", "cgroups say no", status=500)

    job = said("job")
    with pytest.raises(wire.Refused, match="cgroups"):
        kept_still(FakeEngine(job, before=refuse), made("pause", job))


def test_with_a_fake_who_was_made_anew_or_removed_just_before_is_told() -> None:
    rows = made("stop", said("anew"), said("gone"))
    now = dict(said("anew"), Id="another")
    told = kept_still(FakeEngine(now), rows)
    assert {row["name"]: row["code"] for row in told} == {"anew": "not_still", "gone": "container_missing"}
    assert not any(row["begun"] for row in rows)


def test_with_a_fake_who_was_started_anew_just_before_keeps_still_since_then() -> None:
    rows = made("stop", said("job"))
    job = said("job")
    job["State"]["StartedAt"] = "2026-02-02T00:00:00Z"
    assert kept_still(FakeEngine(job), rows) == []
    assert (rows[0]["begun"], rows[0]["started"]) == (True, "2026-02-02T00:00:00Z")


def test_with_a_fake_stops_before_the_last_one_count_as_kept_still() -> None:
    rows = made("stop", said("first"), said("second"))
    assert quiesce.still_seconds(rows) is None
    kept_still(FakeEngine(said("first"), said("second")), rows)
    rows[0]["at"] -= 40
    assert (quiesce.still_seconds(rows) or 0) >= 40
    rows[0]["at"] += 100_000  # somebody set the clock back
    rows[1]["at"] += 100_000
    assert quiesce.still_seconds(rows) == 0


def test_what_a_restore_has_set_aside_is_in_no_backup(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = dict(said("db"), Name="/db.phpborg-0a1b2c3d")
    drill = said("phpborg-drill-0a1b2c3d-db-1")
    drill["Config"]["Labels"]["phpborg.drill"] = "0a1b2c3d9e8f"
    mounts = [{"Type": "volume", "Name": "data", "Source": "/v/data/_data"}]
    volume = {"Name": "data", "Driver": "local", "Mountpoint": "/v/data/_data"}
    everything = seen(*(dict(one, Mounts=mounts) for one in (said("db"), kept, drill)), volumes=(volume,))
    plan = planned.plan({"containers": ["db", "db.phpborg-0a1b2c3d"], "volumes": ["data"]})
    monkeypatch.setattr(reading, "read", lambda engine: everything)
    making = kind._Making(FakeEngine(), Kept("0123456789abcdef"), plan, wire.Control(0))
    there, found, told = making._seen, making._scope, making._told
    assert [reading.name_of(one) for one in there.containers] == ["db"]
    assert reading.volume_rows(there)[0]["used_by"] == ["db"]
    assert found.containers == ["db"]
    assert [(row["code"], row["name"]) for row in told] == [("container_missing", "db.phpborg-0a1b2c3d")]


@pytest.mark.parametrize(
    "name", ["phpborg-web-1", "a.phpborg-short", "b.phpborg-0a1b2c3d-copy", "x.phpborg-0a1b2c3d\n"]
)
def test_a_name_that_only_looks_like_ours_is_theirs(name: str) -> None:
    assert docker_said.is_to_be_kept({"Name": "/" + name, "Config": {"Labels": {"phpborg": "x"}}})
    aside = {"Name": "/web.phpborg-0a1b2c3d", "Config": {"Labels": {}}}
    assert not docker_said.is_to_be_kept(aside)


def test_with_a_fake_one_that_ends_and_is_started_again_and_again_is_told() -> None:
    loop, other = said("loop", status="restarting"), said("other")
    rows, told = quiesce.rows([asked("loop", "stop"), asked("other", "stop")], seen(loop, other))
    assert [row["container"] for row in rows] == ["other"]
    assert [(row["kind"], row["code"], row["name"]) for row in told] == [("docker_not_still", "restarting", "loop")]
    # Also when it begins to between the two looks.
    other["State"]["Status"] = "restarting"
    told = kept_still(FakeEngine(other), rows)
    assert [(row["code"], row["name"], rows[0]["begun"]) for row in told] == [("restarting", "other", False)]


def test_with_a_fake_what_could_not_be_counted_is_no_zero(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("servers.remote.dockers.ondisk.BASE", str(tmp_path / "kept"))
    monkeypatch.setattr("servers.remote.dockers.ondisk.SEEN", str(tmp_path / "seen"))
    mounts = [{"Type": "volume", "Name": "a", "Source": str(tmp_path / "gone")}, {"Type": "volume", "Name": "b"}]
    there = seen(dict(said("db"), Mounts=mounts), dict(said("known"), Mounts=[]))
    monkeypatch.setattr(reading, "read", lambda engine: there)
    plan = planned.plan({"dumps": [{"container": name, "engine": "mysql"} for name in ("db", "known")]})
    kept = Kept("0123456789abcdef")
    kept.make("/run/docker.sock")
    making = kind._Making(FakeEngine(), kept, plan, wire.Control(0))
    making._check_room([])
    assert [(row["code"], row["name"]) for row in making._told] == [("room_unknown", "db")]
    with pytest.raises(wire.Refused, match=f"needs at least {1 << 60} bytes") as refused:
        making._check_room([{"Size": 1 << 60}])
    assert refused.value.code == "no-room"


def test_what_is_counted_is_what_borg_stores(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("file", "folder/file"):
        (tmp_path / name).write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(tmp_path / "folder/socket"))
        assert Counting(60, lambda: None).directory(str(tmp_path))["files"] == 4


def test_with_a_fake_a_volume_is_counted_again_once_all_of_its_users_keep_still(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = [said(name) for name in ("quiet", "busy", "loop")] + [said("ended", status="exited")]
    there[2]["State"]["Status"] = "restarting"
    monkeypatch.setattr(reading, "read", lambda engine: seen(*there))
    kept = Kept("0123456789abcdef")
    making = kind._Making(FakeEngine(), kept, planned.plan({}), wire.Control(0))
    kept.rows = [{"container": name, "begun": begun} for name, begun in (("quiet", True), ("busy", False))]

    def counted(*users: str, **more: Any) -> tuple[bool, int | None]:
        row = {"name": "v", "used_by": list(users), "path": str(tmp_path), "files": 7, "empty": False, "still": False}
        (found,) = making._count_still([{**row, **more}])
        return found["still"], found["files"]

    assert counted("quiet") == (True, 0)  # what it removed when it ended is no loss
    assert counted("quiet", "ended") == (True, 0)
    assert counted("quiet", "busy") == counted("quiet", "loop") == (False, 7)
    assert counted("ended") == counted() == (False, 7)  # nothing was asked of them: the first count is right
    assert counted("quiet", files=None) == (False, None)
    assert counted("quiet", path=None) == (False, 7)
    monkeypatch.setattr(kind, "_COUNT_STILL_SECONDS", -1.0)
    (tmp_path / "file").touch()
    assert counted("quiet") == (False, 7)


@pytest.mark.parametrize(
    ("how", "after", "code", "words"),
    [
        ("pause", {"Status": "paused"}, None, ""),
        ("pause", {"Status": "running"}, "started", "started while it was paused, by somebody or by a restart"),
        ("pause", {"Status": "exited", "ExitCode": 255}, "ended", "ended while it was paused, as it does when"),
        ("stop", {"Status": "exited"}, None, ""),
        ("stop", {"Status": "running"}, "started", "started while it was stopped, by somebody or by a restart"),
        ("stop", {"Status": "exited", "FinishedAt": "2027-01-01T00:00:00Z"}, "started", "it is exited now"),
    ],
)
def test_with_a_fake_a_restart_of_the_engine_is_not_said_to_be_somebodys_hand(
    how: str, after: Row, code: str | None, words: str
) -> None:
    job = said("job")
    job["State"]["FinishedAt"] = "2026-01-02T00:00:00Z"
    engine = FakeEngine(job)
    rows = made(how, job)
    kept_still(engine, rows)
    job["State"].update(after)
    told = lasting.changed(engine, rows)
    assert [row["code"] for row in told] == ([code] if code else [])
    assert all(words in row["message"] for row in told)
    shown = docker_record.findings(told)
    assert not any("somebody started" in one.message for one in shown)
    assert all("engine" in one.message for one in shown)
