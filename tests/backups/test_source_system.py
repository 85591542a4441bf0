"""The whole system as files: what is left out, and which databases it only copies while they change."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from backups import sources
from backups.sources.base import Consistency, PathFact, SourceFacts, SourcePlan
from backups.sources.files import preset
from phpborg.errors import InvalidInput
from servers.capabilities.report import parse
from tests.support.reports import cluster, debian, mariadb, probe, report

SYSTEM = sources.get("system")


def plan(data: dict[str, Any] | None = None, facts: SourceFacts | None = None) -> SourcePlan:
    with translation.override("en"):
        return SYSTEM.plan(SYSTEM.parse(data or {}), facts or SourceFacts())


def test_everything_is_read_but_what_the_kernel_makes_up_caches_and_swap() -> None:
    made = plan({"excludes": ["sh:/srv/**/*.tmp"]})
    assert made.paths == (b"/",)
    assert set(preset("system").excludes) <= set(made.excludes)
    assert {"/proc/*", "/swapfile", "sh:/swapfile[0-9]*", "sh:/srv/**/*.tmp"} <= set(made.excludes)
    assert made.one_file_system is False
    assert made.findings == ()
    assert made.database is None


def test_the_configuration_is_checked_and_comes_back() -> None:
    data = {"excludes": ["/a/*"], "all_filesystems": False}
    assert SYSTEM.parse(data).as_json() == data
    assert SYSTEM.parse({}).as_json() == {"excludes": [], "all_filesystems": True}
    assert SYSTEM.asks(SYSTEM.parse({})) == (b"/",)
    assert "postgresql" in SYSTEM.probes(SYSTEM.parse({}))
    assert SYSTEM.summary(SYSTEM.parse({})) != SYSTEM.summary(SYSTEM.parse(data))
    for wrong in ({"paths": ["/etc"]}, {"all_filesystems": 1}, {"excludes": ["relative"]}, {"excludes": "x"}):
        with pytest.raises(InvalidInput):
            SYSTEM.parse(wrong)


def test_filesystems_that_are_left_out_are_told() -> None:
    root = PathFact(b"/", True, "dir", mounts=((b"/home", "ext4"), (b"/proc", "proc")))
    made = plan({"all_filesystems": False}, SourceFacts({b"/": root}))
    assert [(row.kind, row.path) for row in made.findings] == [("mount_skipped", "/home")]
    assert made.one_file_system
    assert plan({}, SourceFacts({b"/": root})).findings == ()


def test_our_own_storage_is_kept_out() -> None:
    assert "pp:/var/lib/phpborg" in plan(facts=SourceFacts(keep_out=(b"/var/lib/phpborg",))).excludes


def test_databases_that_run_are_copied_while_they_change_and_that_is_said() -> None:
    found = parse(debian())
    made = plan(facts=SourceFacts(report=found))
    assert [(row.kind, row.message, row.path) for row in made.findings] == [
        ("live_database", "PostgreSQL 15/main", "/var/lib/postgresql/15/main"),
        ("live_database", "MariaDB port 3306", "/var/lib/mysql"),
    ]
    assert "make a job for each of them too" in str(made.sentences[-1])
    assert made.database
    assert (made.database.engine, made.database.consistency) == ("system", Consistency.NONE)
    assert [(row["name"], row["reason"]) for row in made.database.not_included] == [
        ("/var/lib/postgresql/15/main", "changes while it is read"),
        ("/var/lib/mysql", "changes while it is read"),
    ]


def test_databases_that_are_down_or_in_containers_are_files_like_others() -> None:
    facts = report(
        postgresql={"clusters": [cluster(running=False)]}, mysql={"instances": [mariadb(contained=True, data=None)]}
    )
    assert plan(facts=SourceFacts(report=parse(facts))).findings == ()


def test_a_probe_that_failed_is_a_finding_and_spoils_nothing() -> None:
    facts = report(postgresql={"clusters": []}, mysql=probe(None, "failed", "boom"), docker=probe(None, "late"))
    made = plan(facts=SourceFacts(report=parse(facts)))
    assert [(row.kind, row.message, row.path) for row in made.findings] == [("databases_unknown", "boom", "mysql")]
    assert made.paths == (b"/",)
