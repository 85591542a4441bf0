"""Fixtures of every room; each lives in tests/support."""

from __future__ import annotations

import pytest

from tests.support.inline import run_pending
from tests.support.people import alice, bob, charlie, client_of, diane
from tests.support.redis import redis_server
from tests.support.workers import keeper, worker

__all__ = ["alice", "bob", "charlie", "client_of", "diane", "keeper", "redis_server", "run_pending", "worker"]


@pytest.fixture(scope="session", autouse=True)
def kinds_of_the_tests() -> None:
    """Register the small tasks of tests/support/kinds in this process."""
    import tests.support.kinds.tasks  # noqa: F401
