"""What a report offers: every database server with its methods, possible or with the reason why not."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import translation

from backups import source_errors as e
from backups.job_errors import SourceKindUnknown
from backups.sources.offers import Offer, access, offers
from servers.capabilities.report import parse
from tests.backups.test_source_documents import MONGODB, NODE
from tests.support.reports import GB, cluster, debian, login, mariadb, report


def of(facts: dict[str, Any]) -> list[Offer]:
    with translation.override("en"):
        return offers(parse(facts))


def test_a_server_that_lets_us_in_comes_with_its_methods_the_best_one_marked() -> None:
    postgresql = of(debian())[0]
    assert (postgresql.kind, postgresql.id, postgresql.title) == (
        "postgresql", "15/main", "PostgreSQL 15 · main · port 5432",
    )  # fmt: skip
    assert (postgresql.possible, postgresql.reason, postgresql.needs_login) == (True, "", False)
    assert postgresql.size_bytes == 10 * GB
    assert [one.name for one in postgresql.databases][-1] == "a$b;c"
    stream, snapshot, logical = postgresql.methods
    assert [one.method for one in postgresql.methods] == ["stream", "snapshot", "logical"]
    assert (stream.possible, stream.recommended, postgresql.recommended) == (True, True, "stream")
    assert "pg_basebackup" in stream.sentence
    assert (snapshot.possible, snapshot.recommended, snapshot.size_bytes) == (True, False, 2_000_683_008)
    assert "LVM keeps" in snapshot.sentence
    assert (logical.possible, logical.size_bytes) == (True, None)


def test_a_server_that_wants_a_login_shows_what_is_possible_with_one() -> None:
    facts = debian()
    facts["probes"]["mysql"]["facts"]["programs"]["mariadb-dump"] = {"path": "/usr/bin/mariadb-dump"}
    maria = of(facts)[1]
    assert maria.title == "MariaDB 10.11.14 · port 3306"
    assert (maria.possible, maria.needs_login) == (True, True)
    assert "password authentication failed" in maria.reason
    assert "/root/.my.cnf" in maria.reason
    logical, snapshot, copied = maria.methods
    assert (logical.possible, logical.recommended) == (True, True)
    assert (snapshot.possible, copied.possible) == (False, False)
    assert "no snapshots" in snapshot.sentence
    assert "mariadb-backup is not installed" in copied.sentence


@pytest.mark.parametrize(
    ("more", "words"),
    [({"running": False, "login": login(False)}, "is not running"), ({"contained": True}, "runs in a container")],
)
def test_what_cannot_be_backed_up_is_offered_with_the_reason(more: dict[str, Any], words: str) -> None:
    (offer,) = of(report(postgresql={"clusters": [cluster(**more)]}))
    assert (offer.possible, offer.recommended, offer.needs_login) == (False, None, False)
    assert words in offer.reason
    assert all(words in method.sentence and not method.possible for method in offer.methods)


def test_every_engine_is_offered_and_no_possible_method_is_said() -> None:
    node = {**NODE, "path_repo": []}
    mongo, elastic = of(report(mongodb={"instances": [MONGODB]}, elasticsearch={"nodes": [node]}))
    assert (mongo.title, elastic.title) == ("MongoDB 7.0.14 · port 27017", "Elasticsearch 8.15.1 · port 9200")
    assert (mongo.possible, elastic.possible) == (False, False)
    assert mongo.reason == "No method is possible; each says why."
    assert "mongodump is not installed" in mongo.methods[0].sentence
    assert "path.repo" in elastic.methods[0].sentence
    assert elastic.size_bytes == 3 * GB
    assert of({}) == []


@pytest.mark.parametrize(
    ("identifier", "port", "title"),
    [
        ("port 5433", 5433, "PostgreSQL 15.18 · port 5433"),
        ("directory /srv/pg two", None, "PostgreSQL 15.18 · directory /srv/pg two"),
        ("9.6/old one", 5434, "PostgreSQL 9.6 · old one · port 5434"),
    ],
)
def test_a_cluster_is_called_as_people_know_it(identifier: str, port: int | None, title: str) -> None:
    (offer,) = of(report(postgresql={"clusters": [cluster(identifier, port=port)]}))
    assert offer.title == title


def test_access_says_how_to_reach_a_server_or_why_not() -> None:
    found = parse(debian())
    assert access(found, "postgresql", "15/main") == {
        "major": "15", "socket": "/var/run/postgresql", "port": 5432, "owner": "postgres",
    }  # fmt: skip
    with pytest.raises(e.LoginFailed):
        access(found, "mysql", "port 3306")
    with pytest.raises(e.InstanceGone):
        access(found, "mysql", "port 3307")
    stopped = parse(report(mysql={"instances": [mariadb(running=False)]}))
    with pytest.raises(e.InstanceStopped):
        access(stopped, "mysql", "port 3306")
    with pytest.raises(SourceKindUnknown):
        access(found, "files", "x")
