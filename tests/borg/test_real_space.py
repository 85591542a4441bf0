"""The room that a repository takes, and what gives some of it back."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from backups.borg.progress import Progress
from tests.borg.support import Bench

pytestmark = pytest.mark.real


def test_compact_frees_what_delete_released(bench: Bench) -> None:
    """Case 26: 61 MB → 61 MB (“not yet freed”) → 1 MB."""
    repository = bench.repository()
    (bench.source / "big").write_bytes(os.urandom(60_000_000))
    bench.create(repository, "big")
    full = repository.sizes()
    assert 60_000_000 < full.bytes_used < 63_000_000
    repository.delete(["big"])
    deleted = repository.sizes()
    assert deleted.bytes_used > 60_000_000
    assert deleted.freeable_bytes is not None
    assert deleted.freeable_bytes > 59_000_000
    progress = Progress()
    done = repository.compact(on_event=progress.add)
    assert done.freed_bytes > 59_000_000
    assert repository.sizes().bytes_used < 1_500_000


def test_giving_back_what_is_half_written_removes_nothing_that_was_marked_as_deleted(bench: Bench) -> None:
    """A server can mark archives as deleted and tell of a full disk: that must not be a way to remove them."""
    repository = bench.repository(encryption="none", passphrase="")
    (bench.source / "precious").write_bytes(os.urandom(3_000_000))
    bench.create(repository, "one", passphrase="")
    subprocess.run([bench.binary, "delete", f"{repository.path}::one"], check=True,
                   env={**os.environ, "BORG_BASE_DIR": str(bench.root / "base")})  # fmt: skip
    data = Path(repository.path, "data/0")
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    assert any(len(content) > 2_000_000 for content in before.values())
    repository.drop_unfinished()  # nothing is unfinished: nothing is done
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before
    half = data / str(max(map(int, before)) + 1)
    half.write_bytes(b"BORG_SEG" + bytes(500_000))
    repository.drop_unfinished()
    after = {path.name: path.read_bytes() for path in data.iterdir()}
    assert {name: after[name] for name in before} == before
    assert sum(map(len, after.values())) < sum(map(len, before.values())) + 10_000
