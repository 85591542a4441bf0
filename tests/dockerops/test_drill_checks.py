"""What a drill judges of what it sees."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from dockerops import drill_checks as checks
from dockerops.manifest import Contents, parse

AT = datetime(2026, 11, 27, 16, 0, tzinfo=UTC)


def contents(**more: Any) -> Contents:
    raw = {
        "format": 1,
        "projects": [{"name": "shop", "config_files": ["/srv/shop/a.yml"], "environment_files": ["/srv/shop/.env"]}],
        "containers": [{"name": "db", "state": "running", "image_id": "sha256:1"}],
        "volumes": [{"name": "data", "path": "/v/data/_data", "files": 30, "used_by": ["db"]}],
        "images": [{"id": "sha256:1", "stream": "images/0.tar"}],
        "dumps": [{"container": "db", "engine": "postgresql", "path": "dumps/db.sql", "bytes": 10}],
        **more,
    }
    return parse(json.dumps(raw))


ENTRIES = {
    "srv/shop/a.yml": ("-", 5),
    "srv/shop/.env": ("-", 5),
    "var/lib/phpborg/docker/images/0.tar": ("-", 100),
    "var/lib/phpborg/docker/dumps/db.sql": ("-", 10),
    "v/data/_data": ("d", 0),
    **{f"v/data/_data/{number}": ("-", 2) for number in range(30)},
}


def told(found: Contents, entries: dict[str, tuple[str, int]]) -> dict[str, str]:
    tally = checks.Tally.of(found)
    for path, (kind, size) in entries.items():
        tally.take(kind, size, path.encode())
    return {one.subject: one.sentence for one in checks.missing(found, tally)}


def without(*gone: str, few: int = 30) -> dict[str, tuple[str, int]]:
    left = {path: row for path, row in ENTRIES.items() if path not in gone}
    return {path: row for path, row in left.items() if not path[13:].isdigit() or int(path[13:]) < few}


def test_an_archive_with_everything_lacks_nothing() -> None:
    assert told(contents(), ENTRIES) == {}


@pytest.mark.parametrize(
    ("entries", "subject"),
    [
        (without(few=0), "data"),
        (without(few=10), "data"),
        (without("v/data/_data", few=0), "data"),
        (without("srv/shop/.env"), "/srv/shop/.env"),
        (without("srv/shop/a.yml"), "/srv/shop/a.yml"),
        (without("var/lib/phpborg/docker/images/0.tar"), "/var/lib/phpborg/docker/images/0.tar"),
        ({**ENTRIES, "var/lib/phpborg/docker/dumps/db.sql": ("-", 9)}, "/var/lib/phpborg/docker/dumps/db.sql"),
    ],
)
def test_what_is_missing_is_named(entries: dict[str, tuple[str, int]], subject: str) -> None:
    assert list(told(contents(), entries)) == [subject]


def test_an_empty_volume_is_named_however_few_files_it_had() -> None:
    few = contents(volumes=[{"name": "data", "path": "/v/data/_data", "files": 3, "used_by": ["db"]}])
    assert "is empty" in told(few, without(few=0))["data"]
    assert told(few, without(few=2)) == {}


def test_what_is_in_use_may_change_a_little_and_what_stands_still_may_not() -> None:
    assert told(contents(), without(few=29)) == {}
    still = contents(containers=[{"name": "db", "state": "exited", "image_id": "sha256:1"}])
    assert list(told(still, without(few=29))) == ["data"]
    assert told(still, ENTRIES) == {}
    # It was counted while who uses it was paused or stopped.
    row = {"name": "data", "path": "/v/data/_data", "files": 30, "used_by": ["db"], "still": True}
    assert list(told(contents(volumes=[row]), without(few=29))) == ["data"]
    assert told(contents(volumes=[row]), ENTRIES) == {}


@pytest.mark.parametrize(
    ("row", "good"),
    [
        ({"state": "running", "health": "healthy"}, True),
        ({"state": "running", "health": None}, True),
        ({"state": "running", "health": "unhealthy"}, False),
        ({"state": "exited"}, False),
        ({"state": "restarting"}, False),
        ({"state": "running", "image_id": "sha256:2"}, False),
    ],
)
def test_containers_are_as_they_were(row: dict[str, Any], good: bool) -> None:
    seen = [{"name": "new_db", "image_id": "sha256:1", **row}]
    assert (checks.containers(contents(), {"db": "new_db"}, seen) == []) is good


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("db", checks.Target("db")),
        ("db/shop", checks.Target("db", "shop")),
        ("shop/db/", checks.Target("shop/db")),
        ("shop/db/postgres", checks.Target("shop/db", "postgres")),
        ("web:8080", checks.Target("web", port=8080)),
        ("web:8080/health?x=1", checks.Target("web", port=8080, path="/health?x=1")),
        ("http://web/health", checks.Target("web", port=80, path="/health")),
    ],
)
def test_whom_a_question_is_for(name: str, target: checks.Target) -> None:
    assert checks.target_of(name) == target


@pytest.mark.parametrize(
    ("expected", "rows", "good"),
    [
        (None, ("x",), True),
        (("7",), ("7",), True),
        (("7",), ("8",), False),
        (("7", "8"), ("7",), False),
        (("younger than 24 h",), ("2026-11-27 10:00:00+00",), True),
        (("younger than 24 h",), ("2026-11-26 15:59:00+00",), False),
        (("younger than 1d",), ("2026-11-26T16:00:00",), True),
        (("younger than 5 min",), ("2026-11-27 15:56:00.123",), True),
        (("younger than 5 min",), ("never",), False),
        (("younger than 5 min",), (), False),
    ],
)
def test_answers(expected: tuple[str, ...] | None, rows: tuple[str, ...], good: bool) -> None:
    assert checks.answer_is(expected, rows, AT) is good


@pytest.mark.parametrize(
    ("expected", "status", "good"),
    [
        (None, 200, True),
        (None, 404, False),
        (None, None, False),
        (("404",), 404, True),
        (("200",), 302, False),
        (("open",), 200, True),
        (("open",), 500, False),
        (("200", "closed"), 200, False),
    ],
)
def test_pages(expected: tuple[str, ...] | None, status: int | None, good: bool) -> None:
    assert checks.http_is(expected, status, "open for business") is good
