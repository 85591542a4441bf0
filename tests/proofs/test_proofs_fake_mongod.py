"""Proofs of a MongoDB's archive. Its server is a fake (fake_mongod_program.py): no real one can be had here."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from recovery.checks import queries
from recovery.models import Depth, Proof
from tests.engines import engine_parts
from tests.proofs.conftest import nothing_is_left
from tests.proofs.test_proofs_real import prove
from tests.support import own_image
from tests.support.fake_mongod_program import STATE

pytestmark = [pytest.mark.real]

TEAS = [{"_id": number, "tea": f"no. {number}"} for number in range(5)]
ASKED = """\
@ shop
{"count": "teas"}
= {"n": 5}

@ shop
{"find": "teas", "filter": {"_id": 3}}
= {"tea": "no. 3", "_id": 3}
"""


def directory(place: Path, **changes: object) -> Path:
    data = engine_parts.made_mongodb(place, "6.0")
    content = {"data": {"shop": {"teas": TEAS}}, "users": {}, "roles": {}, **changes}
    (data / STATE).write_text(json.dumps(content))
    for one in (data, *data.rglob("*")):
        os.chown(one, 998, 998)
    return data


def test_collections_of_a_fake_mongod_are_checked_and_asked_and_damage_is_told(engine, storage, run_pending, tmp_path):
    image = own_image.fake_mongod(engine, tmp_path / "image")
    asked = tuple(query.as_json() for query in queries.parse(ASKED))
    choices = {"depth": Depth.START, "docker": str(engine.socket), "image": image, "queries": asked}
    archive = storage.archive(directory(tmp_path / "good"))
    proof = prove(archive, run_pending, **choices)
    assert (proof.state, proof.error_code, proof.error_detail) == (Proof.State.PROVEN, "", "")
    assert archive.proven_depth == Depth.START
    (seen,) = proof.evidence["databases"]
    assert (seen["tables"], seen["rows"], seen["problems_count"]) == (1, 5, 0)
    assert [row["is_good"] for row in seen["queries"]] == [True, True]

    archive = storage.archive(directory(tmp_path / "damaged", damaged=["shop.teas"]), name="two")
    proof = prove(archive, run_pending, **choices)
    assert proof.state == Proof.State.FAILED
    assert "missing index entries" in proof.error_detail
    (seen,) = proof.evidence["databases"]
    assert [problem["where"] for problem in seen["problems"]] == ["shop.teas"]
    assert nothing_is_left(storage)
