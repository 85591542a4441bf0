"""A repository that was put back from an older copy: told from borg's memory, accepted on demand.

Borg remembers the time of the newest manifest that it saw and refuses an older one. Each server has
such a memory of its own, so accepting here is not enough: afterwards the repository gets a new
manifest, which is newer than anything that any of them remembers.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path

from backups import errors as e
from backups.borg import argv
from backups.borg.explain import Where
from backups.borg.repository import BorgRepository
from backups.borg.runner import Access, run
from phpborg.mounts import remove_tree

# Encrypted data must never use a counter twice, and the older copy does not know which ones were used
# since: it skips 2^40 blocks (16 TiB) of the 2^64 that there are.
_NONCE_SKIP = 1 << 40


def is_older(repository: BorgRepository) -> bool:
    """Whether borg refuses the repository because it is older than what it remembers."""
    try:
        repository.identity()
    except e.RepositoryReplay:
        return True
    return False


def accept_older(repository: BorgRepository, access: Access) -> None:
    """Forget the newer state and give the repository a manifest of now. Holds borg's lock for a moment.

    Borg's memory of the counters stays, and the repository's own is moved past what may have been used.
    """
    memory = Path(access.base_dir) / ".config/borg/security" / repository.repository_id / "manifest-timestamp"
    kept = memory.read_bytes() if memory.is_file() else None
    _skip_nonces(Path(repository.path))
    with suppress(FileNotFoundError):
        memory.unlink()
    # The cache remembers the time too; borg builds it anew.
    remove_tree(Path(access.base_dir) / ".cache/borg" / repository.repository_id)
    try:
        repository.identity()
        _renew_manifest(repository, access)
    except BaseException:
        if kept is not None:
            memory.write_bytes(kept)
        raise


def _skip_nonces(path: Path) -> None:
    file = path / "nonce"
    if not file.is_file():
        return
    following = min(int(file.read_text(), 16) + _NONCE_SKIP, (1 << 64) - 1)
    fresh = file.with_name(f"nonce.{uuid.uuid4().hex[:8]}.tmp")
    fresh.write_text(f"{following:016x}")
    fresh.replace(file)


def _renew_manifest(repository: BorgRepository, access: Access) -> None:
    """Any change writes a new manifest: an archive of an empty directory, and its removal."""
    name = f"phpborg-{uuid.uuid4().hex}"
    empty = Path(access.base_dir) / "empty"
    empty.mkdir(mode=0o700, exist_ok=True)
    try:
        options = argv.CreateOptions((str(empty).encode("utf-8", "surrogateescape"),), files_cache="disabled")
        command = argv.create(access.binary, repository.path, name, options)
        run(command, access, Where(repository=repository.path, archive=name), timeout=None)
        repository.delete([name])
    finally:
        remove_tree(empty)
