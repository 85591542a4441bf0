"""One estate for the whole lane: a slow backup of server `one`, to be broken in every way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.estate import Estate, running_estate


@pytest.fixture(scope="session")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """`slow` takes about 30 s to transfer, `quick` a moment, `direct` goes by the server's own key."""
    source = tmp_path_factory.mktemp("source")
    make_source(source)
    with running_estate(PHPBORG_TASK_LOST="20") as made:
        made.add_server("one", made.one, "root")
        limits = ("--rate-limit", "1000", "--compression", "none")
        made.add_job("slow", "one", source, options=limits)
        made.add_job("quick", "one", source / "small")
        made.sources.append(source)
        yield made


def make_source(place: Path, megabytes: int = 30) -> None:
    """Incompressible files, new ones at each call, so that a run always has something to send."""
    (place / "small").mkdir(exist_ok=True)
    (place / "small/file").write_text("small")
    for number in range(megabytes):
        (place / f"file-{number}").write_bytes(os.urandom(1_000_000))
