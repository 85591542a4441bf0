"""Whatever a server says of its databases: a plan or an expected error, plain names, and no database forgotten."""

from __future__ import annotations

import json
from typing import Any

from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from backups.sources.base import SourceFacts, SourcePlan
from backups.sources.databases import DatabaseConfig, DatabaseSource
from backups.sources.offers import KINDS, offers, source_of
from backups.sources.system import SystemConfig, SystemSource
from phpborg.errors import PhpBorgError
from servers.capabilities.report import Report, parse
from servers.remote import validate
from tests.backups.test_source_documents import MONGODB, NODE
from tests.support.reports import cluster, debian, directory, login, mariadb, mount, probe

LISTS = {"postgresql": "clusters", "mysql": "instances", "mongodb": "instances", "elasticsearch": "nodes"}
_ROOT = login(method="socket", user="root")
_NAMES = [{"name": name} for name in ("mysql", "shop", "../up")]
BASES = {
    "postgresql": cluster(),
    "mysql": mariadb(login=_ROOT, databases=_NAMES),
    "mongodb": MONGODB,
    "elasticsearch": NODE,
}
TOOLS = ("mariadb-dump", "mariadb-backup", "mysqldump", "xtrabackup", "mongodump")
WORDS = st.text(max_size=12) | st.sampled_from(["shop", "local", "mysql", "template1", "../up", "-x", "a/b", "/"])
PATHS = st.sampled_from(["/", "/srv/pg two", "/srv/pg two/in", "relative", "/var/lib/postgresql/15/main", "/a/../b"])
JUNK = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=2)
DATABASE = st.fixed_dictionaries(
    {"name": WORDS | st.none()},
    optional={"is_template": st.booleans(), "allows_connections": st.booleans(), "size_bytes": st.integers(0, 9)},
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "version": st.sampled_from(["15.4", "9.5.3", "9.6", "x", "", None]),
    "running": st.sampled_from([True, True, True, False, None]),
    "contained": st.sampled_from([False, False, False, True, None]),
    "port": st.sampled_from([5432, None]),
    "owner": st.sampled_from(["postgres", None]),
    "databases": st.lists(DATABASE, max_size=6),
    "login": st.sampled_from([login(), login(False), login(method="given", user="x"), login(method=None)]),
    "config_files": st.lists(PATHS | st.sampled_from(["/etc/my.cnf", "/etc/mysql", "/etc/é"]), max_size=3),
    "wal_directory": PATHS | st.none(),
    "tablespaces": st.lists(st.fixed_dictionaries({"name": WORDS, "location": PATHS | st.none()}), max_size=2),
    "max_wal_senders": st.sampled_from([10, 0, None]),
    "wal_level": st.sampled_from(["replica", "minimal", None]),
    "engines": st.dictionaries(WORDS, st.integers(-1, 5), max_size=3),
    "outside_files": st.lists(PATHS, max_size=2),
    "flavour": st.sampled_from(["mariadb", "mysql", "opensearch", None, "else"]),
    "path_repo": st.lists(PATHS, max_size=2),
    "bind": st.lists(WORDS, max_size=2),
    "data": st.none() | PATHS.map(directory) | st.lists(PATHS.map(directory), max_size=2),
    "url": st.sampled_from(["http://127.0.0.1:9200", None]),
}


@st.composite
def reports(draw: st.DrawFn, kind: str) -> Report:
    """A report with one instance of this engine, any of its fields changed, also to nonsense."""
    instance = {**BASES[kind], "id": "x"}
    known = [name for name in FIELDS if name in instance]
    for name in draw(st.lists(st.sampled_from(known), max_size=6, unique=True)):
        instance[name] = draw(FIELDS[name] if draw(st.integers(0, 9)) else JUNK)
    programs: dict[str, Any] = {name: {"path": name} for name in draw(st.just(TOOLS) | st.sets(st.sampled_from(TOOLS)))}
    answer = debian()
    facts = {LISTS[kind]: [instance], "programs": {} if kind == "postgresql" else programs}
    answer["probes"][kind] = probe(facts, draw(st.sampled_from(["ok", "ok", "failed", "late"])))
    if draw(st.booleans()):
        # One volume holds everything, so that more can be frozen.
        whole = mount("/", "/dev/mapper/vg--a-lv--data", "xfs", device="254:3")
        answer["probes"]["mounts"]["facts"]["mounts"] = [whole]
    return parse(answer)


def _wishes(source: DatabaseSource[Any]) -> st.SearchStrategy[DatabaseConfig]:
    methods = st.sampled_from([method.name for method in source.methods])
    names = st.sampled_from([(), (), (), ("shop",), ("../up", "shop")])
    configs = st.builds(
        DatabaseConfig,
        st.sampled_from(["x", "x", "y"]),
        methods,
        names,
        st.booleans(),
        st.sampled_from(["auto", "given"]),
    )
    return configs.filter(lambda config: config.method == "logical" or not config.databases)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_plan_or_an_expected_error_and_no_database_forgotten(data: st.DataObject) -> None:
    source = source_of(data.draw(st.sampled_from(KINDS)))
    found = data.draw(reports(source.kind))
    config = data.draw(_wishes(source))
    assert source.parse(config.as_json()) == config
    try:
        with translation.override("en"):
            made = source.plan(config, SourceFacts(report=found))
    except PhpBorgError as error:
        str(error).encode()
        return
    check_names(made)
    for sentence in made.sentences:
        str(sentence).encode()
    if made.database is None:
        assert [row.kind for row in made.findings][:1] == ["login_unproven"]
        return
    json.dumps(made.database.as_json(), allow_nan=False)
    rows = (*made.database.included, *made.database.not_included)
    told = {row["name"] for row in rows if row["kind"] == "database"}
    (instance,) = source.instances(found)
    assert {one.name or "" for one in getattr(instance, "databases", ())} <= told


def check_names(made: SourcePlan) -> None:
    """What the helper and borg demand of names, as the helper checks it."""
    streams = [stream.row() for stream in made.streams]
    assert len({row["name"] for row in streams}) == len(streams)
    for row in streams:
        name = validate.relative(row["name"], "name")
        assert all(len(part) <= 200 for part in name.split(b"/"))
        json.dumps(row)
    # One of the three, and a frozen state only below paths.
    assert sum(map(bool, (made.streams, made.feed, made.paths))) <= 1
    if made.feed:
        validate.absolute(made.feed.folder, "folder")
        for path in made.feed.arguments.get("files", ()):
            validate.absolute(path, "file")
    if made.freeze:
        assert made.paths
        assert made.freeze.views
        json.dumps(dict(made.freeze.arguments))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_offers_and_the_system_can_be_made_of_any_report(data: st.DataObject) -> None:
    found = data.draw(reports(data.draw(st.sampled_from(KINDS))))
    with translation.override("en"):
        for offer in offers(found):
            assert offer.possible == any(method.possible for method in offer.methods)
            assert offer.possible or offer.reason
            assert (offer.recommended is not None) is offer.possible
            for method in offer.methods:
                method.sentence.encode()
        SystemSource().plan(SystemConfig(), SourceFacts(report=found))
