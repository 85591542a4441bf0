"""What was found is kept as JSON and comes back as it was."""

from __future__ import annotations

import json

import pytest

from recovery.engines import find
from recovery.engines.base import Consistency, Found, Owner, Part, Product, Size
from recovery.engines.mysql import MysqlFacts
from recovery.engines.notes import Note
from recovery.engines.pg_control import Control
from recovery.engines.postgresql import PostgresqlFacts
from recovery.services import found_json

CONTROL = Control(7, 1300, 202209061, "in production", True, minima={"max_connections": 37})
POSTGRESQL = Found(
    engine="postgresql",
    product=Product.POSTGRESQL,
    path=b"var/lib/postgr\xe9s/15",
    version="15",
    version_from="PG_VERSION",
    clean=None,
    consistency=Consistency.CRASH,
    owner=Owner(101, 103, 0o700),
    facts=PostgresqlFacts(control=CONTROL, backup_label=False, libraries=("a", "b")),
    parts=(Part("tablespace", b"/srv/\xff", None, b"pg_tblspc/1"),),
    stale=(b"postmaster.pid",),
    notes=(Note("missing", {"path": "/srv", "kind": "tablespace"}),),
    size=Size(10, 2),
)


def test_it_comes_back_as_it_was_and_starts_alike():
    again = found_json.load(json.loads(json.dumps(found_json.dump(POSTGRESQL))))
    assert again == POSTGRESQL
    whole = found_json.load(json.loads(json.dumps(found_json.dump(POSTGRESQL_WHOLE))))
    engine = find.engine_of(POSTGRESQL_WHOLE)
    assert engine.start(whole, read_only=True) == engine.start(POSTGRESQL_WHOLE, read_only=True)


POSTGRESQL_WHOLE = Found(**{**POSTGRESQL.__dict__, "parts": ()})


@pytest.mark.parametrize(
    "row",
    [
        {},
        [],
        {"version": 2},
        {"version": 1, "found": {"@": "Size", "fields": {"total_bytes": 1, "files": 1}}},
        {"version": 1, "found": {"@": "Popen", "fields": {"args": "true"}}},
        {"version": 1, "found": {"@": "Found", "fields": {"engine": "postgresql"}}},
        {"version": 1, "found": {"@": "Product", "value": "oracle"}},
    ],
    ids=str,
)
def test_a_row_of_anything_else_is_refused(row):
    with pytest.raises(ValueError):
        found_json.load(row)


def test_facts_of_another_engine_come_back_too():
    facts = MysqlFacts(
        page_bytes=16384, data_file_path=None, lower_case_table_names=1, prepared=None, settings={"a": "b"}
    )
    found = Found(**{**POSTGRESQL.__dict__, "facts": facts, "product": Product.MARIADB, "engine": "mysql"})
    assert found_json.load(found_json.dump(found)) == found
