"""Backups in real worker processes: cancelled, stopped with the service, killed; and the clock as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backups.models import Archive, Repository, Schedule
from backups.services import repositories, runs
from phpborg.tasks import leases, queue, reaper
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import State
from phpborg.ui.models import Installation
from servers.models import Server
from tests.backups.conftest import MakeJob
from tests.support.redis import RedisServer
from tests.support.sshd import processes_with
from tests.support.workers import HOME, WorkerProcess, environment, wait_until

pytestmark = pytest.mark.real
StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    source = tmp_path / "slow"
    source.mkdir()
    for number in range(40):
        (source / f"{number:02}").write_bytes(os.urandom(1_000_000))
    return source


def state_of(task: Task) -> str:
    task.refresh_from_db()
    return task.state


def reads(task: Task) -> bool:
    from phpborg.tasks import progress

    return (progress.load(task.pk).get("original_bytes") or 0) > 500_000


def nothing_left(repository: Repository, task: Task) -> None:
    wait_until(lambda: not Lease.objects.held().exists(), 20, "a lease is held")
    assert not processes_with(f"-{task.short_id}")
    assert not repositories.borg_of(repository).lock_state().alive


def test_cancel_reaches_a_worker_within_half_a_minute(
    worker: StartWorker, real_repository: Repository, make_job: MakeJob, slow: Path
) -> None:
    worker("backup")
    job = make_job(real_repository, slow, compression="lzma,6")
    task = runs.start_backup(job=job)
    wait_until(lambda: reads(task), 60, "it does not read")
    queue.cancel(task)
    began = time.monotonic()
    wait_until(lambda: state_of(task) == State.CANCELLED, 40, "it is not cancelled")
    assert time.monotonic() - began < 40
    nothing_left(real_repository, task)
    assert not Archive.objects.exists()


def test_a_stopped_service_leaves_no_running_row_and_the_next_run_succeeds(
    worker: StartWorker, real_repository: Repository, make_job: MakeJob, slow: Path, tmp_path: Path
) -> None:
    first = worker("backup")
    job = make_job(real_repository, slow, compression="lzma,6")
    task = runs.start_backup(job=job)
    wait_until(lambda: reads(task), 60, "it does not read")
    first.terminate(90)
    task.refresh_from_db()
    assert task.state in (State.FAILED, State.SUCCESS)
    assert task.error_code in ("TSK-03", "")
    nothing_left(real_repository, task)
    for file in slow.iterdir():
        file.write_bytes(b"small")
    worker("backup")
    again = runs.start_backup(job=job)
    wait_until(lambda: state_of(again) == State.SUCCESS, 60, f"{again.state} {again.error_code}")


def test_a_killed_work_horse_still_gets_its_hook_after_and_frees_everything(
    worker: StartWorker,
    real_repository: Repository,
    make_job: MakeJob,
    slow: Path,
    tmp_path: Path,
    hook: Callable[[str], str],
) -> None:
    first = worker("backup", "system")
    told = tmp_path / "told"
    job = make_job(
        real_repository, slow, compression="lzma,6", hook_after=hook(f'echo "after $PHPBORG_OUTCOME" >> {told}')
    )
    task = runs.start_backup(job=job)
    wait_until(lambda: reads(task), 60, "it does not read")
    for pid in first.horses():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: state_of(task) == State.LOST, 60, "it is not lost")
    reaper.sweep()
    wait_until(told.exists, 60, "the hook did not run")
    nothing_left(real_repository, task)
    assert told.read_text().splitlines() == ["after lost"]


def test_a_hook_that_was_started_is_not_run_again(
    local_server: Server, tmp_path: Path, hook: Callable[[str], str]
) -> None:
    told = tmp_path / "told"
    name = hook(f"echo once >> {told}")
    task = Task.objects.create(kind="backup", queue="backup", state=State.LOST)
    data = {"server": str(local_server.pk), "name": name, "seconds": 20, "facts": {"PHPBORG_JOB": "x"}}
    assert leases.release(leases.hold(task, "hook_after", {**data, "started": True}))
    assert not told.exists()
    assert leases.release(leases.hold(task, "hook_after", data))
    assert told.read_text() == "once\n"


def test_the_clock_starts_due_jobs_and_ends_with_sigterm(
    redis_server: RedisServer, transactional_db: None, real_repository: Repository, make_job: MakeJob, tree: Path
) -> None:
    job = make_job(real_repository, tree, cron="* * * * *", zone="UTC")
    Schedule.objects.filter(job=job).update(next_run_at="2026-01-01T00:00:00Z")
    values = {**environment(redis_server.url), "PHPBORG_CLOCK": "1"}
    child = subprocess.Popen([sys.executable, str(HOME / "manage.py"), "clock"], env=values, cwd=HOME)
    try:
        wait_until(lambda: Task.objects.filter(kind="backup", job_ref=job.pk).exists(), 40, "nothing was started")
        wait_until(lambda: Installation.load().clock_at is not None, 20)
        assert Task.objects.filter(kind="backup", job_ref=job.pk).count() == 1
    finally:
        child.terminate()
        assert child.wait(20) == 0
