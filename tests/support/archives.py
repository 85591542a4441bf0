"""A real pool, repository and archive on this machine, made with the product's own services."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from backups.borg.repository import BorgRepository
from backups.borg.results import ArchiveFact
from backups.models import Archive, Repository, StoragePool
from backups.services import pools, repositories
from servers.models import Server

PASSPHRASE = "can$ary ' \" \\ space"


def in_repository(repository: BorgRepository, name: str) -> ArchiveFact | None:
    """The archive of exactly this name, as the repository itself answers."""
    return next((fact for fact in repository.proof() if fact.name == name), None)


@dataclass
class Storage:
    """A pool with one repository, and this machine as a server."""

    root: Path
    pool: StoragePool
    repository: Repository
    server: Server

    def archive(
        self, source: Path, *, name: str = "one", cwd: Path | None = None, paths: tuple[bytes, ...] = ()
    ) -> Archive:
        """Back up `source` with plain borg and record it, as orphan recovery would."""
        environment = {
            **os.environ,
            "BORG_PASSPHRASE": PASSPHRASE if self.repository.is_encrypted else "",
            "BORG_BASE_DIR": str(repositories.base_dir_of(self.repository)),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "TZ": "UTC",
            "LC_ALL": "C.UTF-8",
        }
        target = f"{self.repository.path}::{name}"
        chosen: list[str | bytes] = list(paths) or [str(source)]
        subprocess.run(
            [settings.BORG_BINARY, "create", target, "--", *chosen],
            check=True,
            env=environment,
            cwd=cwd,
            capture_output=True,
        )
        fact = in_repository(repositories.borg_of(self.repository), name)
        assert fact is not None
        return Archive.objects.create(
            repository=self.repository,
            server=self.server,
            server_name=self.server.name,
            name=name,
            borg_id=fact.id,
            started_at=fact.started_at or timezone.now(),
            grade="success",
        )


@pytest.fixture
def storage(db: None, tmp_path: Path) -> Storage:
    """A pool, an encrypted repository with an awkward passphrase, and this machine, ready."""
    return make_storage(tmp_path)


def make_storage(root: Path, *, encryption: str = "repokey-blake2") -> Storage:
    """The same without the fixture."""
    pool = pools.create_pool(name="pool", path=str(root / "pool"))
    repository = repositories.create_repository(pool=pool, name="main", encryption=encryption, passphrase=PASSPHRASE)
    server = Server.objects.create(name="localhost", kind=Server.Kind.LOCAL, state=Server.State.READY)
    return Storage(root, pool, repository, server)


Maker = Callable[[Path], Storage]
