"""Proofs of a node's files: a byte that is another one and a file that was cut off are found, by the node itself."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from recovery.checks import queries
from recovery.models import Depth, Proof
from tests.lab import opensearch
from tests.lab.opensearch import running_node
from tests.proofs.conftest import engine, nothing_is_left
from tests.proofs.test_proofs_real import prove
from tests.support.archives import storage

__all__ = ["engine", "storage"]
pytestmark = pytest.mark.lab
DOCUMENTS = 2000
QUERIES = """@ items
GET /items/_count?filter_path=count
= { "count": 2000 }

@ items
{"query": {"term": {"n": 7}}, "_source": ["n"], "aggs": {"most": {"max": {"field": "n"}}}}
= {"n": 7}
= most | {"value": 7.0}

@ items
GET /_cat/indices/items?h=index,pri
= items | 2
"""


def fill(node: opensearch.Node, name: str, shards: int) -> None:
    """In files that are apart, as those of a large index are."""
    some = random.Random(3)
    node.ask("PUT", f"/{name}", {"settings": {"number_of_replicas": 0, "number_of_shards": shards}})
    for first in (0, DOCUMENTS // 2):
        numbers = range(first, first + DOCUMENTS // 2)
        rows = (f'{{"index":{{"_id":"{n}"}}}}\n{{"n":{n},"text":"{some.randbytes(40).hex()}"}}\n' for n in numbers)
        node.ask("POST", f"/{name}/_bulk?refresh=true", "".join(rows).encode())
    node.ask("POST", f"/{name}/_forcemerge?max_num_segments=1")


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """`good`; with the documents of one shard damaged, `flip` and `cut`; without that shard, `gone`."""
    place = Path(tempfile.mkdtemp(prefix="phpborg-search-"))
    place.chmod(0o755)
    with running_node("one", (place / "good",)) as node:
        fill(node, "items", 2)
        fill(node, "other", 1)
        node.ask("PUT", "/shut", {"settings": {"number_of_replicas": 0}})
        node.ask("POST", "/shut/_close")
        node.ask("POST", "/_flush")
        shard = f"nodes/0/indices/{node.ask('GET', '/other/_settings')['other']['settings']['index']['uuid']}/0"
    for name in ("flip", "cut", "gone"):
        subprocess.run(["cp", "-a", place / "good", place / name], check=True)
    (documents,) = (place / "flip" / shard / "index").glob("*.fdt")
    half = documents.stat().st_size // 2
    with documents.open("r+b") as file:
        file.seek(half)
        byte = file.read(1)
        file.seek(half)
        file.write(bytes([byte[0] ^ 1]))
    os.truncate(place / "cut" / documents.relative_to(place / "flip"), half)
    shutil.rmtree(place / "gone" / shard)
    yield place
    shutil.rmtree(place)


def proven(engine, storage, run_pending, folder: Path) -> Proof:
    asked = tuple(query.as_json() for query in queries.parse(QUERIES))
    choices = {"depth": Depth.START, "docker": str(engine.socket), "image": opensearch.image(engine), "queries": asked}
    return prove(storage.archive(folder), run_pending, **choices)


def test_a_node_is_started_every_shard_is_read_and_it_is_asked(engine, storage, data, run_pending):
    proof = proven(engine, storage, run_pending, data / "good")
    assert (proof.state, proof.error_code, proof.error_detail) == (Proof.State.PROVEN, "", "")
    (seen,) = proof.evidence["databases"]
    assert (seen["tables"], seen["rows"], seen["unread"]) == (3, 2 * DOCUMENTS, [])
    assert [query["is_good"] for query in seen["queries"]] == [True, True, True]
    assert proof.archive.proven_depth == Depth.START
    assert nothing_is_left(storage)


@pytest.mark.parametrize(
    ("folder", "words"), [("flip", "checksum failed"), ("cut", "truncated"), ("gone", "can no longer be found")]
)
def test_a_damaged_shard_is_named_with_the_nodes_own_words(engine, storage, data, run_pending, folder, words):
    proof = proven(engine, storage, run_pending, data / folder)
    assert (proof.state, proof.error_code) == (Proof.State.FAILED, "PRF-06"), proof.error_detail
    (seen,) = proof.evidence["databases"]
    (problem,) = seen["problems"]
    assert (problem["where"], seen["tables"]) == ("other[0]", 2)
    assert words in problem["words"]
    assert [query["is_good"] for query in seen["queries"]] == [True, True, True]
    assert nothing_is_left(storage)
