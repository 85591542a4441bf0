"""Pools and repositories on this machine, and borg by hand beside the product."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backups.models import Repository, StoragePool
from backups.services import pools, repositories
from tests.storage.support import PASSPHRASE, Hand


@pytest.fixture
def root() -> Iterator[Path]:
    """A short private place whose name holds what shells stumble over."""
    with tempfile.TemporaryDirectory(prefix="phpborg st$o ' \\ ") as name:
        yield Path(name).resolve()


@pytest.fixture
def pool(db: None, root: Path) -> StoragePool:
    return pools.create_pool(name="Main pool", path=str(root / "pool"))


@pytest.fixture
def registered(pool: StoragePool) -> Repository:
    """A repository that only the database and a bare directory know: for tests without borg."""
    path = Path(pool.path) / "office"
    path.mkdir()
    (path / "config").write_text(f"[repository]\nversion = 1\nid = {'ab' * 32}\n")
    return Repository.objects.create(
        pool=pool, name="office", path=str(path), borg_id="ab" * 32, encryption="repokey-blake2"
    )


@pytest.fixture
def repository(pool: StoragePool) -> Repository:
    """A real one, with an awkward passphrase."""
    return repositories.create_repository(pool=pool, name="Ünï \" $HOME 'x' \\ y", passphrase=PASSPHRASE)


@pytest.fixture
def hand(repository: Repository, tmp_path: Path) -> Hand:
    return Hand(repository, tmp_path)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 24 MB."""
    with tempfile.TemporaryDirectory(prefix="phpborg-small-") as name:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", name], check=True)
        try:
            yield Path(name).resolve()
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)


@pytest.fixture(autouse=True)
def own_var(settings, tmp_path: Path) -> Path:
    """Borg's memories and task logs of this test alone."""
    settings.VAR_DIR = tmp_path / "var"
    settings.VAR_DIR.mkdir()
    return settings.VAR_DIR
