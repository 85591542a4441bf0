"""The repository's key lies in its `config`, and an append-only client may still replace it (`save_key`).

So a copy is kept in the database, encrypted. It is compared before and after every server had its way
to the repository, and by the clock. A key that differs and does not open the repository is put back and
the run says so; one that opens it (an administrator changed the passphrase) becomes the new copy.
"""

from __future__ import annotations

import configparser
import io
import logging
import os
from pathlib import Path

from backups.errors import BorgError, KeyReplaced
from backups.models import Repository
from backups.services.repositories import borg_of
from phpborg.crypto import EncryptedField

log = logging.getLogger(__name__)


def _config(path: Path) -> configparser.ConfigParser | None:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string((path / "config").read_text("utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return None
    return parser if parser.has_section("repository") else None


def _key(parser: configparser.ConfigParser) -> str:
    return parser.get("repository", "key", fallback="")


def remember(*, repository: Repository) -> None:
    """Keep a copy of the key as it is now."""
    parser = _config(Path(repository.path))
    if parser is not None and _key(parser):
        repository.key_copy = EncryptedField.seal(_key(parser))
        Repository.objects.filter(pk=repository.pk).update(key_copy=repository.key_copy)


def check(*, repository: Repository) -> None:
    """Compare the key with its copy; put it back when somebody replaced it. Raises KeyReplaced then."""
    parser = _config(Path(repository.path))
    if parser is None or repository.encryption == "none":
        return  # that the repository is gone or damaged is said elsewhere
    copy = repository.key_copy.reveal() if repository.key_copy else ""
    if _key(parser) == copy:
        return
    if _opens(repository):
        remember(repository=repository)
        return
    if not copy:
        return  # no copy yet: why it does not open is said by whoever opens it
    parser.set("repository", "key", copy)
    _write(Path(repository.path) / "config", parser)
    log.error("repository %s: its key had been replaced and was put back", repository.pk)
    raise KeyReplaced(name=repository.name)


def _opens(repository: Repository) -> bool:
    """Whether the key that is there now opens what is there with the stored passphrase."""
    try:
        borg_of(repository).identity()
    except BorgError:
        return False
    return True


def _write(path: Path, parser: configparser.ConfigParser) -> None:
    """Exchange the file at once, with its mode."""
    text = io.StringIO()
    parser.write(text)
    new = path.with_name(f"config.{os.getpid()}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, path.stat().st_mode & 0o777)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text.getvalue())
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def check_all() -> int:
    """For the clock: every repository that is not in the trash; how many keys were put back."""
    found = 0
    for repository in Repository.objects.live():
        try:
            check(repository=repository)
        except KeyReplaced:
            found += 1
    return found
