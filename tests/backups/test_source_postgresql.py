"""PostgreSQL's plans: which way is taken for which cluster, and what is in it and what not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backups import source_errors as e
from backups.sources.base import Consistency, SourcePlan, View
from servers.remote.probes import lvm as lvm_probe
from tests.backups.test_source_databases import WEIRD, plan
from tests.support.reports import GB, btrfs, cluster, debian, directory, login, lv, lvm, mount, probe, report

ACCESS = {"major": "15", "socket": "/var/run/postgresql", "port": 5432, "owner": "postgres"}
DATA = "/var/lib/postgresql/15/main"
CONF = "/etc/postgresql/15/main/postgresql.conf"
RECORDED = Path(__file__).parents[1] / "support/recorded/lvm-2.03.json"
SPACE = {"name": "fast", "location": "/var/lib/postgresql/fast", "size_bytes": GB}


def one(
    method: str, *, config: dict[str, Any] | None = None, volumes: dict[str, Any] | None = None, **more: Any
) -> Any:
    """The plan for a cluster that differs from the usual one by `more`."""
    probes = debian()["probes"]
    programs = probes["postgresql"]["facts"]["programs"]
    facts = {name: probes[name] for name in ("mounts", "lvm", "btrfs", "zfs")} | (volumes or {})
    facts["postgresql"] = {"programs": programs, "clusters": [cluster(**more)]}
    return plan("postgresql", method, report(**facts), **(config or {}))


def text(made: SourcePlan) -> str:
    return " ".join(map(str, made.sentences))


def database(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "size_bytes": GB, "is_template": False, "allows_connections": True, **more}


# --- stream ------------------------------------------------------------------------------------------


def test_one_stream_holds_a_cluster_whose_tablespaces_are_its_own() -> None:
    made = one("stream")
    assert made.feed
    assert made.feed.row() == {**ACCESS, "producer": "pg_basebackup", "folder": DATA, "files": [CONF]}
    assert (made.paths, made.streams, made.freeze) == ((), (), None)
    assert "no tablespace lies outside" in text(made)
    assert "Adds 1 configuration file." in text(made)
    record = made.database
    assert record
    assert (record.engine, record.server_version, record.method) == ("postgresql", "15.18", "stream")
    assert (record.data_directory, record.consistency) == (DATA, Consistency.PHYSICAL)
    assert {(row["kind"], row["name"]) for row in record.included} == {
        ("data", DATA),
        ("config", CONF),
        *(("database", name) for name in ("postgres", "shop", "weird-db name", "a$b;c")),
    }
    assert record.facts["instance"] == "15/main"
    assert json.loads(json.dumps(record.as_json()))["consistency"] == "physical-consistent"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"tablespaces": [SPACE]}, "1 tablespace lies outside"),
        ({"tablespaces": [SPACE, {**SPACE, "name": "other"}]}, "2 tablespaces lie outside"),
        ({"max_wal_senders": 0}, "max_wal_senders = 0"),
    ],
)
def test_backup_mode_is_used_where_one_stream_does_not_do(more: dict[str, Any], why: str) -> None:
    made = one("stream", **more)
    assert made.feed.producer == "pg_backup"
    assert made.feed.folder == DATA
    assert why in text(made)
    assert made.database.facts["producer"] == "pg_backup"
    kinds = [row["kind"] for row in made.database.included]
    assert kinds.count("tablespace") == len(more.get("tablespaces", ()))


@pytest.mark.parametrize(
    ("version", "major"), [("15.18", "15"), ("9.6.24", "9.6"), ("16beta1", "16"), ("17", "17"), ("10.1", "10")]
)
def test_the_major_version_is_told_as_its_programs_are_called(version: str, major: str) -> None:
    assert one("stream", version=version).feed.arguments["major"] == major


def test_backup_mode_of_old_versions_outlives_its_session_and_is_refused() -> None:
    assert one("stream", version="9.5.1").feed.producer == "pg_basebackup"
    with pytest.raises(e.VersionTooOld):
        one("stream", version="9.5.1", tablespaces=[SPACE])
    assert one("stream", version="9.6.1", tablespaces=[SPACE]).feed.producer == "pg_backup"


def test_too_little_log_is_refused_and_a_standby_is_told() -> None:
    with pytest.raises(e.LogTooBrief):
        one("stream", wal_level="minimal", max_wal_senders=0)
    assert "standby" in text(one("stream", in_recovery=True))


def test_settings_in_the_data_directory_come_with_it_and_folders_are_told() -> None:
    inside, folder = f"{DATA}/postgresql.conf", "/etc/postgresql/15/main/conf.d"
    made = one("stream", config_files=[inside, CONF, folder])
    assert made.feed.arguments["files"] == [CONF]
    included = [row["name"] for row in made.database.included if row["kind"] == "config"]
    assert included == [inside, CONF]
    assert made.database.not_included == ({"kind": "config", "name": folder, "reason": "a folder, not a file"},)
    assert "files" not in one("stream", config={"config_files": False}).feed.arguments


def test_a_data_directory_that_nobody_confirmed_is_a_finding() -> None:
    made = one("stream", data=directory(DATA, confidence="low"))
    assert [(row.kind, row.path) for row in made.findings] == [("directory_guessed", DATA)]
    with pytest.raises(e.InstanceUnclear):
        one("stream", data=directory("relative/path"))


# --- snapshot ----------------------------------------------------------------------------------------


def test_a_snapshot_shows_every_directory_at_its_own_place() -> None:
    wal = "/var/lib/postgresql/wal"
    made = one("snapshot", wal_directory=wal, tablespaces=[SPACE])
    freeze = made.freeze
    assert freeze
    assert freeze.views == (
        View("/15/main", DATA),
        View("/wal", wal),
        View("/fast", "/var/lib/postgresql/fast"),
    )
    arguments = dict(freeze.arguments)
    assert arguments.pop("hold") == {"engine": "postgresql", **ACCESS}
    size = arguments.pop("size_bytes")
    assert arguments == {"kind": "lvm", "vg": "vg-a", "lv": "lv-data"}
    assert size % (4 << 20) == 0
    assert made.paths == (DATA.encode(), wal.encode(), b"/var/lib/postgresql/fast", CONF.encode())
    assert made.excludes == (f"pf:{DATA}/postmaster.pid",)
    assert str(freeze.sentence).startswith("Makes a snapshot of vg-a/lv-data with room for")
    assert "LVM keeps" in text(made)
    assert "vg-a/lv-data" in text(made)
    assert made.database.consistency is Consistency.CRASH
    assert made.database.facts["wal_directory"] == wal


def test_a_tablespace_inside_another_directory_is_seen_with_it() -> None:
    inner = {**SPACE, "location": f"{DATA}/space"}
    made = one("snapshot", tablespaces=[inner], config={"config_files": False})
    assert [view.at for view in made.freeze.views] == [DATA]
    assert made.paths == (DATA.encode(),)


@pytest.mark.parametrize(
    ("volumes", "more", "why"),
    [
        ({"mounts": {"mounts": [mount("/", "/dev/vda1")]}}, {}, "there are no snapshots"),
        ({"mounts": {"mounts": []}}, {}, "not known on which filesystem"),
        ({}, {"tablespaces": [{**SPACE, "location": "/srv/fast"}]}, "several volumes"),
        ({"lvm": lvm(lv("vg-a", "lv-data", 3), vgs=[])}, {}, "is not known"),
        ({"lvm": lvm(lv("vg-a", "lv-data", 3), snapshots_possible=False)}, {}, "modprobe dm_snapshot"),
        ({"lvm": probe(None, "failed", "lvs: boom")}, {}, "boom"),
    ],
)
def test_a_snapshot_that_is_impossible_says_why(volumes: dict[str, Any], more: dict[str, Any], why: str) -> None:
    with pytest.raises(e.SnapshotImpossible) as caught:
        one("snapshot", volumes=volumes, **more)
    assert why in caught.value.detail


def test_a_btrfs_snapshot_needs_no_size() -> None:
    volumes = {
        "mounts": {"mounts": [mount("/srv", "/dev/vdb", "btrfs", root="/")]},
        "btrfs": btrfs("pg two"),
    }
    made = one("snapshot", volumes=volumes, path="/srv/pg two/main", config={"config_files": False})
    assert made.freeze.kind == "btrfs"
    assert made.freeze.views == (View("/main", "/srv/pg two/main"),)
    arguments = {name: value for name, value in made.freeze.arguments.items() if name != "hold"}
    assert arguments == {"kind": "btrfs", "device": "/dev/vdb", "subvolume": "/pg two"}
    assert made.paths == (b"/srv/pg two/main",)


def test_what_a_real_lvm_answered_becomes_a_snapshot_of_its_volume() -> None:
    """Recorded from LVM 2.03: a hyphenated volume that has a snapshot already, in a group with 952 MB free."""
    answers = json.loads(RECORDED.read_text())
    volumes = lvm_probe.volumes(json.dumps(answers["lvs"]))
    groups = lvm_probe.volume_groups(json.dumps(answers["vgs"]))
    known = {"installed": True, "version": "2.03.16", "problem": None, "snapshots_possible": True}
    facts = {
        "mounts": {"mounts": [mount("/var/lib/postgresql", "/dev/mapper/vg--a-lv--data", "xfs")]},
        "lvm": {**known, "vgs": groups, "lvs": volumes},
    }
    small = directory(DATA, 300_000_000)
    made = one("snapshot", volumes=facts, data=small)
    arguments = {name: value for name, value in made.freeze.arguments.items() if name != "hold"}
    free = next(group["free_bytes"] for group in groups if group["name"] == "vg-a")
    extent = 4 << 20
    assert arguments == {
        "kind": "lvm",
        "vg": "vg-a",
        "lv": "lv-data",
        "size_bytes": min(1 << 30, free * 95 // 100 // extent * extent),
    }
    with pytest.raises(e.SnapshotImpossible, match="free"):
        one("snapshot", volumes=facts, data=directory(DATA, 100 * GB))


# --- dump --------------------------------------------------------------------------------------------


def test_a_dump_holds_the_globals_and_every_database_under_a_plain_name() -> None:
    known = [database(name) for name in WEIRD]
    known += [
        database("template0", is_template=True, allows_connections=False),
        database("template1", is_template=True),
        database("closed", allows_connections=False),
    ]
    made = one("logical", databases=known)
    rows = [stream.row() for stream in made.streams]
    assert rows[0] == {**ACCESS, "producer": "pg_globals", "name": "postgresql/globals.sql"}
    dumped = [row for row in rows if row["producer"] == "pg_dump"]
    assert [row["database"] for row in dumped] == WEIRD
    assert dumped[3] == {**ACCESS, "producer": "pg_dump", "database": "../up", "name": "postgresql/0004-up.sql"}
    assert rows[-1] == {"producer": "file", "path": CONF, "name": f"config{CONF}"}
    assert len({row["name"] for row in rows}) == len(rows)
    described = [row for row in rows if row["producer"] == "pg_properties"]
    assert described[3] == {**dumped[3], "producer": "pg_properties", "name": "postgresql/0004-up.json"}
    record = made.database
    assert [row for row in record.included if row["kind"] == "database"] == [
        {"kind": "database", "name": dump["database"], "path": dump["name"], "properties": about["name"]}
        for dump, about in zip(dumped, described, strict=True)
    ]
    assert [(row["name"], row["reason"]) for row in record.not_included] == [
        ("template0", "template"),
        ("template1", "template"),
        ("closed", "does not allow connections"),
    ]
    assert record.consistency is Consistency.LOGICAL
    assert f"Dumps {len(WEIRD)} databases" in text(made)
    assert "(it does not allow connections): closed" in text(made)
    assert "template0" not in text(made)
    assert made.findings == ()


def test_chosen_databases_alone_are_dumped_in_the_servers_order() -> None:
    made = one("logical", config={"databases": ["weird-db name", "shop"], "config_files": False})
    assert [stream.name for stream in made.streams] == [
        "postgresql/globals.sql",
        "postgresql/0001-shop.sql",
        "postgresql/0001-shop.json",
        "postgresql/0002-weird-db-name.sql",
        "postgresql/0002-weird-db-name.json",
    ]
    assert {row["name"]: row["reason"] for row in made.database.not_included} == {
        "postgres": "not chosen",
        "a$b;c": "not chosen",
    }


def test_a_chosen_database_that_is_gone_is_named() -> None:
    with pytest.raises(e.DatabaseGone) as caught:
        one("logical", config={"databases": ["shop", "gone", "also -gone"]})
    assert caught.value.facts["names"] == "gone, also -gone"
    known = [database("t", is_template=True), database("shut", allows_connections=False), database("shop")]
    for name in ("t", "shut"):
        with pytest.raises(e.DatabaseNotDumped) as refused:
            one("logical", config={"databases": [name]}, databases=known)
        assert refused.value.facts["name"] == name


def test_an_empty_list_of_databases_is_one_that_is_not_known() -> None:
    with pytest.raises(e.InstanceUnclear):
        one("logical", databases=[])


def test_a_dump_needs_its_program() -> None:
    facts = {"postgresql": {"programs": {"psql": [{"path": "/usr/bin/psql"}]}, "clusters": [cluster()]}}
    with pytest.raises(e.ToolMissing) as caught:
        plan("postgresql", "logical", report(**facts))
    assert caught.value.facts == {"tool": "pg_dump", "package": "postgresql-client-15"}


def test_a_login_that_was_given_is_in_every_row_and_its_password_in_none() -> None:
    made = one("logical", config={"login": "given"}, login=login(method="given", user="boss"))
    given = {**ACCESS, "login": {"method": "given", "user": "boss"}, "user": "boss"}
    assert made.streams[0].arguments == given
    assert "with the login that was given (boss)" in text(made)
