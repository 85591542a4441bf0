"""The repository's key lies in its `config`, and an append-only client may still replace it (`save_key`).

So a copy is kept in the database, encrypted. It is compared before and after every server had its way
to the repository, and by the clock. A key that differs and does not open the repository is put back and
the run says so; one that opens it (an administrator changed the passphrase) becomes the new copy.
"""

from __future__ import annotations

import logging
from pathlib import Path

from backups.borg.config import read_key, write_key
from backups.errors import BorgError, KeyReplaced
from backups.models import Repository
from backups.services.repositories import borg_of
from phpborg.crypto import EncryptedField

log = logging.getLogger(__name__)


def remember(*, repository: Repository) -> None:
    """Keep a copy of the key as it is now."""
    key = read_key(Path(repository.path))
    if key:
        repository.key_copy = EncryptedField.seal(key)
        Repository.objects.filter(pk=repository.pk).update(key_copy=repository.key_copy)


def check(*, repository: Repository) -> None:
    """Compare the key with its copy; put it back when somebody replaced it. Raises KeyReplaced then."""
    if repository.encryption == "none":
        return
    try:
        key = read_key(Path(repository.path))
    except BorgError:
        return  # that the repository is gone or damaged is said elsewhere
    copy = repository.key_copy.reveal() if repository.key_copy else ""
    if key == copy:
        return
    if _opens(repository):
        remember(repository=repository)
        return
    if not copy:
        return  # no copy yet: why it does not open is said by whoever opens it
    write_key(Path(repository.path), copy)
    log.error("repository %s: its key had been replaced and was put back", repository.pk)
    raise KeyReplaced(name=repository.name)


def _opens(repository: Repository) -> bool:
    """Whether the key that is there now opens what is there with the stored passphrase."""
    try:
        borg_of(repository).identity()
    except BorgError:
        return False
    return True


def check_all() -> int:
    """For the clock: every repository that is not in the trash; how many keys were put back."""
    found = 0
    for repository in Repository.objects.live():
        try:
            check(repository=repository)
        except KeyReplaced:
            found += 1
    return found
