"""What goes wrong in the middle: kills, cancellations, lost connections, full disks, busy or moved repositories."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from backups.borg.report import Report
from backups.models import Archive, BackupJob, Repository, StoragePool
from backups.services import backup_run, repositories, runs, sync
from backups.services.telling import Teller
from phpborg.tasks import queue
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import State
from servers.models import Server
from tests.backups.conftest import PASSPHRASE, WAYS, MakeJob, RunJob, archive_of, server_for
from tests.support.archives import in_repository
from tests.support.sshd import Lab, descendants, processes_with

pytestmark = pytest.mark.real
# One way of each kind is enough here; test_backup_real.py has them all.
SOME_WAYS = [WAYS[0], WAYS[2]]


@pytest.fixture(params=SOME_WAYS)
def some_server(request: pytest.FixtureRequest, lab: Lab) -> Server:
    return server_for(request, request.param, lab)


@pytest.fixture
def heavy(tmp_path: Path) -> Path:
    """Enough for several progress lines when it is compressed hard."""
    source = tmp_path / "heavy"
    source.mkdir()
    for number in range(12):
        (source / f"{number:02}").write_bytes(os.urandom(1_000_000))
    return source


Meddle = Callable[..., list[int]]


@pytest.fixture
def meddle(monkeypatch: pytest.MonkeyPatch) -> Meddle:
    """`meddle(condition, action)`: do something once when borg has come so far; answers how often it was done."""

    def install(condition: Callable[[Report], bool], action: Callable[[Teller], None]) -> list[int]:
        done: list[int] = []
        before = Teller.hear

        def hear(self: Teller, report: Report, line: bytes) -> None:
            before(self, report, line)
            if not done and condition(report):
                done.append(1)
                action(self)

        monkeypatch.setattr(Teller, "hear", hear)
        return done

    return install


def reading(report: Report) -> bool:
    return (report.progress.original_size or 0) > 1_000_000


def all_read(report: Report) -> bool:
    return report.progress.files_done


def stop(reason: str) -> Callable[[Teller], None]:
    return lambda teller: teller._context.stop.set(reason)


def kill_borg(job: BackupJob, number: signal.Signals) -> Callable[[Teller], None]:
    """By the pid of this very `borg create`."""

    def kill(_teller: Teller) -> None:
        for pid in processes_with(job.pk.hex[:8]):
            with suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"create" in words and any(word.endswith(b"/borg") for word in words):
                    os.kill(pid, number)

    return kill


def clean(repository: Repository, task: Task) -> None:
    assert not repositories.borg_of(repository).lock_state().alive
    assert not Lease.objects.held().exists()
    assert not processes_with(task.pk.hex[:16])
    names = [fact.name for fact in repositories.borg_of(repository).list_archives()]
    assert not any(task.short_id in name for name in names)
    assert not Archive.objects.filter(task_ref=task.pk).exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_borg_is_a_failure(
    some_server: Server,
    real_repository: Repository,
    make_job: MakeJob,
    run_job: RunJob,
    heavy: Path,
    meddle: Meddle,
    number: signal.Signals,
) -> None:
    job = make_job(real_repository, heavy, server=some_server, compression="lzma,6", nice=0)
    done = meddle(reading, kill_borg(job, number))
    task = run_job(job)
    assert done
    assert (task.state, task.error_code) == ("failed", "BKP-04"), task.error_detail
    assert task.error_facts["signal"] == number.name
    clean(real_repository, task)
    again = run_job(job)
    assert again.state == "success", (again.error_code, again.error_detail, again.findings)
    assert again.findings == []


def test_cancelled_while_transferring_leaves_nothing(
    some_server: Server, real_repository: Repository, make_job: MakeJob, run_job: RunJob, heavy: Path, meddle: Meddle
) -> None:
    job = make_job(real_repository, heavy, server=some_server, compression="lzma,6", nice=0)
    assert not meddle(reading, stop("cancel"))
    task = run_job(job)
    assert (task.state, task.error_code) == ("cancelled", "")
    assert task.duration_seconds is not None
    assert task.duration_seconds < 60
    clean(real_repository, task)
    assert run_job(job).state == "success"


def test_cancelled_while_committing_is_cancelled_and_the_archive_counts_only_when_it_is_there(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, heavy: Path, meddle: Meddle
) -> None:
    job = make_job(real_repository, heavy, compression="lzma,6", nice=0)
    done = meddle(all_read, stop("cancel"))
    task = run_job(job)
    assert done
    assert task.state == "cancelled"
    there = [fact.name for fact in repositories.borg_of(real_repository).list_archives()]
    assert [row.name for row in Archive.objects.all()] == there
    assert not repositories.borg_of(real_repository).lock_state().alive


def test_cancelled_while_waiting_never_starts(real_repository: Repository, make_job: MakeJob, tree: Path) -> None:
    task = runs.start_backup(job=make_job(real_repository, tree))
    queue.cancel(task)
    from phpborg.tasks import runner

    runner.run(str(task.pk))
    task.refresh_from_db()
    assert task.state == "cancelled"
    assert task.started_at is None


def test_the_time_limit_ends_it_with_a_checkpoint(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, heavy: Path, meddle: Meddle
) -> None:
    job = make_job(real_repository, heavy, compression="lzma,6", nice=0, time_limit_seconds=3600)
    meddle(reading, stop("deadline"))
    task = run_job(job)
    assert (task.state, task.error_code) == ("failed", "BKP-03")
    assert task.error_facts["seconds"] == 3600
    every = repositories.borg_of(real_repository).list_archives(include_checkpoints=True)
    assert [fact.is_checkpoint for fact in every] == [True]
    clean(real_repository, task)
    assert sync.synchronise(repository=real_repository).recorded == ()
    again = run_job(job)
    assert again.state == "success"
    assert runs.status_of([job])[job.pk].last_good == archive_of(again)
    assert Archive.objects.count() == 1


def test_a_stopped_service_is_an_interruption(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, heavy: Path, meddle: Meddle
) -> None:
    meddle(reading, stop("interrupted"))
    task = run_job(make_job(real_repository, heavy, compression="lzma,6", nice=0))
    assert (task.state, task.error_code) == ("failed", "TSK-03")
    clean(real_repository, task)


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_run, "RETRY_PAUSES_SECONDS", (0.2, 0.2))


def cut_ssh(_teller: Teller) -> None:
    """The ssh that carries the tunnel of this test, and nothing else: other runs have tunnels too."""
    for pid in set(processes_with("-serve/link.sock")) & set(descendants(os.getpid())):
        with suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ssh\0"):
                os.kill(pid, signal.SIGKILL)


def test_a_lost_connection_is_tried_again(
    ssh_server: Callable[..., Server],
    real_repository: Repository,
    make_job: MakeJob,
    run_job: RunJob,
    heavy: Path,
    meddle: Meddle,
    quick_retries: None,
) -> None:
    job = make_job(real_repository, heavy, server=ssh_server(), compression="lzma,6", nice=0)
    done = meddle(reading, cut_ssh)
    task = run_job(job)
    assert done
    assert task.state == "success", (task.error_code, task.error_detail, task.findings)
    assert task.result["attempts"] == 2
    assert [step["code"] for step in task.steps] == [
        "connect", "look", "create", "prove", "create", "prove", "sync",
    ]  # fmt: skip
    assert "trying again" in task.log_tail
    assert Archive.objects.count() == 1


def test_retries_end(
    ssh_server: Callable[..., Server],
    real_repository: Repository,
    make_job: MakeJob,
    run_job: RunJob,
    heavy: Path,
    monkeypatch: pytest.MonkeyPatch,
    quick_retries: None,
) -> None:
    before = Teller.hear

    def hear(self: Teller, report: Report, line: bytes) -> None:
        before(self, report, line)
        if reading(report):
            cut_ssh(self)

    monkeypatch.setattr(Teller, "hear", hear)
    job = make_job(real_repository, heavy, server=ssh_server(), compression="lzma,6", nice=0)
    task = run_job(job)
    assert task.state == "failed"
    assert task.error_code in ("SSH-07", "BRG-20")
    assert [step["code"] for step in task.steps].count("create") == 3
    clean(real_repository, task)


def test_a_connection_that_breaks_after_the_commit_counts(
    ssh_server: Callable[..., Server],
    real_repository: Repository,
    make_job: MakeJob,
    run_job: RunJob,
    tree: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from servers import errors as server_errors

    before = backup_run.BackupRun._borg

    def borg(self: backup_run.BackupRun, way: object, report: Report) -> object:
        before(self, way, report)  # type: ignore[arg-type]
        report.answer.clear()
        raise server_errors.ConnectionLost("cut", address="127.0.0.11")

    monkeypatch.setattr(backup_run.BackupRun, "_borg", borg)
    task = run_job(make_job(real_repository, tree, server=ssh_server()))
    assert task.state == "notes"
    assert [row["kind"] for row in task.findings] == ["late"]
    archive = archive_of(task)
    assert archive.grade == "notes"
    assert archive.original_bytes is None


@pytest.fixture
def small_pool(db: None, tmp_path: Path) -> Iterator[StoragePool]:
    """A pool on a filesystem of 24 MB."""
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(path)], check=True)
    yield StoragePool.objects.create(name="small", path=str(path))
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_full_disk_fails_and_older_archives_stay(
    some_server: Server,
    small_pool: StoragePool,
    make_job: MakeJob,
    run_job: RunJob,
    tree: Path,
    tmp_path: Path,
) -> None:
    repository = repositories.create_repository(
        pool=small_pool, name="small", passphrase=PASSPHRASE, compression="none"
    )
    first = run_job(make_job(repository, tree, server=some_server))
    assert first.state == "success"
    big = tmp_path / "big"
    big.write_bytes(os.urandom(60_000_000))
    job = make_job(repository, big, server=some_server)
    task = run_job(job)
    assert (task.state, task.error_code) == ("failed", "BRG-15"), task.error_detail
    assert [row.pk for row in Archive.objects.present()] == [archive_of(first).pk]
    # What was half written is given back: the disk is not left full for everybody else.
    # (On this machine itself borg, not `borg serve`, met the full disk, and had cleaned up behind itself.)
    assert ("given back to the disk" in task.log_tail) is not some_server.is_local
    assert os.statvfs(small_pool.path).f_bavail * 4096 > 20_000_000
    assert in_repository(repositories.borg_of(repository), archive_of(first).name) is not None
    subprocess.run(["mount", "-o", "remount,size=96m", small_pool.path], check=True)
    again = run_job(job)
    assert again.state == "success", (again.error_code, again.error_detail, again.log_tail)


def test_two_jobs_of_one_repository_wait_for_each_other(
    real_repository: Repository, make_job: MakeJob, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from phpborg.tasks import runner

    monkeypatch.setattr(runner, "CANCEL_POLL_SECONDS", 3600.0)
    one, two = make_job(real_repository, tree), make_job(real_repository, tree)
    first, second = runs.start_backup(job=one), runs.start_backup(job=two)
    seen: list[str] = []
    before = backup_run.BackupRun._look

    def look(self: backup_run.BackupRun, row: dict[str, object]) -> None:
        if self.job.pk == one.pk:
            runner.run(str(second.pk))
            second.refresh_from_db()
            seen.append(second.state)
        before(self, row)

    monkeypatch.setattr(backup_run.BackupRun, "_look", look)
    runner.run(str(first.pk))
    assert seen == [State.BLOCKED]
    runner.run(str(second.pk))
    for task in (first, second):
        task.refresh_from_db()
        assert task.state == "success"
