"""Repositories: made, opened, renamed, moved, given their passphrase. Raises before anything is half-made."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from backups import errors as e
from backups.borg import argv, locks, specs, view
from backups.borg.config import read_id, read_key
from backups.borg.repository import BorgRepository, Deleted
from backups.models import Repository, StoragePool
from backups.services import pools
from backups.storage_errors import OutsidePool, RepositoryCopied
from phpborg import process
from phpborg.crypto import EncryptedField
from phpborg.errors import InvalidInput
from phpborg.mounts import remove_tree
from phpborg.tasks import registry
from phpborg.tasks.models import Lease, Task

log = logging.getLogger(__name__)
# Without letters and digits that look alike: it may have to be typed from paper.
_LETTERS = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
DEFAULT_COMPRESSION = "zstd,3"
_TOLD_THERE = ("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "BORG_RELOCATED_REPO_ACCESS_IS_OK", "BORG_EXIT_CODES")


def base_dir_of(repository: Repository) -> Path:
    """Borg's own directory (cache, security) for this repository on the backup host."""
    path = Path(settings.VAR_DIR) / "borg" / str(repository.pk)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def borg_of(repository: Repository) -> BorgRepository:
    """The repository as borg sees it on the backup host; pinned to its id.

    Raises SecretUnreadable, PassphraseMissing.
    """
    passphrase = repository.passphrase.reveal()
    if not passphrase and specs.encryption(repository.encryption).has_key:
        raise e.PassphraseMissing()
    return BorgRepository(
        repository.path,
        encryption=repository.encryption,
        passphrase=passphrase,
        base_dir=base_dir_of(repository),
        repository_id=repository.borg_id or "",
        relocated_ok=_move_is_confirmed(repository),
    )


def told_there(repository: Repository, *, relocated_ok: bool = False) -> dict[str, str]:
    """The environment that borg on a server gets of a repository; the other words are about this host's directories."""
    answers = argv.env(base_dir="", encryption=repository.encryption, relocated_ok=relocated_ok)
    return {name: value for name, value in answers.items() if name in _TOLD_THERE}


def secrets_there(repository: Repository) -> dict[str, str]:
    """What a server has to know to open a repository, for the time of one request."""
    has_key = specs.encryption(repository.encryption).has_key
    return {"passphrase": repository.passphrase.reveal()} if has_key else {}


def delete_archives(repository: Repository, names: Sequence[str], *, stop: process.Stop | None = None) -> Deleted:
    """Remove archives by exact name; one that is not there is no error. Raises the errors of borg.

    Space is free only after a compaction; until then the repository says so, also when the removal breaks off.
    """
    Repository.objects.filter(pk=repository.pk).update(unfreed=True)
    return borg_of(repository).delete(names, stop=stop)


def verified_borg_of(repository: Repository) -> BorgRepository:
    """The same after borg itself has told that id and encryption are the pinned ones.

    Raises RepositoryIdentityChanged, EncryptionChanged, RepositoryReplay, PassphraseWrong …
    """
    borg = borg_of(repository)
    borg.identity()
    return borg


def _move_is_confirmed(repository: Repository) -> bool:
    """Borg's question is answered only when it asks about the very move that somebody confirmed."""
    if not repository.confirmed_move_from:
        return False
    known = base_dir_of(repository) / ".config/borg/security" / (repository.borg_id or "-") / "location"
    try:
        return known.read_text() in (repository.confirmed_move_from, repository.path)
    except OSError:
        return True  # borg remembers no place, so it asks about none


def generate_passphrase() -> str:
    """Seven groups of four characters, about 160 bits."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(7))


def create_repository(
    *,
    pool: StoragePool,
    name: str,
    encryption: str = specs.DEFAULT_ENCRYPTION,
    passphrase: str = "",
    compression: str = DEFAULT_COMPRESSION,
) -> Repository:
    """Make and initialise a repository in the pool.

    `passphrase` is used exactly as given; it may be empty only without encryption. Raises
    InvalidInput, PoolUnavailable and the errors of borg; then neither row nor directory is left.
    """
    name = name.strip()
    _check_name(name)
    mode = specs.encryption(encryption)
    passphrase = specs.passphrase(passphrase, mode)
    specs.compression(compression)
    pools.ensure_there(pool)
    repository = Repository(
        pool=pool,
        name=name,
        path=str(_free_path(pool, name)),
        encryption=mode.value,
        compression=compression,
        passphrase=EncryptedField.seal(passphrase),
    )
    try:
        repository.borg_id = borg_of(repository).init()
    except BaseException:
        remove_tree(base_dir_of(repository))
        raise
    try:
        repository.size_bytes, repository.original_bytes = borg_of(repository).sizes().bytes_used, 0
        repository.measured_at = repository.synced_at = timezone.now()
        # What the guard of keys compares with (key_guard.py), from the one moment when nobody else had a way to it.
        repository.key_copy = EncryptedField.seal(read_key(Path(repository.path)))
        with transaction.atomic():
            repository.save(force_insert=True)
    except BaseException:
        # Made by this very call a moment ago, and nothing was written into it.
        remove_tree(Path(repository.path))
        remove_tree(base_dir_of(repository))
        raise
    return repository


def _check_name(name: str, repository: Repository | None = None) -> None:
    if not name or len(name) > 80 or any(ord(character) < 32 for character in name):
        raise InvalidInput(field=_("name"), problem=_("write one line of 1 to 80 characters."))
    others = Repository.objects.filter(name=name)
    if repository is not None:
        others = others.exclude(pk=repository.pk)
    if others.exists():
        raise InvalidInput(field=_("name"), problem=_("another repository has this name."))


def _free_path(pool: StoragePool, name: str) -> Path:
    """A directory for the name that nothing uses yet."""
    directory = slugify(name)[:60].strip("-_") or "repository"
    path, number = Path(pool.path) / directory, 1
    while os.path.lexists(path) or Repository.objects.filter(path=str(path)).exists():
        number += 1
        path = Path(pool.path) / f"{directory}-{number}"
    if not pools.inside(pool, path):
        raise OutsidePool(path=str(path), pool=pool.name)
    return path


def update_repository(*, repository: Repository, name: str, compression: str) -> None:
    """Rename, or choose another compression for archives to come. Raises InvalidInput; then nothing is changed."""
    name = name.strip()
    _check_name(name, repository)
    specs.compression(compression)
    repository.name, repository.compression = name, compression
    repository.save(update_fields=["name", "compression"])


def change_path(*, repository: Repository, path: str, confirmed: bool) -> None:
    """Say where a repository was moved to. Borg's own question is answered only after this confirmation.

    The repository at the new place must have the pinned id. Raises InvalidInput, RepositoryMissing,
    RepositoryIdentityChanged, RepositoryCopied, and without `confirmed` RepositoryRelocated naming
    both paths.
    """
    ensure_unused(repository)
    where = pools.clean_path(path, field=_("path"))
    old = repository.path
    if str(where) == old:
        raise InvalidInput(field=_("path"), problem=_("it is the path that is known already."))
    if Repository.objects.filter(path=str(where)).exclude(pk=repository.pk).exists():
        raise InvalidInput(field=_("path"), problem=_("another repository is registered here."))
    pool = pools.pool_of(where)
    if pool is None or not pools.inside(pool, where):
        raise InvalidInput(field=_("path"), problem=_("it is not inside a storage pool."))
    found = read_id(where)
    if repository.borg_id and found != repository.borg_id:
        raise e.RepositoryIdentityChanged(expected=repository.borg_id, found=found)
    if _id_at(Path(old)) == found:
        raise RepositoryCopied(old=old, new=str(where))
    if not confirmed:
        raise e.RepositoryRelocated(old=old, new=str(where))
    moved = Repository.objects.get(pk=repository.pk)
    moved.path, moved.pool, moved.confirmed_move_from = str(where), pool, old
    borg_of(moved).identity()
    moved.save(update_fields=["path", "pool", "confirmed_move_from"])
    log.info("repository %s: the move from %s to %s was confirmed", repository.pk, old, where)
    repository.refresh_from_db()


def _id_at(path: Path) -> str:
    try:
        return read_id(path)
    except e.BorgError:
        return ""


def change_passphrase(*, repository: Repository, passphrase: str) -> None:
    """Store the passphrase that opens the repository (after the key file was lost). Raises PassphraseWrong."""
    given = Repository.objects.get(pk=repository.pk)
    given.passphrase = EncryptedField.seal(specs.passphrase(passphrase, specs.encryption(given.encryption)))
    borg_of(given).identity()
    given.save(update_fields=["passphrase"])
    repository.passphrase = given.passphrase


def users_of(repository: Repository) -> list[str]:
    """Who uses the repository now: running tasks and open archives, in words."""
    running = Task.objects.running().about(repository=repository.pk)
    words = [f"{registry.label(task.kind)} {task.subject}".strip() for task in running]
    return words + [
        _("open archive {archive}").format(archive=lease.data.get("archive", "?")) for lease in views_of(repository)
    ]


def views_of(repository: Repository) -> list[Lease]:
    """The lock-free views that are held on the repository: open archives and restores (recovery/leases.py)."""
    return list(Lease.objects.held().filter(kind="repository_view", data__repository=str(repository.pk)))


def held_by(views: Iterable[Lease]) -> int | None:
    """The bytes that come free when these views are closed; what another open view holds too is not among them.

    None when counting them takes too long for a page.
    """
    return view.held_bytes([Path(str(lease.data["path"])) for lease in views])


def ensure_unused(repository: Repository) -> None:
    """Raise RepositoryInUse while a task, a restore or an open archive of ours uses the repository."""
    users = users_of(repository)
    if users:
        raise e.RepositoryInUse(name=repository.name, users=", ".join(users[:5]))


def lock_state(repository: Repository) -> locks.LockState:
    """Who holds Borg's lock now; no borg, no passphrase. Nothing when the repository is not there."""
    return locks.read(Path(repository.path))


def break_lock(*, repository: Repository) -> locks.LockState:
    """Remove Borg's lock and answer who held it; refused while anything of ours uses the repository.

    Raises RepositoryInUse, and LockBusy while its holder lives on this host.
    """
    ensure_unused(repository)
    state = borg_of(repository).break_lock()
    log.warning("repository %s: the lock of %s was broken by hand", repository.pk, state or "nobody")
    return state


def release_dead_locks(repository: Repository) -> tuple[locks.Holder, ...]:
    """After a writer ended abnormally: remove the locks of dead processes of this host, and nothing else."""
    gone = locks.clear_dead(Path(repository.path))
    for holder in gone:
        log.info("repository %s: removed the lock of %s, which is dead", repository.pk, holder)
    return gone


def export_key(*, repository: Repository, form: argv.KeyFormat = "text") -> str:
    """The repository's key (`text`, or `paper` for print), still protected by the passphrase.

    Raises InvalidInput without encryption. Once it is kept elsewhere, say so by `key_is_kept`.
    """
    return borg_of(repository).export_key(form)


def key_is_kept(*, repository: Repository) -> None:
    """Remember that the key was exported."""
    repository.key_exported_at = timezone.now()
    repository.save(update_fields=["key_exported_at"])


def reveal_passphrase(*, repository: Repository, by: Any) -> str:
    """The clear passphrase for an administrator who asked for it; leaves a line in the log. Raises SecretUnreadable."""
    log.warning("the passphrase of repository %s (%s) was shown to %s", repository.name, repository.pk, by)
    clear: str = repository.passphrase.reveal()
    return clear
