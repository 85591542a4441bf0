"""What all database sources share: the configuration, finding the instance, getting in, and names in the archive."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.utils import translation

from backups import source_errors as e
from backups import sources
from backups.job_errors import ListTooLong
from backups.sources.base import SourceFacts, SourcePlan
from backups.sources.contents import Contents, stream_name, why_no_stream
from backups.sources.databases import (
    REASONS,
    DatabaseConfig,
    check_complete,
    left_out_words,
    with_user,
)
from backups.sources.frozen import outermost
from backups.sources.offers import KINDS, access, source_of
from phpborg.errors import InvalidInput, PhpBorgError
from servers.capabilities.report import parse
from tests.support.reports import cluster, debian, login, mariadb, probe, report

POSTGRESQL = source_of("postgresql")
WEIRD = ["weird-db name", "a$b;c", "-x", "../up", "q'u\"o\\te", "naïve 😀", "a\nb", "{now}", " "]


def plan(kind: str = "postgresql", method: str = "", facts: dict[str, Any] | None = None, **more: Any) -> SourcePlan:
    """The plan of one instance by a report in the shape of the wire."""
    source = source_of(kind)
    config = source.parse({"method": method or source.methods[0].name, "instance": "15/main", **more})
    with translation.override("en"):
        return source.plan(config, SourceFacts(report=parse(facts if facts is not None else debian())))


# --- configuration -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_configuration_is_checked_and_comes_back_from_the_job_as_it_was(kind: str) -> None:
    source = source_of(kind)
    assert sources.get(kind) is source
    config = source.parse({"instance": "port 1"})
    assert config == DatabaseConfig("port 1", source.methods[0].name, (), True, "auto")
    for method in source.methods:
        names = WEIRD if method.name == "logical" else []
        data = {"instance": "x", "method": method.name, "databases": names, "config_files": False, "login": "given"}
        stored = json.loads(json.dumps(source.parse(data).as_json()))
        assert stored == data
        assert source.parse(stored) == source.parse(data)
        assert source.asks(source.parse(data)) == ()
    assert source.parse({"instance": "x", "method": source.methods[0].name}).databases == ()


@pytest.mark.parametrize(
    "change",
    [
        {"password": "x"},
        {"instance": ""},
        {"instance": "a\0"},
        {"instance": 5},
        {"instance": None},
        {"method": "magic"},
        {"method": ["logical"]},
        {"databases": "shop"},
        {"databases": [""]},
        {"databases": ["a\0b"]},
        {"databases": ["a" * 64]},
        {"databases": ["é" * 32]},
        {"databases": ["\ud800"]},
        {"databases": [5]},
        {"databases": ["shop"], "method": "stream"},
        {"config_files": 1},
        {"login": "root"},
        {"login": None},
    ],
)
def test_what_cannot_be_used_is_refused_by_its_field(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        POSTGRESQL.parse({"instance": "15/main", "method": "logical", **change})


def test_the_length_of_a_name_is_counted_as_the_engine_counts() -> None:
    logical = {"instance": "x", "method": "logical"}
    assert POSTGRESQL.parse({**logical, "databases": ["é" * 31]}).databases == ("é" * 31,)
    assert source_of("mysql").parse({**logical, "databases": ["é" * 64]}).databases == ("é" * 64,)
    with pytest.raises(InvalidInput):
        source_of("mysql").parse({**logical, "databases": ["é" * 65]})
    with pytest.raises(ListTooLong):
        POSTGRESQL.parse({**logical, "databases": [str(number) for number in range(2001)]})
    assert POSTGRESQL.parse({**logical, "databases": ["b", "a", "b"]}).databases == ("b", "a")


def test_probes_are_those_that_the_method_needs() -> None:
    probes = {
        (kind, method.name): source_of(kind).probes(DatabaseConfig("x", method.name))
        for kind in KINDS
        for method in source_of(kind).methods
    }
    for (kind, method), asked in probes.items():
        volumes = ("mounts", "lvm", "btrfs", "zfs") if method == "snapshot" else ()
        assert asked == (kind, *(("mounts",) if method == "mariabackup" else volumes))


def test_a_summary_is_a_few_words() -> None:
    config = DatabaseConfig("15/main", "logical", ("shop", "crm", "a", "b", "c"))
    with translation.override("en"):
        words = POSTGRESQL.summary(config)
    assert words == "PostgreSQL 15/main · Dump of its databases · shop, crm, a and 2 more"


# --- the instance and the way in ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_report_a_plan_says_what_will_be_looked_at(kind: str) -> None:
    source = source_of(kind)
    for method in source.methods:
        with translation.override("en"):
            made = source.plan(DatabaseConfig("port 1", method.name), SourceFacts())
        text = " ".join(map(str, made.sentences))
        assert str(method.what) in text
        assert "port 1" in text
        assert "When it runs" in text
        assert (made.paths, made.streams, made.feed, made.freeze, made.database) == ((), (), None, None, None)


def _answer(state: str, problem: str | None = None) -> dict[str, Any]:
    return report(postgresql=probe(None, state, problem))


@pytest.mark.parametrize(
    ("facts", "error", "detail"),
    [
        ({}, e.ServersUnknown, ""),
        (report(mysql={"instances": []}), e.ServersUnknown, ""),
        (_answer("failed", "boom"), e.ServersUnknown, "boom"),
        (_answer("late"), e.ServersUnknown, "did not answer in time"),
        (report(postgresql={"clusters": []}), e.InstanceGone, ""),
        (report(postgresql={"clusters": [cluster("15/other")]}), e.InstanceGone, ""),
        (report(postgresql={"clusters": [cluster(running=False, login=login(False))]}), e.InstanceStopped, ""),
        (report(postgresql={"clusters": [cluster(contained=True)]}), e.InstanceContained, ""),
        (report(postgresql={"clusters": [cluster(login=login(False))]}), e.LoginFailed, "password authentication"),
        (report(postgresql={"clusters": [cluster(login=login(method="given"))]}), e.LoginFailed, ""),
        (report(postgresql={"clusters": [cluster(version=None)]}), e.InstanceUnclear, ""),
        (report(postgresql={"clusters": [cluster(version="unknown")]}), e.InstanceUnclear, ""),
        (report(postgresql={"clusters": [cluster(socket_directory=None)]}), e.InstanceUnclear, ""),
        (report(postgresql={"clusters": [cluster(port=None)]}), e.InstanceUnclear, ""),
        (report(postgresql={"clusters": [cluster(owner=None)]}), e.InstanceUnclear, ""),
        (report(postgresql={"clusters": [cluster(data=None)]}), e.InstanceUnclear, ""),
    ],
)
def test_what_the_report_does_not_allow_is_said(facts: dict[str, Any], error: type[PhpBorgError], detail: str) -> None:
    with pytest.raises(error) as caught:
        plan("postgresql", "stream", facts)
    assert detail in caught.value.detail
    assert "…" not in str(caught.value)
    assert "PostgreSQL" in str(caught.value)


def test_an_instance_that_was_seen_counts_however_its_probe_ended() -> None:
    answer = report(postgresql=probe({"programs": {}, "clusters": [cluster()]}, "late"))
    assert plan("postgresql", "stream", answer).feed


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (login(method="socket", user="root"), {"method": "socket", "user": "root"}),
        (login(method="my.cnf", user=None), {"method": "my.cnf"}),
        (login(method="debian.cnf", user="debian-sys-maint"), {"method": "debian.cnf", "user": "debian-sys-maint"}),
    ],
)
def test_the_access_row_says_which_login_is_used(seen: dict[str, Any], told: dict[str, Any]) -> None:
    found = parse(report(mysql={"programs": {}, "instances": [mariadb(login=seen)]}))
    assert access(found, "mysql", "port 3306")["login"] == told


def test_a_given_login_is_named_without_a_password_and_gets_its_user_from_the_job() -> None:
    unproven = parse(report(postgresql={"clusters": [cluster(login=login(False))]}))
    row = access(unproven, "postgresql", "15/main", "given")
    plain = {"major": "15", "socket": "/var/run/postgresql", "port": 5432, "owner": "postgres"}
    assert row == {**plain, "login": {"method": "given"}}
    assert with_user(row, "boss") == {**plain, "login": {"method": "given", "user": "boss"}, "user": "boss"}
    assert with_user({"kind": "lvm", "hold": row}, "boss")["hold"]["user"] == "boss"
    assert with_user(plain, "boss") == plain
    proven = parse(report(postgresql={"clusters": [cluster(login=login(method="given", user="boss"))]}))
    assert access(proven, "postgresql", "15/main", "given") == with_user(row, "boss")
    server = parse(report(mysql={"instances": [mariadb()]}))
    assert access(server, "mysql", "port 3306", "given")["login"] == {"method": "given"}


def test_a_plan_that_waits_for_a_login_reads_nothing_and_a_run_refuses_it() -> None:
    made = plan("postgresql", "logical", report(postgresql={"clusters": [_closed()]}), login="given")
    assert not made.streams
    assert "given login" in str(made.sentences[1])
    with pytest.raises(e.NothingToRead, match="password authentication failed"):
        check_complete(made)
    check_complete(plan("postgresql", "stream"))


def _closed() -> dict[str, Any]:
    return cluster(login=login(False), databases=[])


def test_chosen_names_are_taken_as_they_are_while_a_login_waits() -> None:
    facts = report(postgresql={"clusters": [_closed()]})
    made = plan("postgresql", "logical", facts, login="given", databases=["shop"])
    assert [stream.arguments.get("database") for stream in made.streams][1:2] == ["shop"]


def test_a_report_that_was_cut_is_a_finding() -> None:
    facts = {**debian(), "cut": True}
    assert [one.kind for one in plan("postgresql", "logical", facts).findings] == ["report_cut"]


# --- names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("shop", "e/0007-shop.sql"),
        ("weird-db name", "e/0007-weird-db-name.sql"),
        ("a$b;c", "e/0007-a-b-c.sql"),
        ("-x", "e/0007-x.sql"),
        ("../up", "e/0007-up.sql"),
        ("naïve 😀", "e/0007-naive.sql"),
        ("数据", "e/0007-database.sql"),
        ("job", "e/0007-job.sql"),
        ("{now}", "e/0007-now.sql"),
        ("x" * 63, f"e/0007-{'x' * 58}.sql"),
    ],
)
def test_a_stream_is_called_by_number_and_plain_words(name: str, file: str) -> None:
    assert stream_name("e", 7, name, ".sql") == file


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        ("/etc/my.cnf", True),
        ("/srv/pg two/postgresql.conf", True),
        ("/etc/mysql", False),
        ("/etc/my.cnf.d", False),
        ("/etc/postgresql/15/main/conf.d", False),
        ("etc/my.cnf", False),
        ("/", False),
        ("/etc/../x", False),
        ("/etc//x", False),
        ("/" + "x" * 201, False),
        ("/" + "/".join(["x" * 100] * 45), False),
    ],
)
def test_only_a_plain_file_of_a_plain_name_can_be_a_stream(path: str, fits: bool) -> None:
    assert (why_no_stream(path) == "") is fits
    made = Contents()
    made.add_files([path, path])
    assert len(made.streams) == int(fits)
    assert [row["reason"] in REASONS for row in made.left_out] == [True] * (not fits)


def test_too_many_streams_are_refused() -> None:
    made = Contents()
    made.add_files([f"/etc/{number}" for number in range(2001)])
    with pytest.raises(e.TooManyStreams):
        made.check()


def test_names_that_are_left_out_are_listed_once_for_each_reason() -> None:
    rows = [{"kind": "database", "name": f"d{number}", "reason": "not chosen"} for number in range(30)]
    rows.insert(1, {"kind": "database", "name": "sys", "reason": "made by the server itself"})
    with translation.override("en"):
        first, second = left_out_words(rows)
    assert first.startswith("Left out (not chosen): d0, d1, ")
    assert first.count("not chosen") == 1
    assert first.endswith("d18, d19 and 10 more.")
    assert second == "Left out (the server makes it itself): sys."
    assert left_out_words([]) == []


def test_of_directories_in_each_other_the_outermost_ones_count() -> None:
    places = ["/srv/a/b", "/srv/ab", "/srv/a", "/srv/a", "/srv/a/b/c", "/etc"]
    assert outermost(places) == ["/srv/ab", "/srv/a", "/etc"]
    assert outermost(["/", "/srv"]) == ["/"]


def test_thousands_of_databases_and_files_are_planned_at_once() -> None:
    names = [f"d{number}" for number in range(900)]
    known = [{"name": name, "is_template": False, "allows_connections": True} for name in names]
    began = time.monotonic()
    made = plan("postgresql", "logical", report(postgresql={"clusters": [cluster(databases=known)]}), databases=names)
    outermost([f"/srv/{number}/file" for number in range(2000)])
    assert time.monotonic() - began < 2
    assert len(made.streams) == 2 * len(names) + 2
