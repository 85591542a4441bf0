"""What a proof makes of the helper's answers about one database; a double of the helper says them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from phpborg.errors import PhpBorgError
from recovery.engines.base import Product
from recovery.proof_errors import DISPROVED, DatabaseDamaged, NoServerStarts, NotAllRead, QueryFailed
from recovery.services import proof_start
from servers.errors import MemoryExhausted, ReadyTooLate, SessionFailed

Said = dict[str, Any]
READ = "read"
GOOD = ["shop.kettle\tcheck\tstatus\tOK", "shop.kettle\t1579483016", "phpborg: all tables"]
BAD = ["shop.kettle\tcheck\terror\tCorrupt", "shop.kettle\tNULL", "phpborg: all tables"]
STARTING, ANSWERING = {"state": "starting"}, {"state": "answering", "seconds": 1.0}


def told(name: str, lines: list[str], *, code: int | None = 0, count: int | None = None) -> Iterator[Said]:
    yield ANSWERING
    for line in lines:
        yield {"state": "checking", "check": name, "line": line}
    yield {"state": "checked", "check": name, "code": code, "lines": len(lines) if count is None else count}


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[..., proof_start.Start]:
    def carried_out(
        *said: Said, error: PhpBorgError | None = None, product: Product = Product.MARIADB, queries: Any = ()
    ) -> proof_start.Start:
        stop = SimpleNamespace(check=lambda: None)
        context: Any = SimpleNamespace(progress=lambda **_: None, phase=lambda _: None, stop=stop)
        proof: Any = SimpleNamespace(queries=list(queries))
        found: Any = SimpleNamespace(product=product, version="10.11", consistency="crash", path=b"data")
        one = proof_start.Start(context, proof, found, None)  # type: ignore[arg-type]

        def ask() -> str:
            for row in said:
                one._hear(row)
            if error is not None:
                raise error
            return "image"

        monkeypatch.setattr(one, "_ask", ask)
        one.carry_out()
        return one

    return carried_out


def test_a_double_that_answers_to_the_end_proves(start):
    assert start(*told(READ, GOOD)).error is None
    assert isinstance(start(*told(READ, BAD)).error, DatabaseDamaged)


def test_a_double_that_is_not_ready_in_time_does_not_disprove(start):
    """It may still be busy with its log."""
    late = ReadyTooLate("the database server was not ready in time", address="here")
    assert start(STARTING, error=late).error is late
    assert not isinstance(late, DISPROVED)
    assert isinstance(start(STARTING, error=SessionFailed("it has ended", address="here")).error, NoServerStarts)


def test_a_double_that_becomes_mute_after_damage_has_told_of_it(start):
    late = ReadyTooLate("the database server did not answer a query in time", address="here")
    assert isinstance(start(*told(READ, BAD), error=late).error, DatabaseDamaged)
    assert start(*told(READ, GOOD), error=late).error is late
    memory = MemoryExhausted("too little", address="here")
    assert start(*told(READ, BAD, code=1), error=memory).error is memory


@pytest.mark.parametrize(
    "said",
    [
        list(told(READ, GOOD[:1], code=None)),
        list(told(READ, GOOD, count=500_001)),
        [ANSWERING],
        [],
    ],
)
def test_what_a_double_did_not_read_to_the_end_is_neither_proven_nor_damaged(start, said):
    error = start(*said).error
    assert isinstance(error, NotAllRead)
    assert not isinstance(error, DISPROVED)


def test_lines_that_a_double_left_out_may_have_been_damage(start):
    """So it was with more tables of PostgreSQL than there may be lines."""
    lines = ["database\tshop", "begin\tshop\tx", "pages\tshop\tx\t1\t1", "read\tshop\tx\t1\t1"]
    assert start(*told(READ, lines), product=Product.POSTGRESQL).error is None
    assert isinstance(start(*told(READ, lines, count=5), product=Product.POSTGRESQL).error, NotAllRead)


def test_a_double_whose_indices_could_all_not_be_closed_has_read_nothing(start):
    lines = ['{"indices": 2}', '{"index": "a", "docs": 2}', '{"index": "b", "refused": "cluster_block_exception"}']
    assert start(*told(READ, lines), product=Product.OPENSEARCH).error is None
    nothing = ['{"indices": 1}', lines[2]]
    error = start(*told(READ, nothing), product=Product.OPENSEARCH).error
    assert isinstance(error, NotAllRead)
    assert "cluster_block_exception" in error.detail
    lost = start(*told(READ, ['{"indices": 0}', '{"dangling": "items"}']), product=Product.OPENSEARCH).error
    assert isinstance(lost, NotAllRead)
    assert lost.detail.startswith("items: ")
    assert start(*told(READ, ['{"indices": 0}']), product=Product.OPENSEARCH).error is None


def test_a_query_that_a_double_did_not_come_to_is_not_proven(start):
    query = {"database": "shop", "sql": "SELECT 1", "expected": None}
    assert isinstance(start(*told(READ, GOOD), queries=[query]).error, NotAllRead)
    both = [*told(READ, GOOD), *told("query-0", ["1"])]
    assert start(*both, queries=[query]).error is None
    endless = start(*told(READ, GOOD), *told("query-0", ["1"], count=2), queries=[query])
    assert isinstance(endless.answered[0], QueryFailed)


def test_a_double_that_talks_without_end_fills_no_memory(start, monkeypatch):
    monkeypatch.setattr(proof_start, "_MOST_LETTERS", 100)
    one = start(*told(READ, ["x" * 50] * 1000))
    assert len(one._answers.lines[READ]) == 1
    assert isinstance(one.error, NotAllRead)
