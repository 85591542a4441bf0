"""Restores from real repositories on this machine: what was picked arrives, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from backups.models import Archive
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import State
from recovery import paths
from recovery.models import Restore
from recovery.services import restores
from tests.support.archives import Storage, storage

__all__ = ["storage"]
pytestmark = [pytest.mark.real, pytest.mark.django_db]
Run = Callable[..., list[Task]]


def restore(
    run_pending: Run,
    storage: Storage,
    archive: Archive,
    picked: list[bytes],
    to: Path,
    *,
    conflict: str = "keep",
    destination: str = "other_path",
) -> Task:
    """Start a restore through the service, run it here, answer its task."""
    _row, task = restores.create_and_start(
        archive=archive,
        server=storage.server,
        selection=[paths.token(path) for path in picked],
        destination=destination,
        target_path=str(to),
        conflict=conflict,
    )
    run_pending()
    task.refresh_from_db()
    return task


def nothing_left(storage: Storage) -> bool:
    """No lease, no view, no staging folder."""
    views = Path(storage.pool.path) / ".views"
    return not Lease.objects.held().exists() and not any(views.iterdir()) and not list(storage.root.rglob(".phpborg-*"))


def test_a_file_comes_back_byte_identical_where_the_plan_said(
    storage: Storage, run_pending: Run, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    (source / "data").mkdir(parents=True)
    content = os.urandom(300_000)
    (source / "data/cache.db").write_bytes(content)
    os.chown(source / "data/cache.db", 4242, 4343)
    (source / "data/other.db").write_bytes(b"other")
    archive = storage.archive(source)
    picked = os.fsencode(source / "data").lstrip(b"/")
    task = restore(run_pending, storage, archive, [picked], tmp_path / "recovery")
    assert task.state == State.SUCCESS, (task.error_code, task.error_detail, task.log_tail)
    arrived = tmp_path / "recovery/data/cache.db"
    assert arrived.read_bytes() == content
    assert (arrived.stat().st_uid, arrived.stat().st_gid) == (4242, 4343)
    row = Restore.objects.get()
    assert row.plan["items"][0]["final"] == paths.token(os.fsencode(tmp_path / "recovery/data"))
    assert row.state == Restore.State.DONE
    assert nothing_left(storage)


@pytest.mark.parametrize(
    "picked", [b"-rf", b"sh:z", b"re:x", b"z", b"*.txt", b"caf\xe9", b"new\nline.txt", b"q'u\"o\\te"]
)
def test_exactly_the_picked_name_arrives(storage: Storage, run_pending: Run, tmp_path: Path, picked: bytes) -> None:
    source = os.fsencode(tmp_path / "source")
    os.mkdir(source)
    for name in (b"-rf", b"sh:z", b"re:x", b"z", b"*.txt", b"a.txt", b"caf\xe9", b"new\nline.txt", b"q'u\"o\\te"):
        with open(source + b"/" + name, "wb") as file:
            file.write(name)
    archive = storage.archive(tmp_path, cwd=tmp_path / "source", paths=(b".",))
    task = restore(run_pending, storage, archive, [picked], tmp_path / "out")
    assert task.state == State.SUCCESS, (task.error_code, task.error_detail, task.log_tail)
    assert os.listdir(os.fsencode(tmp_path / "out")) == [picked]
    assert nothing_left(storage)


def test_a_path_that_is_not_there_fails_and_leaves_nothing(storage: Storage, run_pending: Run, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("a")
    archive = storage.archive(source)
    task = restore(run_pending, storage, archive, [b"no/such/path"], tmp_path / "out")
    assert (task.state, task.error_code) == (State.FAILED, "BKP-06")
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())
    assert nothing_left(storage)


@pytest.mark.parametrize(
    ("conflict", "content", "others", "state"),
    [
        ("keep", b"theirs", [], State.NOTES),
        ("replace", b"ours", [], State.SUCCESS),
        ("newer", b"ours", [], State.SUCCESS),
        ("rename", b"theirs", ["file.restored"], State.NOTES),
    ],
)
def test_the_conflict_rule_is_carried_out_in_place(
    storage: Storage, run_pending: Run, tmp_path: Path, conflict: str, content: bytes, others: list[str], state: State
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"ours")
    archive = storage.archive(source)
    (source / "file").write_bytes(b"theirs")
    os.utime(source / "file", (1, 1))  # what is there is older
    picked = os.fsencode(source / "file").lstrip(b"/")
    task = restore(run_pending, storage, archive, [picked], tmp_path, conflict=conflict, destination="in_place")
    assert task.state == state, (task.error_code, task.error_detail, task.log_tail)
    assert (source / "file").read_bytes() == content
    assert sorted(os.listdir(source)) == ["file", *others]
    assert nothing_left(storage)


@pytest.mark.parametrize("conflict", ["keep", "replace"])
@pytest.mark.parametrize("picked", ["", "above"])
def test_folders_that_are_not_in_the_archive_stay_as_they_are(
    storage: Storage, run_pending: Run, tmp_path: Path, conflict: str, picked: str
) -> None:
    """Above what was backed up borg makes folders up, for root alone: neither the system's nor new ones become so."""
    data, above = tmp_path / "home/alice/data", tmp_path / "home"
    (data / b"caf\xe9\n".decode("utf-8", "surrogateescape")).mkdir(parents=True)
    (data / "file").write_text("then")
    data.chmod(0o750)
    archive = storage.archive(data)
    (data / "file").write_text("since")
    # The test's own folder belongs to what is above: it would be hurt as well.
    alice = data.parent
    alice.chmod(0o751)
    os.chown(alice, 4242, 4243)
    selection = [os.fsencode(above).lstrip(b"/")] if picked else [b""]
    place = tmp_path / "other" if picked else Path("/")
    before = [(path, path.stat().st_mode, path.stat().st_uid) for path in data.parents]
    task = restore(run_pending, storage, archive, selection, place, conflict=conflict, destination="in_place")
    assert task.state == (State.SUCCESS if conflict == "replace" else State.NOTES), (task.error_code, task.log_tail)
    assert [(path, path.stat().st_mode, path.stat().st_uid) for path in data.parents] == before
    assert (data / "file").read_text() == ("then" if conflict == "replace" else "since")
    task = restore(run_pending, storage, archive, selection, tmp_path / "new", conflict=conflict)
    assert task.state == State.SUCCESS, (task.error_code, task.log_tail)
    (new,) = (tmp_path / "new").rglob("alice")
    assert [oct(path.stat().st_mode)[-4:] for path in (new / "data", new, new.parent)] == ["0750", "0755", "0755"]
    assert len(list((new / "data").iterdir())) == 2
    assert nothing_left(storage)


def test_an_archive_of_the_place_itself_comes_back_whole(storage: Storage, run_pending: Run, tmp_path: Path) -> None:
    """As `borg create … .` makes one: the entry “.” is the place, and nothing of it is missing afterwards."""
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    (source / "below/file").write_text("x")
    archive = storage.archive(source, cwd=source, paths=(b".",))
    task = restore(run_pending, storage, archive, [b""], tmp_path / "new")
    assert task.state == State.SUCCESS, (task.error_code, task.log_tail)
    assert [path.name for path in (tmp_path / "new").rglob("*")] == ["below", "file"]
    assert nothing_left(storage)
