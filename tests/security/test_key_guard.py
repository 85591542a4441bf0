"""A server with its append-only way to a repository can still replace the repository's key: it does not last."""

from __future__ import annotations

import configparser
from collections.abc import Callable
from pathlib import Path

import pytest

from backups.errors import KeyReplaced
from backups.models import Repository
from backups.services import key_guard, repositories
from tests.support.archives import Storage, storage

__all__ = ["storage"]
pytestmark = [pytest.mark.real, pytest.mark.django_db]


def config_of(repository: Repository) -> configparser.ConfigParser:
    """The repository's own settings."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(Path(repository.path) / "config")
    return parser


def replace_key(repository: Repository, key: str) -> None:
    """As the remote call `save_key` does."""
    parser = config_of(repository)
    parser.set("repository", "key", key)
    with open(Path(repository.path) / "config", "w", newline="") as file:
        parser.write(file)


@pytest.mark.parametrize(
    "damage",
    [
        lambda key: "gone",
        lambda key: "",
        lambda key: key[:-8] + "AAAAAAAA",
        lambda key: "x\rgarbage",
        lambda key: "x\n\r[repository]\rid = 0",
    ],
)
def test_a_replaced_key_is_put_back_and_told(storage: Storage, damage: Callable[[str], str]) -> None:
    key_guard.check(repository=storage.repository)
    before = config_of(storage.repository)
    replace_key(storage.repository, damage(before.get("repository", "key")))
    with pytest.raises(KeyReplaced):
        key_guard.check(repository=storage.repository)
    assert config_of(storage.repository) == before
    assert repositories.borg_of(storage.repository).list_archives() == ()
    key_guard.check(repository=storage.repository)


def test_the_key_of_another_repository_is_no_key_of_this_one(storage: Storage) -> None:
    """Even when an attacker knows the passphrase: the key has to open what is there."""
    other = repositories.create_repository(
        pool=storage.pool, name="other", passphrase=storage.repository.passphrase.reveal()
    )
    key_guard.check(repository=storage.repository)
    replace_key(storage.repository, config_of(other).get("repository", "key"))
    with pytest.raises(KeyReplaced):
        key_guard.check(repository=storage.repository)
    repositories.borg_of(storage.repository).identity()


def test_a_key_that_opens_the_repository_becomes_the_new_copy(storage: Storage) -> None:
    """As after `borg key change-passphrase`, once the new passphrase is stored."""
    key_guard.check(repository=storage.repository)
    copy = storage.repository.key_copy.reveal()
    replace_key(storage.repository, copy.replace("\n", "\n\n", 1))
    key_guard.check(repository=storage.repository)
    assert storage.repository.key_copy.reveal() != ""
    assert Repository.objects.get(pk=storage.repository.pk).key_copy.reveal() == storage.repository.key_copy.reveal()


def test_the_copy_is_encrypted_and_the_clock_looks_after_all(storage: Storage) -> None:
    key_guard.check(repository=storage.repository)
    key = config_of(storage.repository).get("repository", "key")
    stored = Repository.objects.filter(pk=storage.repository.pk).values_list("key_copy", flat=True)[0]
    assert key[:20] not in str.__str__(stored)
    replace_key(storage.repository, "gone")
    assert key_guard.check_all() == 1
    assert key_guard.check_all() == 0
