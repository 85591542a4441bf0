"""The page of one proof: what it has seen, in the words of its database, and who sees rows of it."""

from __future__ import annotations

import pytest

from phpborg.tasks.states import State as TaskState
from recovery.models import Depth
from recovery.services import proofs
from tests.proofs.test_proof_plans import archive, begun, ended, nightly

__all__ = ["archive", "nightly"]
pytestmark = pytest.mark.django_db


def test_the_evidence_is_on_the_page_and_rows_are_for_those_who_may_see_contents(
    nightly, archive, client_of, bob, diane
):
    proof = begun(nightly)
    proof.evidence = {
        "list": {"entries": 5, "files": 3, "bytes": 9, "recorded_files": 3, "recorded_bytes": None},
        "read": {"percent": 10, "seed": "cafe", "files": 1, "bytes": 3, "sha256": "ab", "rows": []},
        "databases": [
            {
                "product": "postgresql",
                "version": "15",
                "directory": "/var/lib/<b>",
                "tables": 4,
                "problems_count": 1,
                "problems": [{"where": "shop: public.kettle", "words": "could not read block"}],
                "queries": [{"database": "shop", "sql": "SELECT 1", "expected": ["Ada"], "answer": ["Grace"]}],
            }
        ],
    }
    proofs.keep(proof, Depth.READ)
    ended(proof, TaskState.FAILED, "PRF-06")
    for person, sees in ((diane, False), (bob, True)):
        text = client_of(person).get(proof.get_absolute_url()).content.decode()
        for words in ("cafe", "could not read block", "/var/lib/&lt;b&gt;", "SELECT 1", "Not as expected"):
            assert words in text
        assert [words in text for words in ("Ada", "Grace")] == [sees, sees]


@pytest.mark.parametrize(
    ("product", "words"),
    [
        ("postgresql", ("Tables that were read whole", "Rows")),
        ("mongodb", ("Collections that were read whole", "Documents")),
        ("opensearch", ("Indexes whose files were compared", "Documents")),
    ],
)
def test_the_evidence_speaks_as_the_database_does(nightly, archive, client_of, bob, product, words):
    proof = begun(nightly)
    proof.evidence = {"databases": [{"product": product, "tables": 4, "rows": 9}]}
    proofs.keep(proof, Depth.START)
    text = client_of(bob).get(proof.get_absolute_url()).content.decode()
    assert all(word in text for word in words)
