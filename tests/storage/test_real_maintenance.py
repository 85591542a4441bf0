"""Sync, check, compact, measure, locks, older copies: with real borg, run as tasks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest
from django.conf import settings

from backups import errors as e
from backups.borg import locks
from backups.models import Archive, BackupJob, Repository
from backups.services import maintenance, repositories, sync
from backups.storage_errors import NotRolledBack
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.queue import enqueue
from phpborg.tasks.states import State
from servers.models import Server
from tests.storage.support import Hand

pytestmark = pytest.mark.real


def run_one(run_pending, task: Task) -> Task:
    run_pending(task.kind)
    task.refresh_from_db()
    return task


@pytest.fixture
def job(repository: Repository) -> BackupJob:
    server = Server.objects.create(name="web", address="127.0.0.11")
    return BackupJob.objects.create(
        name="web /etc", slug="web-etc", server=server, repository=repository, source={"paths": ["/etc"]}
    )


def test_archives_that_only_borg_knows_are_recorded_and_led_back_to_their_job(repository, hand, job, run_pending):
    task_id = "0123abcd"
    backup = Task.objects.create(
        id=f"{task_id}-0000-4000-8000-000000000001", kind="backup", queue="backup", state=State.LOST
    )
    hand.archive(f"web-etc-{job.pk.hex[:8]}-20260102T030405Z-{task_id}")
    hand.archive("made by hand")
    task = run_one(run_pending, sync.request_sync(repository=repository))
    assert (task.state, sorted(task.result["recorded"])[0]) == (State.SUCCESS, "made by hand")
    ours = Archive.objects.get(job=job)
    assert (ours.task_ref, ours.server, ours.server_name) == (uuid.UUID(backup.pk), job.server, "web")
    assert ours.backup_config == {"source_kind": "files", "source": {"paths": ["/etc"]}, "recovered": True}
    assert (ours.original_bytes, ours.grade) == (None, "")
    repository.refresh_from_db()
    assert repository.original_bytes is None  # what was known is not true any more
    foreign = Archive.objects.get(name="made by hand")
    assert (foreign.job, foreign.task_ref) == (None, None)
    assert sync.synchronise(repository=repository).recorded == ()


def test_archives_removed_elsewhere_are_marked_and_never_dropped(repository, hand, run_pending):
    for name in ("one", "two"):
        hand.archive(name)
    sync.synchronise(repository=repository)
    hand.delete("one")
    task = run_one(run_pending, sync.request_sync(repository=repository))
    assert (task.state, task.result["missing"]) == (State.NOTES, ["one"])
    gone = Archive.objects.get(name="one")
    assert gone.missing_at
    assert list(Archive.objects.present().values_list("name", flat=True)) == ["two"]


def test_a_name_that_is_used_again_is_another_archive(repository, hand):
    hand.archive("one")
    sync.synchronise(repository=repository)
    hand.delete("one")
    hand.archive("one")
    report = sync.synchronise(repository=repository)
    assert (report.recorded, report.missing) == (("one",), ("one",))
    assert Archive.objects.count() == 2


def test_checkpoints_are_no_restore_points(repository, hand):
    hand.archive("j-5.checkpoint")
    assert sync.synchronise(repository=repository).recorded == ()


def test_a_failing_comparison_touches_no_row(repository, hand):
    hand.archive("one")
    sync.synchronise(repository=repository)
    shutil.move(repository.path, f"{repository.path}-away")
    with pytest.raises(e.RepositoryMissing):
        sync.synchronise(repository=repository)
    assert Archive.objects.get().missing_at is None


def test_compaction_really_frees_the_disk_and_says_how_much(repository, hand, run_pending):
    hand.archive("big", size=60_000_000)
    hand.archive("small")
    hand.delete("big")
    Repository.objects.update(unfreed=True)
    before = maintenance.measure_disk(repository=repository)
    assert before.bytes_used > 60_000_000
    assert before.freeable_bytes > 59_000_000
    task = run_one(run_pending, maintenance.request_compact(repository=repository))
    assert task.state == State.SUCCESS, task.error_detail
    repository.refresh_from_db()
    assert repository.size_bytes < 2_000_000
    assert (repository.unfreed, repository.compacted_at is not None) == (False, True)
    assert task.result["freed_bytes"] > 59_000_000
    assert [fact.name for fact in repositories.borg_of(repository).list_archives()] == ["small"]


def test_a_compaction_under_an_open_archive_says_who_holds_the_space(repository, hand, run_pending):
    hand.archive("big", size=3_000_000)
    hand.delete("big")
    reader = Task.objects.create(kind="browse_open", queue="quick", state=State.SUCCESS)
    Lease.objects.create(task=reader, kind="repository_view", data={"repository": str(repository.pk), "archive": "big"})
    task = run_one(run_pending, maintenance.request_compact(repository=repository))
    assert (task.state, task.findings[0]["kind"]) == (State.NOTES, "space_held")
    assert task.findings[0]["path"] == "big"


@pytest.mark.parametrize("mode", maintenance.CHECK_MODES)
def test_a_good_check_is_recorded(repository, hand, run_pending, mode):
    hand.archive("one")
    task = run_one(run_pending, maintenance.request_check(repository=repository, mode=mode))
    assert (task.state, task.progress.get("percent")) == (State.SUCCESS, 100)
    repository.refresh_from_db()
    assert repository.check_good is True
    assert repository.checked_at


def damage(repository: Repository) -> None:
    """Turn over bytes in the middle of the largest segment."""
    segment = max(Path(repository.path, "data").rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
    with segment.open("r+b") as file:
        file.seek(segment.stat().st_size // 2)
        file.write(os.urandom(64))


def test_damage_fails_the_check_with_borgs_words(repository, hand, run_pending):
    hand.archive("one", size=2_000_000)
    damage(repository)
    task = run_one(run_pending, maintenance.request_check(repository=repository))
    assert (task.state, task.error_code) == (State.FAILED, "BRG-23")
    assert task.findings_count >= 1
    assert task.findings[0]["kind"] == "damage"
    repository.refresh_from_db()
    assert repository.check_good is False
    assert not locks.read(Path(repository.path)).holders


def test_a_measurement_knows_the_disk_and_borgs_account(repository, hand, run_pending):
    hand.archive("one", size=2_000_000)
    Repository.objects.update(size_bytes=None, original_bytes=None)
    task = run_one(run_pending, maintenance.request_measure(repository=repository))
    assert task.state == State.SUCCESS, task.error_detail
    repository.refresh_from_db()
    assert 2_000_000 <= repository.original_bytes < 2_100_000
    assert repository.size_bytes >= 2_000_000


def test_what_cannot_be_measured_is_unknown_and_not_old(repository, run_pending):
    shutil.move(repository.path, f"{repository.path}-away")
    Repository.objects.update(measured_at=None)
    maintenance.measure_due()
    (task,) = run_pending("measure_disk")
    assert (task.state, task.error_code) == (State.FAILED, "BRG-04")
    repository.refresh_from_db()
    assert repository.size_bytes is None
    assert maintenance.measure_due() == 0


def sleeper(repository: Repository, hand: Hand) -> subprocess.Popen:
    """A borg of this host that holds the lock until it is ended."""
    process = subprocess.Popen(
        [settings.BORG_BINARY, "with-lock", repository.path, "sleep", "120"],
        env={**hand.environment(), "BORG_HOST_ID": locks.host_id()},
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 20
    while not locks.read(Path(repository.path)).alive:
        assert time.monotonic() < until
        time.sleep(0.05)
    return process


def end(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_living_holder_keeps_its_lock_and_a_dead_one_loses_it(repository, hand):
    process = sleeper(repository, hand)
    try:
        with pytest.raises(e.LockBusy):
            repositories.break_lock(repository=repository)
        assert repositories.release_dead_locks(repository) == ()
    finally:
        end(process)
    assert repositories.lock_state(repository).dead
    (gone,) = repositories.release_dead_locks(repository)
    assert gone.pid == process.pid
    assert not repositories.lock_state(repository).holders


def test_the_lock_of_another_host_is_broken_by_hand_only(repository, hand):
    lock = Path(repository.path) / "lock.exclusive"
    lock.mkdir()
    (lock / "elsewhere@1.77-0").touch()
    assert repositories.release_dead_locks(repository) == ()
    state = repositories.break_lock(repository=repository)
    assert [holder.host for holder in state.foreign] == ["elsewhere@1"]
    assert not repositories.lock_state(repository).holders


@pytest.mark.parametrize("kind", ["backup", "compact", "restore"])
def test_the_lock_is_not_broken_while_something_of_ours_runs(repository, kind):
    Task.objects.create(kind=kind, queue="backup", state=State.RUNNING, repository_ref=repository.pk, subject="nightly")
    with pytest.raises(e.RepositoryInUse, match="nightly"):
        repositories.break_lock(repository=repository)


def test_the_lock_is_not_broken_under_an_open_archive(repository):
    reader = Task.objects.create(kind="browse_open", queue="quick", state=State.SUCCESS)
    Lease.objects.create(task=reader, kind="repository_view", data={"repository": str(repository.pk), "archive": "x"})
    with pytest.raises(e.RepositoryInUse):
        repositories.break_lock(repository=repository)


def test_a_writer_that_ends_badly_leaves_no_dead_lock(repository, hand, run_pending):
    end(sleeper(repository, hand))
    task = enqueue("check", params={"mode": "no such"}, repository=repository, exclusive=repository.exclusive)
    run_pending("check")
    task.refresh_from_db()
    assert (task.state, task.error_code) == (State.FAILED, "TSK-04")
    assert not repositories.lock_state(repository).holders


def test_a_cancelled_check_is_cancelled_and_frees_the_lock(repository, hand, run_pending, monkeypatch):
    hand.archive("one", size=5_000_000)
    task = maintenance.request_check(repository=repository, mode="data")
    real = maintenance.check

    def stopped(*, stop, **more):
        stop.set("cancel")
        return real(stop=stop, **more)

    monkeypatch.setattr(maintenance, "check", stopped)
    task = run_one(run_pending, task)
    assert (task.state, task.error_code) == (State.CANCELLED, "")
    assert not repositories.lock_state(repository).holders


# --- put back from an older copy ---------------------------------------------------------------------


@pytest.fixture
def rolled_back(repository, hand, tmp_path) -> Repository:
    hand.archive("old")
    time.sleep(1.1)
    copy = hand.copy(tmp_path / "copy")
    hand.archive("new")
    sync.synchronise(repository=repository)
    # A server has met the newer state too.
    assert hand.borg("info", repository.path).returncode == 0
    shutil.rmtree(repository.path)
    shutil.move(copy, repository.path)
    return repository


def test_an_older_copy_stops_everything_and_drops_nothing(rolled_back, run_pending):
    task = run_one(run_pending, sync.request_sync(repository=rolled_back))
    assert (task.state, task.error_code) == (State.FAILED, "BRG-12")
    assert sorted(Archive.objects.present().values_list("name", flat=True)) == ["new", "old"]
    memory = repositories.base_dir_of(rolled_back) / ".config/borg/security" / rolled_back.borg_id
    assert (memory / "manifest-timestamp").is_file()


def test_an_administrator_may_accept_it_and_what_is_gone_is_marked(rolled_back, hand, run_pending):
    nonce = Path(rolled_back.path) / "nonce"
    before = int(nonce.read_text(), 16)
    task = run_one(run_pending, maintenance.request_accept_older(repository=rolled_back))
    assert task.state == State.NOTES, task.error_detail
    assert task.result["missing"] == ["new"]
    assert Archive.objects.get(name="new").missing_at
    assert Archive.objects.get(name="old").missing_at is None
    # No counter is used twice, and the server that met the newer state goes on.
    assert int(nonce.read_text(), 16) >= before + (1 << 40)
    assert hand.borg("list", rolled_back.path).returncode == 0
    hand.archive("after", ours=False)
    hand.archive("and ours")
    assert maintenance.check(repository=rolled_back, mode="data").ok


def test_what_is_not_older_is_not_accepted(repository):
    with pytest.raises(NotRolledBack):
        maintenance.accept_older(repository=repository)
