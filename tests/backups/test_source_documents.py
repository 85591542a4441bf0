"""The plans of MongoDB and of Elasticsearch."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from backups import source_errors as e
from backups.sources.base import Consistency, SourcePlan, View
from backups.sources.databases import check_complete
from phpborg.errors import describe
from tests.backups.test_source_databases import plan
from tests.support.reports import GB, btrfs, directory, login, mount, report

VOLUMES = {"mounts": {"mounts": [mount("/", "/dev/vda1"), mount("/srv", "/dev/vdb", "btrfs")]}, "btrfs": btrfs("db")}
MONGODB = {
    "id": "port 27017",
    "version": "7.0.14",
    "running": True,
    "contained": False,
    "port": 27017,
    "owner": "mongodb",
    "pid": 77,
    "data": directory("/srv/db/mongo"),
    "config_files": ["/etc/mongod.conf"],
    "login": login(method="none", user=None),
    "found_by": ["process"],
    "bind": ["127.0.0.1"],
    "storage_engine": "wiredTiger",
    "replica_set": None,
    "databases": [{"name": name, "size_bytes": GB} for name in ("admin", "config", "local", "shop", "weird-db name")],
}
NODE = {
    "id": "port 9200",
    "version": "8.15.1",
    "running": True,
    "contained": False,
    "port": 9200,
    "owner": "elasticsearch",
    "pid": 78,
    "data": [directory("/srv/db/one"), directory("/srv/db/two")],
    "config_files": ["/etc/elasticsearch/elasticsearch.yml", "/etc/elasticsearch/jvm.options.d"],
    "login": login(method="none", user=None),
    "found_by": ["process"],
    "flavour": "elasticsearch",
    "cluster_name": "docs",
    "url": "http://127.0.0.1:9200",
    "path_repo": ["/srv/es-repo"],
    "secured": False,
    "indices": 7,
    "size_bytes": 3 * GB,
}
ACCESS = {"address": "127.0.0.1", "port": 27017, "login": {"method": "none"}}


def mongo(
    method: str, config: dict[str, Any] | None = None, tools: tuple[str, ...] = ("mongodump",), **more: Any
) -> Any:
    """The plan for a MongoDB that differs by `more`."""
    programs = {name: {"path": f"/usr/bin/{name}", "version": "100.9"} for name in tools}
    facts = report(**VOLUMES, mongodb={"programs": programs, "instances": [{**MONGODB, **more}]})
    return plan("mongodb", method, facts, instance="port 27017", **(config or {}))


def elastic(method: str, config: dict[str, Any] | None = None, **more: Any) -> Any:
    """The plan for a node that differs by `more`."""
    facts = report(**VOLUMES, elasticsearch={"nodes": [{**NODE, **more}]})
    return plan("elasticsearch", method, facts, instance="port 9200", **(config or {}))


def text(made: SourcePlan) -> str:
    return " ".join(map(str, made.sentences))


# --- MongoDB -----------------------------------------------------------------------------------------


def test_one_stream_holds_all_databases_with_their_users() -> None:
    made = mongo("logical")
    everything, settings = (stream.row() for stream in made.streams)
    assert everything == {**ACCESS, "producer": "mongodump", "name": "mongodb/all.archive"}
    assert settings == {"producer": "file", "path": "/etc/mongod.conf", "name": "config/etc/mongod.conf"}
    included = {row["name"] for row in made.database.included if row["kind"] == "database"}
    assert included == {"admin", "shop", "weird-db name"}
    assert made.database.not_included == tuple(
        {"kind": "database", "name": name, "reason": "belongs to this one server"} for name in ("local", "config")
    )
    assert made.database.consistency is Consistency.LOGICAL
    assert "moments that differ a little" in text(made)
    assert "all of it is of one moment" in text(mongo("logical", replica_set="rs0"))


def test_chosen_databases_are_a_stream_each_without_the_users() -> None:
    made = mongo("logical", {"databases": ["weird-db name", "shop"], "config_files": False})
    assert [stream.row() for stream in made.streams] == [
        {**ACCESS, "producer": "mongodump", "database": "shop", "name": "mongodb/0001-shop.archive"},
        {**ACCESS, "producer": "mongodump", "database": "weird-db name", "name": "mongodb/0002-weird-db-name.archive"},
    ]
    reasons = {row["name"]: row["reason"] for row in made.database.not_included}
    assert reasons["users"] == "only with all databases"
    assert (reasons["admin"], reasons["local"]) == ("not chosen", "belongs to this one server")
    with pytest.raises(e.DatabaseGone):
        mongo("logical", {"databases": ["gone"]})
    with pytest.raises(e.DatabaseNotDumped):
        mongo("logical", {"databases": ["local"]})


def test_a_server_that_wants_a_login_is_dumped_as_a_whole_with_the_given_one() -> None:
    closed: dict[str, Any] = {"login": login(False, problem="it wants a login: give one for it"), "databases": []}
    with pytest.raises(e.LoginFailed, match="it wants a login"):
        mongo("logical", **closed)
    made = mongo("logical", {"login": "given"}, **closed)
    assert made.streams[0].arguments["login"] == {"method": "given", "authdb": "admin"}
    assert made.streams[0].name == "mongodb/all.archive"
    check_complete(made)


@pytest.mark.parametrize(
    ("bind", "address"),
    [
        (["0.0.0.0", "::"], "127.0.0.1"),
        ([], "127.0.0.1"),
        (["::1"], "::1"),
        (["127.0.0.9"], "127.0.0.9"),
        (["10.0.0.5", "127.0.0.1"], "127.0.0.1"),
    ],
)
def test_it_is_reached_where_it_listens(bind: list[str], address: str) -> None:
    assert mongo("logical", bind=bind).streams[0].arguments["address"] == address


def test_a_dump_of_mongodb_needs_its_tools_and_a_snapshot_files() -> None:
    with pytest.raises(e.ToolMissing) as caught:
        mongo("logical", tools=("mongosh",))
    assert "mongo-tools" in str(caught.value.facts["package"])
    with pytest.raises(e.SnapshotImpossible, match="memory"):
        mongo("snapshot", storage_engine="inMemory")
    with pytest.raises(e.InstanceUnclear):
        mongo("snapshot", data=None)


def test_a_snapshot_locks_writing_and_reads_the_frozen_directory() -> None:
    made = mongo("snapshot")
    assert made.freeze.arguments == {
        "kind": "btrfs",
        "device": "/dev/vdb",
        "subvolume": "/db",
        "hold": {"engine": "mongodb", **ACCESS},
    }
    assert made.freeze.views == (View("/mongo", "/srv/db/mongo"),)
    assert made.paths == (b"/srv/db/mongo", b"/etc/mongod.conf")
    assert "fsyncLock" in text(made)
    assert {row["name"] for row in made.database.included} >= {"local", "shop"}


# --- Elasticsearch -----------------------------------------------------------------------------------


def test_its_own_snapshot_is_read_below_the_directory_that_it_may_write_to() -> None:
    made = elastic("api")
    assert made.freeze.kind == "elasticsearch"
    assert made.freeze.arguments == {
        "kind": "elasticsearch",
        "url": "http://127.0.0.1:9200",
        "login": {"method": "none"},
        "path_repo": "/srv/es-repo",
    }
    assert made.freeze.views == (View("/", "/srv/es-repo"),)
    assert made.paths == (
        b"/srv/es-repo",
        b"/etc/elasticsearch/elasticsearch.yml",
        b"/etc/elasticsearch/jvm.options.d",
    )
    assert made.database.consistency is Consistency.PHYSICAL
    assert (made.database.facts["cluster_name"], made.database.facts["path_repo"]) == ("docs", "/srv/es-repo")


@pytest.mark.parametrize("places", [[], ["relative"], ["/"]])
def test_without_a_directory_for_snapshots_the_setting_to_add_is_named(places: list[str]) -> None:
    with pytest.raises(e.RepositoryPathMissing) as caught:
        elastic("api", path_repo=places)
    with translation.override("en"):
        advice = describe(caught.value.code, caught.value.facts).advice
    assert "path.repo to /etc/elasticsearch/elasticsearch.yml" in advice
    assert "elasticsearch," in advice


def test_its_own_snapshot_needs_a_login_where_the_node_wants_one() -> None:
    closed: dict[str, Any] = {"login": login(False, problem="it wants a login"), "url": "https://127.0.0.1:9200"}
    with pytest.raises(e.LoginFailed):
        elastic("api", **closed)
    made = elastic("api", {"login": "given"}, **closed)
    assert made.freeze.arguments["login"] == {"method": "given"}
    assert "hold" not in elastic("snapshot", **closed).freeze.arguments


def test_a_snapshot_holds_every_data_directory_and_leaves_the_locks_out() -> None:
    made = elastic("snapshot", {"config_files": False})
    assert made.freeze.views == (View("/one", "/srv/db/one"), View("/two", "/srv/db/two"))
    assert made.paths == (b"/srv/db/one", b"/srv/db/two")
    assert "pf:/srv/db/two/node.lock" in made.excludes
    assert made.database.consistency is Consistency.CRASH
    with pytest.raises(e.SnapshotImpossible, match="several volumes"):
        elastic("snapshot", data=[directory("/srv/db/one"), directory("/var/lib/two")])
    with pytest.raises(e.SnapshotImpossible):
        elastic("snapshot", data=[])
    with pytest.raises(e.InstanceUnclear):
        elastic("snapshot", data=[directory("/srv/db/one"), {"path": None}])
