"""Plans made of what the probes say of real servers, and whether the helper takes the rows that they hold."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backups.sources.base import SourceFacts, SourcePlan
from backups.sources.offers import offers, source_of
from servers.capabilities.report import Report, parse
from servers.remote import mysql_access, producers
from servers.remote.probes import mounts, mysql, postgresql
from servers.remote.probes.base import Look
from tests.support import mariadb as mariadb_server
from tests.support import postgresql as postgresql_server
from tests.support.reports import report

pytestmark = pytest.mark.real
ODD = ["weird-db name", "a$b;c", "-x", "../up", 'it\'s "q"', "naïve 😀"]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A short directory that other accounts may pass through."""
    path = Path(tempfile.mkdtemp(prefix="pb-plan-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def cluster(place: Path) -> Iterator[postgresql_server.Cluster]:
    """Databases of awkward names in a directory with a blank."""
    with postgresql_server.running(place / "pg data", place / "pg-run") as running:
        for name in ODD:
            running.sql('CREATE DATABASE "{}" STRATEGY file_copy'.format(name.replace('"', '""')))
        yield running


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[mariadb_server.Server]:
    """A database of an awkward name with a table that no transaction holds still."""
    with mariadb_server.running(place / "my data", place / "my-run") as running:
        running.sql("CREATE DATABASE `a$b;c`; USE `a$b;c`; CREATE TABLE m (n INT) ENGINE=MyISAM")
        yield running


def seen(kind: str, probe: Any) -> Report:
    """What this engine's probe and that of the filesystems say of this machine now."""
    look = Look({})
    return parse(report(**{kind: probe.probe(look), "mounts": mounts.probe(look)}))


def plan(kind: str, found: Report, instance: str, method: str, **more: Any) -> SourcePlan:
    source = source_of(kind)
    config = source.parse({"instance": instance, "method": method, **more})
    return source.plan(config, SourceFacts(report=found))


def test_a_real_cluster_is_streamed_or_dumped_by_rows_that_the_helper_takes(
    cluster: postgresql_server.Cluster, place: Path
) -> None:
    found = seen("postgresql", postgresql)
    instance = f"port {cluster.port}"
    stream = plan("postgresql", found, instance, "stream")
    assert stream.feed
    assert (stream.feed.producer, stream.feed.folder) == ("pg_basebackup", str(cluster.data))
    # Its settings lie in the data directory and come with it.
    assert "files" not in stream.feed.arguments
    assert stream.database
    assert f"{cluster.data}/postgresql.conf" in [row["name"] for row in stream.database.included]
    assert producers.feed({**stream.feed.row(), "token": "0123456789abcdef"}, {}).what == "base backup"

    logical = plan("postgresql", found, instance, "logical")
    rows = [one.row() for one in logical.streams]
    taken = producers.streams(rows, {})
    assert [os.fsdecode(one.name) for one in taken] == [row["name"] for row in rows]
    assert {row["database"] for row in rows if row["producer"] == "pg_dump"} == {*ODD, "postgres"}
    assert logical.database
    reasons = {row["name"]: row["reason"] for row in logical.database.not_included}
    assert reasons == {"template0": "template", "template1": "template"}
    (offer,) = [one for one in offers(found) if one.id == instance]
    assert offer.recommended == "stream"


def test_a_tablespace_elsewhere_changes_the_way(cluster: postgresql_server.Cluster, place: Path) -> None:
    space = postgresql_server.give(place / "my space")
    cluster.sql(f"CREATE TABLESPACE fast LOCATION '{space}'")
    try:
        made = plan("postgresql", seen("postgresql", postgresql), f"port {cluster.port}", "stream")
        assert made.feed
        assert made.feed.producer == "pg_backup"
        assert made.database
        assert {"kind": "tablespace", "name": "fast", "path": str(space).lstrip("/")} in made.database.included
    finally:
        cluster.sql("DROP TABLESPACE fast")


def test_a_real_mariadb_is_dumped_with_a_word_about_its_other_tables(server: mariadb_server.Server) -> None:
    found = seen("mysql", mysql)
    made = plan("mysql", found, f"port {server.port}", "logical", config_files=False)
    assert [stream.arguments.get("database") for stream in made.streams] == [None, "a$b;c"]
    assert [(row.kind, row.message) for row in made.findings] == [("not_transactional", "MyISAM: 1")]
    for stream in made.streams:
        assert mysql_access.access(stream.row(), {}).options[0] == "--no-defaults"
    copied = plan("mysql", found, f"port {server.port}", "mariabackup", config_files=False)
    assert copied.freeze
    assert copied.freeze.arguments["datadir"] == str(server.data)
