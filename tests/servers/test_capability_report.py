"""A report is read as a stranger's word; the cards of the page follow from it."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from servers.capabilities import reading
from servers.capabilities.cards import cards, overview, paths_of, unanswered
from servers.capabilities.report import NAMES, from_json, parse
from tests.support.reports import GB, cluster, debian, directory, mariadb, mount, probe, report


def test_a_report_is_read_and_stored_and_read_again() -> None:
    found = parse(debian())
    assert found.schema == 1
    assert tuple(found.probes or {}) == NAMES
    assert found.unanswered == {}
    assert found.system
    assert (found.system.os.id, found.system.memory_bytes, found.system.container) == ("debian", 8 * GB, False)
    assert found.postgresql
    (main,) = found.postgresql.clusters
    assert (main.id, main.version, main.port, main.login.works) == ("15/main", "15.18", 5432, True)
    assert [one.name for one in main.databases][-1] == "a$b;c"
    assert found.postgresql.programs["pg_dump"][0].version == "15.18"
    assert found.docker
    assert found.docker.projects[0].environment_files == ("/srv/shop/.env",)
    assert found.docker.volumes[0].labels == {"com.docker.compose.project": "shop"}

    stored = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert from_json(stored) == found
    assert stored["probes"]["lvm"]["facts"] == debian()["probes"]["lvm"]["facts"]


@pytest.mark.parametrize("answer", [None, 1, "x", [], {}, {"probes": 7}, {"probes": {"system": [], "unheard of": {}}}])
def test_nonsense_is_a_report_without_anything(answer: Any) -> None:
    found = parse(answer)
    assert not found.probes
    assert found.system is None
    assert cards(found) == []


def test_wrong_types_are_not_known() -> None:
    wrong = {
        "hostname": 5,
        "os": "debian",
        "cpus": True,
        "memory_bytes": -1,
        "swap_bytes": 2**80,
        "uptime_seconds": float("nan"),
        "container": "yes",
        "uid": 0.5,
        "borg": [],
        "password": "hunter2",
    }
    found = parse(report(system=wrong)).system
    assert found
    assert {name: getattr(found, name) for name in wrong if name not in ("os", "borg", "password")} == dict.fromkeys(
        ("hostname", "cpus", "memory_bytes", "swap_bytes", "uptime_seconds", "container", "uid")
    )
    assert found.os.id is None
    assert found.borg.version is None
    assert "hunter2" not in json.dumps(parse(report(system=wrong)).as_json())


def test_texts_are_what_every_database_takes() -> None:
    found = parse(report(system={"hostname": "a\0b\udcff" + "x" * 100_000})).system
    assert found
    assert found.hostname
    assert len(found.hostname) <= reading.TEXT_CHARACTERS + 10
    assert found.hostname.startswith("a\\x00b\\xff")
    found.hostname.encode()


def test_a_hostile_server_cannot_make_a_report_without_end() -> None:
    databases = [{"name": "d" * 4000, "size_bytes": 1}] * 5000
    answer = report(postgresql={"clusters": [cluster(databases=databases)] * 3000})
    found = parse(answer)
    assert found.cut
    assert len(json.dumps(found.as_json())) < 3 * reading.ALL_CHARACTERS
    assert from_json(found.as_json()).cut


def test_a_probe_says_how_it_went() -> None:
    late = probe(None, "late", "no answer in time")
    failed = probe(None, "failed", "boom")
    found = parse(report(mysql=late, docker=failed, redis={"state": "perfect", "facts": {}}, zfs=probe(None)))
    assert {name: one.state for name, one in found.unanswered.items()} == {
        "mysql": "late",
        "docker": "failed",
        "redis": "failed",
        "zfs": "failed",
    }
    with translation.override("en"):
        sentences = unanswered(found)
    assert any("MariaDB" in sentence and "in time" in sentence for sentence in sentences)
    assert any("Docker" in sentence and "boom" in sentence for sentence in sentences)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in _places(one, (*path, key)))]


PLACES = _places(debian())[1:]


@settings(max_examples=200, deadline=None)
@given(place=st.sampled_from(PLACES), value=JSON)
def test_whatever_stands_anywhere_the_page_can_be_made(place: tuple[Any, ...], value: Any) -> None:
    answer = copy.deepcopy(debian())
    inner: Any = answer
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    found = parse(answer)
    assert from_json(json.loads(json.dumps(found.as_json(), allow_nan=False))) == found
    for line in overview(found):
        line.encode()


# --- what the page shows -----------------------------------------------------------------------------


def test_the_cards_of_a_server() -> None:
    with translation.override("en"):
        postgresql, maria = cards(parse(debian()))
        assert postgresql.title == "PostgreSQL 15/main"
        assert postgresql.advice.possible
        assert postgresql.advice.inside == {"/var/lib/postgresql/15/main": "/15/main"}
        assert (postgresql.login_remedy, "peer" in postgresql.login_words) == ("", True)
        assert maria.title == "MariaDB port 3306"
        assert (maria.advice.code, maria.login_words) == ("plain", "password authentication failed")
        assert "/root/.my.cnf" in maria.login_remedy


def test_all_that_belongs_to_an_instance_is_counted() -> None:
    spaces = [{"name": "fast", "location": "/ssd/fast", "size_bytes": 2 * GB}, {"name": "pg_default", "location": None}]
    one = cluster(tablespaces=spaces, wal_directory="/wal/15")
    other = mariadb(outside_files=["/ibd/a.ibd", "/ibd/b.ibd"])
    found = parse(report(postgresql={"clusters": [one]}, mysql={"instances": [other]}))
    assert found.postgresql
    assert found.mysql
    assert paths_of(found.postgresql.clusters[0]) == ["/var/lib/postgresql/15/main", "/wal/15", "/ssd/fast"]
    assert paths_of(found.mysql.instances[0]) == ["/var/lib/mysql", "/ibd"]
    # The log's size is not in the report: a sum without it would be too small.
    assert [card.size_bytes for card in cards(found)] == [None, None]
    plain = parse(report(postgresql={"clusters": [cluster(tablespaces=spaces)]}))
    assert [card.size_bytes for card in cards(plain)] == [12 * GB]


def test_a_node_with_several_directories_and_one_that_is_not_known() -> None:
    both = [directory("/a"), directory("/b")]
    node: dict[str, Any] = {"id": "9200", "flavour": "opensearch", "running": False, "data": both}
    (card,) = cards(parse(report(elasticsearch={"nodes": [node]}, mounts={"mounts": [mount("/", "/dev/sda1")]})))
    assert (card.title, card.size_bytes) == ("OpenSearch 9200", 20 * GB)
    with translation.override("en"):
        assert "not running" in card.login_words
        assert card.login_remedy == ""
    node["data"].append({"path": None})
    (card,) = cards(parse(report(elasticsearch={"nodes": [node]})))
    assert (card.size_bytes, card.advice.code) == (None, "no-path")


def test_the_recorded_reports_are_of_this_shape() -> None:
    """Nothing that the fixture says is dropped: it would be a field that the reader does not know."""
    stored = parse(debian()).as_json()
    for name, answer in debian()["probes"].items():
        assert _known(answer["facts"], stored["probes"][name]["facts"]) == [], name


def _known(told: Any, kept: Any, path: str = "") -> list[str]:
    if isinstance(told, dict):
        return [
            problem
            for key, one in told.items()
            for problem in (_known(one, kept[key], f"{path}.{key}") if key in kept else [f"{path}.{key}"])
        ]
    if isinstance(told, list):
        return [problem for one, other in zip(told, kept, strict=True) for problem in _known(one, other, path + "[]")]
    return [] if told == kept else [path]
