"""Archives of MySQL itself, proven by its own server: killed amid commits, and with a table that was cut off."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from recovery.checks.base import Query
from recovery.models import Depth, Proof
from tests.lab import images
from tests.lab.engine import Engine
from tests.lab.mysqld import ROWS, fill, new_place, running
from tests.proofs.conftest import nothing_is_left, storage
from tests.proofs.test_proofs_real import prove

__all__ = ["storage"]
pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def places(engine: Engine) -> Iterator[dict[str, Path]]:
    """Data directories: `killed`, and `cut`, which was stopped in order."""
    killed, cut = new_place(engine), new_place(engine)
    with running(engine, killed) as server:
        fill(server)
    with running(engine, cut) as server:
        server.sql("CREATE DATABASE shop; CREATE TABLE shop.kettle (id INT PRIMARY KEY, tea VARCHAR(1000))")
        values = ",".join(f"({number}, REPEAT('tea.', 240))" for number in range(2000))
        server.sql(f"INSERT INTO shop.kettle VALUES {values}; SET GLOBAL innodb_fast_shutdown = 0")
        engine.docker("stop", "--time", "60", server.name)
    file = cut / "data/shop/kettle.ibd"
    assert file.stat().st_size > 60 * 16384
    os.truncate(file, 60 * 16384)
    yield {"killed": killed / "data", "cut": cut / "data"}
    shutil.rmtree(killed)
    shutil.rmtree(cut)


@pytest.fixture(scope="module")
def image(engine: Engine) -> str:
    """By a name that tells its version."""
    images.ensure(engine, images.MYSQL)
    said = engine.docker("run", "--rm", "--network=none", images.MYSQL.tag, "mysqld", "--version").stdout
    version = re.search(r"Ver (\d+\.\d+\.\d+)", said)
    assert version is not None
    tag = f"phpborg-test/mysql:{version.group(1)}"
    engine.docker("tag", images.MYSQL.tag, tag)
    return tag


def choices(engine: Engine, image: str, *queries: Query) -> dict[str, object]:
    asked = tuple(query.as_json() for query in queries)
    return {"depth": Depth.START, "docker": str(engine.socket), "image": image, "queries": asked}


def test_a_server_that_was_killed_amid_commits_is_proven(engine, image, places, storage, run_pending):
    archive = storage.archive(places["killed"])
    committed = Query("shop", "SELECT tea, COUNT(*) FROM kettle GROUP BY tea", (f"committed | {ROWS}",))
    doubt = Query("shop", "SELECT id FROM doubt", ("1",))
    proof = prove(archive, run_pending, **choices(engine, image, committed, doubt))
    assert (proof.state, proof.error_code, proof.error_detail) == (Proof.State.PROVEN, "", "")
    assert archive.proven_depth == Depth.START
    (seen,) = proof.evidence["databases"]
    assert (seen["product"], seen["problems_count"], seen["prepared"]) == ("mysql", 0, 2)
    assert seen["tables"] > 20
    assert [query["is_good"] for query in seen["queries"]] == [True, True]
    assert nothing_is_left(storage)


def test_a_table_that_was_cut_off_is_caught(engine, image, places, storage, run_pending):
    """MySQL ends itself at such a file, and its client may say nothing of that."""
    archive = storage.archive(places["cut"])
    proof = prove(archive, run_pending, **choices(engine, image))
    assert proof.state == Proof.State.FAILED, proof.evidence["databases"]
    assert proof.error_code in ("PRF-05", "PRF-06"), (proof.error_code, proof.error_detail)
    assert "kettle" in proof.error_detail
    assert archive.proven_depth != Depth.START
    assert nothing_is_left(storage)
