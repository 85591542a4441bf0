"""Repositories: made, opened, moved to the trash, purged. Raises before anything is half-made."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from backups.borg import specs
from backups.borg.repository import BorgRepository
from backups.errors import RepositoryInUse
from backups.models import Archive, Repository, StoragePool
from backups.services import pools
from phpborg.crypto import EncryptedField
from phpborg.errors import InvalidInput
from phpborg.tasks.leases import is_mount_point
from phpborg.tasks.models import Lease, Task

# Without letters and digits that look alike: it may have to be typed from paper.
PASSPHRASE_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"


def base_dir_of(repository: Repository) -> Path:
    """Borg's own directory (cache, security) for this repository on the backup host."""
    path = Path(settings.VAR_DIR) / "borg" / str(repository.pk)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def borg_of(repository: Repository) -> BorgRepository:
    """The repository as borg sees it on the backup host. Raises SecretUnreadable."""
    return BorgRepository(
        repository.path,
        encryption=repository.encryption,
        passphrase=repository.passphrase.reveal(),
        base_dir=base_dir_of(repository),
        repository_id=repository.borg_id or "",
        relocated_ok=bool(repository.confirmed_move_from),
    )


def generate_passphrase() -> str:
    """Seven groups of four characters, about 160 bits."""
    return "-".join("".join(secrets.choice(PASSPHRASE_ALPHABET) for _ in range(4)) for _ in range(7))


def create_repository(
    *,
    pool: StoragePool,
    name: str,
    encryption: str = specs.Encryption.REPOKEY_BLAKE2,
    passphrase: str = "",
    compression: str = "zstd,3",
) -> Repository:
    """Make and initialise a repository in the pool.

    `passphrase` is used exactly as given; it may be empty only without encryption. Raises
    InvalidInput and the errors of borg; then neither row nor directory is left.
    """
    name = name.strip()
    _check_new(name=name, encryption=encryption, passphrase=passphrase, compression=compression)
    directory = slugify(name)[:60].strip("-_") or "repository"
    path = Path(pool.path) / directory
    number = 1
    while path.exists() or Repository.objects.filter(path=str(path)).exists():
        number += 1
        path = Path(pool.path) / f"{directory}-{number}"
    if not pools.inside(pool, path):
        raise InvalidInput(field=_("name"), problem=_("the repository would not lie inside its pool."))
    repository = Repository(
        pool=pool,
        name=name,
        path=str(path),
        encryption=encryption,
        compression=compression,
        passphrase=EncryptedField.seal(passphrase if encryption != "none" else ""),
    )
    try:
        repository.borg_id = borg_of(repository).init()
        with transaction.atomic():
            repository.save(force_insert=True)
    except BaseException:
        _remove_half_made(path)
        shutil.rmtree(base_dir_of(repository), ignore_errors=True)
        raise
    return repository


def _check_new(*, name: str, encryption: str, passphrase: str, compression: str) -> None:
    if not name or len(name) > 80 or any(ord(character) < 32 for character in name):
        raise InvalidInput(field=_("name"), problem=_("write one line of 1 to 80 characters."))
    if Repository.objects.filter(name=name).exists():
        raise InvalidInput(field=_("name"), problem=_("another repository has this name."))
    specs.passphrase(passphrase, specs.encryption(encryption))
    specs.compression(compression)


def _remove_half_made(path: Path) -> None:
    """Only what `borg init` of this very call can have made: a fresh directory without data."""
    if path.is_dir() and not path.is_symlink() and not is_mount_point(path):
        shutil.rmtree(path, ignore_errors=True)


def update_repository(*, repository: Repository, name: str, compression: str) -> None:
    """Rename, or choose another compression for archives to come. Raises InvalidInput."""
    if Repository.objects.filter(name=name).exclude(pk=repository.pk).exists():
        raise InvalidInput(field=_("name"), problem=_("another repository has this name."))
    specs.compression(compression)
    repository.name, repository.compression = name.strip(), compression
    try:
        repository.full_clean(exclude=["path", "pool"])
    except ValidationError as error:
        raise InvalidInput(field=_("name"), problem=" ".join(error.messages)) from error
    repository.save(update_fields=["name", "compression"])


def change_path(*, repository: Repository, path: str, confirmed: bool) -> None:
    """Say where a repository was moved to. Borg's own question is answered only after this confirmation.

    The repository at the new place must have the pinned id. Raises InvalidInput, RepositoryMissing,
    RepositoryChanged and, without `confirmed`, RepositoryRelocated naming both paths.
    """
    ensure_unused(repository)
    where = pools.clean_path(path, field=_("path"))
    if Repository.objects.filter(path=str(where)).exclude(pk=repository.pk).exists():
        raise InvalidInput(field=_("path"), problem=_("another repository is registered here."))
    pool = pools.pool_of(where)
    if pool is None or not pools.inside(pool, where):
        raise InvalidInput(field=_("path"), problem=_("it is not inside a storage pool."))
    old = repository.path
    moved = Repository(**{field.attname: getattr(repository, field.attname) for field in Repository._meta.fields})
    moved.path, moved.pool, moved.confirmed_move_from = str(where), pool, old if confirmed else ""
    borg_of(moved).identity()
    moved.save(update_fields=["path", "pool", "confirmed_move_from"])
    repository.refresh_from_db()


def change_passphrase(*, repository: Repository, passphrase: str) -> None:
    """Store the passphrase that opens the repository (after the key file was lost). Raises PassphraseWrong."""
    repository.passphrase = EncryptedField.seal(passphrase)
    borg_of(repository).list_archives()
    repository.save(update_fields=["passphrase"])


def users_of(repository: Repository) -> list[str]:
    """Who uses the repository now: running tasks and open archives, in words."""
    running = Task.objects.running().about(repository=repository.pk)
    words = [str(task) for task in running]
    # An open archive holds a lease on its view of the repository (recovery/leases.py).
    views = Lease.objects.held().filter(kind="repository_view", data__repository=str(repository.pk))
    return words + [str(view.data.get("archive", view.kind)) for view in views]


def ensure_unused(repository: Repository) -> None:
    """Raise RepositoryInUse while a task, a restore or an open archive of ours uses the repository."""
    users = users_of(repository)
    if users:
        raise RepositoryInUse(name=repository.name, users=", ".join(users[:5]))


def break_lock(*, repository: Repository) -> None:
    """Remove Borg's lock; refused while anything of ours uses the repository. Raises RepositoryInUse."""
    ensure_unused(repository)
    borg_of(repository).break_lock()


def export_key(*, repository: Repository, form: str = "text") -> str:
    """The repository's key (`text`, or `paper` for print); remembers that it was exported."""
    text = borg_of(repository).export_key(form)
    Repository.objects.filter(pk=repository.pk).update(key_exported_at=timezone.now())
    return text


def move_to_trash(*, repository: Repository, typed_name: str) -> None:
    """First step of deletion: the directory goes to the pool's trash, its jobs must be gone or elsewhere.

    Raises InvalidInput (name not typed, jobs left), RepositoryInUse.
    """
    if typed_name != repository.name:
        raise InvalidInput(field=_("name"), problem=_("type the repository's name to confirm."))
    if repository.jobs.exists():  # type: ignore[attr-defined]
        raise InvalidInput(field=repository.name, problem=_("backup jobs still use this repository."))
    ensure_unused(repository)
    source = Path(repository.path)
    if source.exists() and not (pools.inside(repository.pool, source) and (source / "config").is_file()):
        raise InvalidInput(field=_("path"), problem=_("it is not a repository inside its pool."))
    trash = Path(repository.pool.path) / pools.TRASH
    trash.mkdir(mode=0o700, exist_ok=True)
    target = trash / f"{source.name}-{repository.pk.hex[:8]}-{timezone.now():%Y%m%dT%H%M%SZ}"
    # The row first: after a crash in between, the path in the row tells where to look.
    Repository.objects.filter(pk=repository.pk).update(trashed_at=timezone.now(), trash_path=str(target))
    if source.exists():
        source.rename(target)
    repository.refresh_from_db()


def take_from_trash(*, repository: Repository) -> None:
    """Undo `move_to_trash`. Raises InvalidInput when the old place is taken."""
    target = Path(repository.path)
    if target.exists():
        raise InvalidInput(field=_("path"), problem=_("something else is there now."))
    source = Path(repository.trash_path)
    if source.exists():
        source.rename(target)
    Repository.objects.filter(pk=repository.pk).update(trashed_at=None, trash_path="")
    repository.refresh_from_db()


def purge(*, repository: Repository) -> None:
    """Second step of deletion: remove a trashed repository from the disk, then its rows. Cannot be undone.

    Raises InvalidInput unless the directory lies in its pool's trash.
    """
    if repository.trashed_at is None:
        raise InvalidInput(field=repository.name, problem=_("it is not in the trash."))
    path = Path(repository.trash_path)
    trash = Path(repository.pool.path) / pools.TRASH
    if path.exists():
        if path.parent != trash or path.is_symlink() or is_mount_point(path) or not (path / "config").is_file():
            raise InvalidInput(field=_("path"), problem=_("it is not a repository in its pool's trash."))
        shutil.rmtree(path)
    shutil.rmtree(base_dir_of(repository), ignore_errors=True)
    Archive.objects.filter(repository=repository).delete()
    repository.delete()
