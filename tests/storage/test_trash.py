"""The trash: two steps, only inside the pool, never through a link, never across a mount."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from backups import errors as e
from backups.models import Archive, BackupJob, Repository
from backups.services import repositories, trash
from backups.storage_errors import NotInTrash, OutsidePool, PlaceTaken, PoolUnavailable, StillNeeded
from phpborg import mounts
from phpborg.errors import InvalidInput
from phpborg.tasks.models import Task
from phpborg.tasks.states import State
from servers.models import Server


def thrown(repository: Repository) -> Repository:
    trash.move_to_trash(repository=repository, typed_name=repository.name)
    return repository


def test_into_the_trash_and_out_again_loses_nothing(registered):
    before = Path(registered.path)
    thrown(registered)
    assert registered.trashed_at
    assert not before.exists()
    assert (Path(registered.trash_path) / "config").is_file()
    assert Path(registered.trash_path).parent.stat().st_mode & 0o777 == 0o700
    assert list(Repository.objects.live()) == []
    trash.take_from_trash(repository=registered)
    assert (before / "config").is_file()
    assert (registered.trashed_at, registered.trash_path) == (None, "")


def test_twice_into_the_trash_is_once(registered):
    place = thrown(registered).trash_path
    thrown(registered)
    assert registered.trash_path == place


@pytest.mark.parametrize("typed", ["", "Office", "office ", "offic"])
def test_the_name_must_be_typed(registered, typed):
    with pytest.raises(InvalidInput):
        trash.move_to_trash(repository=registered, typed_name=typed)
    thrown(registered)
    with pytest.raises(InvalidInput):
        trash.request_purge(repository=registered, typed_name=typed)
    assert not Task.objects.exists()


def test_a_repository_that_jobs_use_stays(registered):
    server = Server.objects.create(name="web", address="127.0.0.11")
    BackupJob.objects.create(name="nightly", slug="nightly", server=server, repository=registered)
    with pytest.raises(StillNeeded, match="nightly"):
        thrown(registered)


@pytest.mark.parametrize("state", [State.RUNNING, State.WAITING, State.BLOCKED])
def test_a_repository_that_is_used_or_waited_for_stays(registered, state):
    Task.objects.create(kind="check", queue="system", state=state, repository_ref=registered.pk)
    with pytest.raises(e.RepositoryInUse):
        thrown(registered)
    assert Path(registered.path).is_dir()
    registered.refresh_from_db()
    assert registered.trashed_at is None


def at(registered: Repository, path: Path) -> Repository:
    Repository.objects.update(path=str(path))
    registered.refresh_from_db()
    return registered


@pytest.mark.parametrize("place", ["pool2/office", "pool/../pool2/office", "pool/link/office"])
def test_what_lies_outside_the_pool_is_never_moved(registered, root, place):
    (root / "pool2").mkdir()
    Path(registered.path).rename(root / "pool2" / "office")
    (root / "pool" / "link").symlink_to(root / "pool2")
    (root / "pool" / "kept").mkdir()
    with pytest.raises((OutsidePool, PoolUnavailable)):
        thrown(at(registered, root / place))
    assert (root / "pool2" / "office" / "config").is_file()


def test_a_link_in_place_of_the_repository_is_not_followed(registered, root):
    Path(registered.path).rename(root / "elsewhere")
    Path(registered.path).symlink_to(root / "elsewhere")
    with pytest.raises(OutsidePool):
        thrown(registered)
    assert (root / "elsewhere" / "config").is_file()


def test_a_trash_that_is_a_link_is_refused(registered, root):
    (root / "elsewhere").mkdir()
    (root / "pool" / ".trash").symlink_to(root / "elsewhere")
    with pytest.raises(OutsidePool):
        thrown(registered)
    assert list((root / "elsewhere").iterdir()) == []


def test_what_is_no_repository_or_another_one_is_not_moved(registered):
    config = Path(registered.path) / "config"
    config.write_text(config.read_text().replace("ab", "cd"))
    with pytest.raises(e.RepositoryIdentityChanged):
        thrown(registered)
    config.unlink()
    with pytest.raises(e.RepositoryNotBorg):
        thrown(registered)


def test_nothing_is_thrown_away_while_the_disk_is_not_mounted(registered, root):
    (root / "pool").rename(root / "unmounted")
    with pytest.raises(PoolUnavailable):
        thrown(registered)
    (root / "pool").mkdir()
    with pytest.raises(PoolUnavailable):
        thrown(registered)


def test_a_place_that_is_taken_is_not_overwritten(registered):
    thrown(registered)
    Path(registered.path).mkdir()
    with pytest.raises(PlaceTaken):
        trash.take_from_trash(repository=registered)
    assert (Path(registered.trash_path) / "config").is_file()


def test_a_crash_between_mark_and_move_can_be_taken_back_or_finished(registered):
    place = f"{registered.pool.path}/.trash/office-{registered.pk.hex[:8]}-x"
    Repository.objects.update(trashed_at=timezone.now(), trash_path=place)
    registered.refresh_from_db()
    trash.take_from_trash(repository=registered)
    assert (Path(registered.path) / "config").is_file()
    assert registered.trashed_at is None


# --- the second step -----------------------------------------------------------------------------------


def test_the_purge_removes_directory_memory_rows_and_nothing_else(registered, run_pending):
    Archive.objects.create(repository=registered, name="a", borg_id="1" * 64, started_at=timezone.now())
    memory = repositories.base_dir_of(registered)
    (memory / "x").write_text("x")
    (Path(registered.pool.path) / "neighbour").mkdir()
    thrown(registered)
    place = Path(registered.trash_path)
    (place / "link").symlink_to(Path(registered.pool.path) / "neighbour")
    (Path(registered.pool.path) / "neighbour" / "kept").write_text("kept")
    trash.request_purge(repository=registered, typed_name="office")
    (task,) = run_pending(trash.PURGE)
    assert (task.state, task.result) == (State.SUCCESS, {"archives": 1})
    assert not place.exists()
    assert not memory.exists()
    assert (Path(registered.pool.path) / "neighbour" / "kept").read_text() == "kept"
    assert not Repository.objects.exists()
    assert not Archive.objects.exists()


def test_only_what_is_in_the_trash_is_purged(registered):
    with pytest.raises(NotInTrash):
        trash.request_purge(repository=registered, typed_name="office")
    with pytest.raises(NotInTrash):
        trash.purge(repository=registered)
    assert Path(registered.path).is_dir()


def test_what_came_out_of_the_trash_meanwhile_is_not_purged(registered, run_pending):
    thrown(registered)
    task = trash.request_purge(repository=registered, typed_name="office")
    with pytest.raises(e.RepositoryInUse):
        trash.take_from_trash(repository=registered)
    Task.objects.filter(pk=task.pk).update(state=State.WAITING)
    Repository.objects.update(trashed_at=None)
    (task,) = run_pending(trash.PURGE)
    assert (task.state, task.error_code) == (State.FAILED, "STO-04")
    assert Path(registered.trash_path).is_dir()


@pytest.mark.parametrize(
    "place", ["{pool}", "{pool}/.trash", "{pool}/office", "/etc", "{pool}/.trash/../kept-{id}-x", ""]
)
def test_a_path_that_is_not_ours_in_the_trash_is_never_removed(registered, place):
    thrown(registered)
    (Path(registered.pool.path) / f"kept-{registered.pk.hex[:8]}-x").mkdir()
    path = place.format(pool=registered.pool.path, id=registered.pk.hex[:8])
    Repository.objects.update(trash_path=path)
    registered.refresh_from_db()
    with pytest.raises(OutsidePool):
        trash.purge(repository=registered)
    assert Path(registered.pool.path, f"kept-{registered.pk.hex[:8]}-x").is_dir()
    assert Repository.objects.exists()


def test_a_link_in_the_trash_is_not_followed(registered, root):
    place = Path(thrown(registered).trash_path)
    place.rename(root / "elsewhere")
    place.symlink_to(root / "elsewhere")
    with pytest.raises(OutsidePool):
        trash.purge(repository=registered)
    assert (root / "elsewhere" / "config").is_file()


@pytest.mark.parametrize("below", ["", "data"])
def test_the_removal_never_crosses_a_mount_point(registered, monkeypatch, below):
    place = Path(thrown(registered).trash_path)
    monkeypatch.setattr(mounts, "mounted", lambda: (mounts.Mounted(place / below, "ext4", "/dev/x"),))
    with pytest.raises(OutsidePool):
        trash.purge(repository=registered)
    assert (place / "config").is_file()


@pytest.mark.real
def test_the_removal_never_crosses_a_real_mount(registered, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("kept")
    place = Path(thrown(registered).trash_path)
    (place / "data").mkdir()
    subprocess.run(["mount", "--bind", str(tmp_path / "precious"), str(place / "data")], check=True)
    try:
        with pytest.raises(OutsidePool):
            trash.purge(repository=registered)
        assert os.listdir(tmp_path / "precious") == ["file"]
    finally:
        subprocess.run(["umount", str(place / "data")], check=True)
    trash.purge(repository=registered)
    assert (tmp_path / "precious" / "file").read_text() == "kept"
    assert (settings.VAR_DIR / "borg").is_dir()


def test_a_purge_that_was_killed_half_way_goes_on(registered):
    place = Path(thrown(registered).trash_path)
    (place / "config").unlink()
    trash.purge(repository=registered)
    assert not place.exists()
