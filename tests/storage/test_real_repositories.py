"""Repositories with real borg: made, opened by hand, moved, copied, given back their passphrase."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from backups import errors as e
from backups.borg import specs
from backups.models import Repository
from backups.services import pools, repositories, sync
from backups.storage_errors import PoolUnavailable, RepositoryCopied
from phpborg.crypto import EncryptedField
from phpborg.errors import InvalidInput
from tests.storage.support import PASSPHRASE, Hand

pytestmark = pytest.mark.real


def fill(file: Path) -> None:
    """Until not a byte more goes onto the disk."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while os.write(descriptor, bytes(1 << 16)):
            pass
    os.close(descriptor)


def nothing_left(pool) -> bool:
    base = Path(settings.VAR_DIR) / "borg"
    return list(Path(pool.path).iterdir()) == [] and not Repository.objects.exists() and not any(base.glob("*/*"))


@pytest.mark.parametrize("encryption", list(specs.Encryption))
def test_each_mode_opens_by_hand_with_the_very_passphrase(pool, tmp_path, encryption):
    made = repositories.create_repository(pool=pool, name="a b", encryption=encryption, passphrase=PASSPHRASE)
    assert len(made.borg_id) == 64
    hand = Hand(made, tmp_path)
    environment = {"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
    assert hand.borg("list", made.path).returncode == (0 if specs.Encryption(encryption).conceals else 2)
    hand.environment = lambda *more: {**Hand.environment(hand, *more), **environment}
    done = hand.borg("list", made.path)
    assert (done.returncode, done.stdout) == (0, "")
    made.refresh_from_db()
    assert made.passphrase.reveal() == (PASSPHRASE if encryption != "none" else "")


def test_a_generated_passphrase_opens_the_repository_by_hand(pool, tmp_path):
    shown = repositories.generate_passphrase()
    assert len(shown) == 34
    assert repositories.generate_passphrase() != shown
    made = repositories.create_repository(pool=pool, name="generated", passphrase=shown)
    assert Hand(made, tmp_path).borg("list", made.path, passphrase=shown).returncode == 0
    assert Hand(made, tmp_path).borg("list", made.path, passphrase=shown + " ").returncode == 2


@pytest.mark.parametrize("name", ["x", "Zürich / main", "$HOME", "'q' \" \\", "..", ".trash", "-rf", "日本", "a" * 80])
def test_awkward_names_become_a_directory_inside_the_pool(pool, name):
    made = repositories.create_repository(pool=pool, name=name, encryption="none")
    assert Path(made.path).parent == Path(pool.path)
    assert not Path(made.path).name.startswith((".", "-"))
    assert repositories.borg_of(made).list_archives() == ()


def test_two_names_that_look_alike_get_two_directories(pool):
    first = repositories.create_repository(pool=pool, name="a b", encryption="none")
    second = repositories.create_repository(pool=pool, name="a-b", encryption="none")
    assert {Path(first.path).name, Path(second.path).name} == {"a-b", "a-b-2"}


@pytest.mark.parametrize(
    "given",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 81},
        {"encryption": "keyfile"},
        {"encryption": "rot13"},
        {"compression": "zstd,99"},
        {"passphrase": ""},
        {"passphrase": "two\nlines"},
    ],
)
def test_what_cannot_be_used_leaves_nothing(pool, given):
    with pytest.raises(InvalidInput):
        repositories.create_repository(pool=pool, **{"name": "x", "passphrase": "secret", **given})
    assert nothing_left(pool)


def test_a_full_disk_leaves_nothing_half_made(db, small_disk):
    pool = pools.create_pool(name="small", path=str(small_disk / "pool"))
    fill(small_disk / "filler")
    with pytest.raises(e.BorgError):
        repositories.create_repository(pool=pool, name="x", passphrase="secret")
    assert nothing_left(pool)
    (small_disk / "filler").unlink()
    assert repositories.create_repository(pool=pool, name="x", passphrase="secret").borg_id


def test_nothing_is_made_on_an_empty_mount_point(repository):
    shutil.rmtree(repository.path)
    with pytest.raises(PoolUnavailable):
        repositories.create_repository(pool=repository.pool, name="second", encryption="none")
    assert list(Path(repository.pool.path).iterdir()) == []


@pytest.mark.parametrize(("given", "expected"), [("not it", e.PassphraseWrong), ("", e.PassphraseMissing)])
def test_a_wrong_or_missing_passphrase_answers_quickly(repository, given, expected):
    repository.passphrase = EncryptedField.seal(given)
    started = time.monotonic()
    with pytest.raises(expected):
        repositories.borg_of(repository).list_archives()
    assert time.monotonic() - started < 15


def test_the_passphrase_can_be_entered_again_and_only_the_right_one_is_kept(repository):
    Repository.objects.update(passphrase=EncryptedField.seal("lost"))
    repository.refresh_from_db()
    with pytest.raises(e.PassphraseWrong):
        repositories.change_passphrase(repository=repository, passphrase="not it")
    repository.refresh_from_db()
    assert repository.passphrase.reveal() == "lost"
    repositories.change_passphrase(repository=repository, passphrase=PASSPHRASE)
    repository.refresh_from_db()
    assert repository.passphrase.reveal() == PASSPHRASE


def test_a_moved_repository_names_both_places_and_wants_one_confirmation(repository, hand):
    hand.archive("one")
    old, new = repository.path, str(Path(repository.pool.path) / "sub dir" / "moved")
    Path(new).parent.mkdir()
    shutil.move(old, new)
    with pytest.raises(e.RepositoryMissing):
        repositories.borg_of(repository).list_archives()
    with pytest.raises(e.RepositoryRelocated) as error:
        repositories.change_path(repository=repository, path=new, confirmed=False)
    assert error.value.facts == {"old": old, "new": new}
    repository.refresh_from_db()
    assert repository.path == old
    repositories.change_path(repository=repository, path=new, confirmed=True)
    assert (repository.path, repository.confirmed_move_from) == (new, old)
    assert [fact.name for fact in repositories.borg_of(repository).list_archives()] == ["one"]


def test_another_move_behind_our_back_is_not_covered_by_the_first_confirmation(repository, hand):
    hand.archive("one")
    new = str(Path(repository.pool.path) / "moved")
    shutil.move(repository.path, new)
    repositories.change_path(repository=repository, path=new, confirmed=True)
    third = str(Path(repository.pool.path) / "third")
    shutil.move(new, third)
    repository.path = third
    with pytest.raises(e.RepositoryRelocated):
        repositories.borg_of(repository).list_archives()


@pytest.mark.parametrize("place", ["../elsewhere", "../pool2/x", ".trash/x", "link/x"])
def test_a_repository_is_not_moved_out_of_the_pools(repository, root, place):
    outside = root / "elsewhere-dir"
    outside.mkdir()
    (Path(repository.pool.path) / "link").symlink_to(outside)
    with pytest.raises(InvalidInput):
        repositories.change_path(repository=repository, path=str(Path(repository.pool.path) / place), confirmed=True)


def test_another_repository_at_the_new_place_is_refused(repository, pool):
    other = repositories.create_repository(pool=pool, name="other", encryption="none")
    place = Path(pool.path) / "unregistered"
    shutil.move(other.path, place)
    with pytest.raises(e.RepositoryIdentityChanged):
        repositories.change_path(repository=repository, path=str(place), confirmed=True)


def test_a_copy_is_no_move_and_is_never_registered_twice(repository, hand, pool):
    copy = hand.copy(Path(pool.path) / "copy")
    with pytest.raises(RepositoryCopied):
        repositories.change_path(repository=repository, path=str(copy), confirmed=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        Repository.objects.create(
            pool=pool, name="copy", path=str(copy), borg_id=repository.borg_id, encryption=repository.encryption
        )


def test_a_repository_that_was_swapped_gets_no_passphrase(repository, pool):
    other = repositories.create_repository(pool=pool, name="other", encryption="none")
    shutil.rmtree(repository.path)
    shutil.copytree(other.path, repository.path)
    with pytest.raises(e.RepositoryIdentityChanged):
        sync.synchronise(repository=repository)


def test_a_repository_that_lost_its_encryption_is_refused(repository, pool):
    other = repositories.create_repository(pool=pool, name="other", encryption="none")
    config = Path(other.path) / "config"
    config.write_text(config.read_text().replace(other.borg_id, repository.borg_id))
    shutil.rmtree(repository.path)
    shutil.move(other.path, repository.path)
    with pytest.raises((e.EncryptionChanged, e.UnknownUnencrypted)):
        sync.synchronise(repository=repository)


def test_the_exported_key_brings_back_a_repository_whose_key_is_lost(repository, hand, tmp_path):
    hand.archive("one")
    text, paper = (repositories.export_key(repository=repository, form=form) for form in ("text", "paper"))
    assert text.startswith(f"BORG_KEY {repository.borg_id}")
    assert "BORG PAPER KEY" in paper
    config = Path(repository.path) / "config"
    kept = config.read_text()
    config.write_text("".join(line for line in kept.splitlines(True) if not line.startswith(("key", "\t"))))
    with pytest.raises(e.KeyMissing):
        repositories.borg_of(repository).list_archives()
    file = tmp_path / "key.txt"
    file.write_text(text)
    assert hand.borg("key", "import", repository.path, str(file)).returncode == 0
    assert len(repositories.borg_of(repository).list_archives()) == 1


def test_an_unencrypted_repository_has_no_key_to_export(pool):
    made = repositories.create_repository(pool=pool, name="x", encryption="none")
    with pytest.raises(InvalidInput):
        repositories.export_key(repository=made)
