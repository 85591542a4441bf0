"""Borg as a person types it, on a repository of the product."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from backups.models import Repository
from backups.services import repositories

PASSPHRASE = " a $HOME `id` ' \" \\ é 日本  "


@dataclass
class Hand:
    """Each verb is one borg command; `base` is borg's own memory, by default a stranger's."""

    repository: Repository
    scratch: Path

    def environment(self, passphrase: str = PASSPHRASE, base: Path | None = None) -> dict[str, str]:
        return {
            **os.environ,
            "BORG_PASSPHRASE": passphrase,
            "BORG_BASE_DIR": str(base or self.scratch / "hand"),
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
            "TZ": "UTC",
            "LC_ALL": "C.UTF-8",
        }

    def borg(
        self, *words: str, passphrase: str = PASSPHRASE, base: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [settings.BORG_BINARY, *words],
            env=self.environment(passphrase, base),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )

    def archive(self, name: str, *, size: int = 100_000, ours: bool = True) -> None:
        """Back up fresh random bytes. `ours`: with the product's own memory, as a local backup has it."""
        source = self.scratch / f"source-{len(list(self.scratch.iterdir()))}"
        source.mkdir()
        (source / "data").write_bytes(os.urandom(size))
        base = repositories.base_dir_of(self.repository) if ours else None
        done = self.borg("create", f"{self.repository.path}::{name}", str(source), base=base)
        assert done.returncode == 0, done.stderr

    def delete(self, *names: str) -> None:
        base = repositories.base_dir_of(self.repository)
        done = self.borg("delete", f"{self.repository.path}::{names[0]}", *names[1:], base=base)
        assert done.returncode == 0, done.stderr

    def copy(self, target: Path) -> Path:
        subprocess.run(["cp", "-a", "--", self.repository.path, str(target)], check=True)
        return target
