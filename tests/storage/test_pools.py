"""Where a pool may lie, what is inside of it, what its analysis says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import translation

from backups.models import Repository, StoragePool
from backups.services import pools
from backups.storage_errors import PoolUnavailable
from phpborg.errors import InvalidInput
from phpborg.tasks.models import Task
from phpborg.tasks.states import State


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """The words that these tests look for, whatever ran before."""
    with translation.override("en"):
        yield


def test_the_first_pool_is_the_default_one_and_a_later_one_can_take_over(pool, root):
    assert pool.is_default
    second = pools.create_pool(name="second", path=str(root / "b"), is_default=True)
    pool.refresh_from_db()
    assert (pool.is_default, second.is_default) == (False, True)
    pools.remove_pool(pool=second)
    pool.refresh_from_db()
    assert pool.is_default


def test_a_new_pool_is_measured_and_private(pool):
    assert pool.capacity_bytes > pool.used_bytes > 0
    assert pool.filesystem
    assert Path(pool.path).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "path",
    [
        *("relative/path", "", "/", "/etc", "//etc", "/etc/backups", "/proc/1", "/usr"),
        *("/srv/../etc/x", "/srv/a\nb", '/srv/a"b', "/srv/a::b", "/srv/\ud800"),
    ],
)
def test_a_path_that_cannot_be_a_pool_is_refused(db, path):
    with pytest.raises(InvalidInput):
        pools.create_pool(name="x", path=path)
    assert not StoragePool.objects.exists()


def test_pools_never_overlap_but_a_common_beginning_of_the_name_is_no_overlap(pool, root):
    for path in (root / "pool" / "below", root):
        with pytest.raises(InvalidInput, match="overlaps"):
            pools.create_pool(name="x", path=str(path))
    assert pools.create_pool(name="x", path=str(root / "pool2")).path == str(root / "pool2")


def test_a_path_through_a_symbolic_link_is_refused(db, root):
    (root / "real").mkdir()
    (root / "link").symlink_to(root / "real")
    for path in (root / "link", root / "link" / "pool"):
        with pytest.raises(InvalidInput, match="symbolic link"):
            pools.create_pool(name="x", path=str(path))
    assert list((root / "real").iterdir()) == []


def test_nothing_is_left_of_a_pool_that_was_refused(pool, root):
    with pytest.raises(InvalidInput, match="name"):
        pools.create_pool(name="Main pool", path=str(root / "other"))
    assert not (root / "other").exists()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("pool/repository", True),
        ("pool/a/deeper", True),
        ("pool", False),
        ("pool2/repository", False),
        ("pool/../pool2/x", False),
        ("pool/.trash/x", False),
        ("pool/.views/x", False),
        ("pool/out/x", False),
        ("pool/out", False),
    ],
)
def test_inside_compares_whole_components_after_links(pool, root, path, expected):
    (root / "pool" / "out").symlink_to(root)
    assert pools.inside(pool, root / path) is expected


def test_a_pool_is_found_by_its_longest_path(pool, root):
    other = pools.create_pool(name="x", path=str(root / "pool2"))
    assert pools.pool_of(root / "pool2" / "r") == other
    assert pools.pool_of(root / "pool" / "r") == pool
    assert pools.pool_of(root / "po") is None


def test_a_disk_that_is_not_mounted_is_told_and_keeps_no_old_figure(registered):
    pool = registered.pool
    pools.analyse(pool=pool)
    assert pool.problem == ""
    (Path(registered.path) / "config").unlink()
    Path(registered.path).rmdir()
    # The mount point is there and empty: figures of another disk would be shown.
    pools.analyse(pool=pool)
    assert (pool.problem, pool.capacity_bytes, pool.available_bytes) == (pools.EMPTY, None, None)
    with pytest.raises(PoolUnavailable):
        pools.ensure_there(pool)
    Path(pool.path).rmdir()
    pools.analyse(pool=pool)
    assert pool.problem == pools.NOT_THERE


def test_a_pool_with_repositories_even_in_its_trash_stays(registered):
    Repository.objects.update(trashed_at="2030-01-01T00:00Z")
    with pytest.raises(InvalidInput, match="trash"):
        pools.remove_pool(pool=registered.pool)


def test_a_removed_pool_leaves_its_directory(pool):
    pools.remove_pool(pool=pool)
    assert Path(pool.path).is_dir()


def test_the_threshold_counts_what_can_still_be_written(pool):
    pool.capacity_bytes, pool.available_bytes, pool.threshold_percent = 1000, 150, 85
    assert pool.is_over_threshold
    pool.available_bytes = 160
    assert not pool.is_over_threshold


def test_the_analysis_runs_as_a_task_and_is_queued_once(pool, run_pending):
    StoragePool.objects.update(capacity_bytes=None, analysed_at=None)
    pools.request_analysis(pool=pool)
    with pytest.raises(Exception, match="already"):
        pools.request_analysis(pool=pool)
    (task,) = run_pending("pool_analysis")
    assert (task.state, task.is_system) == (State.SUCCESS, True)
    pool.refresh_from_db()
    assert pool.capacity_bytes
    assert Task.objects.count() == 1
