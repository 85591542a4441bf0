"""Real borg over every way: this machine, tunnel and direct, as root and by sudo. The very task of a worker."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from backups.models import Archive, Repository
from backups.services import repositories
from phpborg.tasks.context import log_path
from phpborg.tasks.models import Lease, Task
from servers.models import Server
from tests.backups.conftest import PASSPHRASE, MakeJob, RunJob, archive_of
from tests.support.archives import in_repository

pytestmark = pytest.mark.real


def extract(repository: Repository, archive: Archive, target: Path) -> None:
    repositories.borg_of(repository).extract(archive.name, None, target)


def nothing_is_held(task: Task) -> bool:
    assert not Lease.objects.held().exists()
    assert not list(Path("/run/phpborg").glob(f"{task.pk.hex}*"))
    assert not list(Path("/tmp").glob(f"phpborg-{task.pk.hex}*"))
    return True


def test_a_backup_is_proven_recorded_and_identical(
    any_server: Server, real_repository: Repository, make_job: MakeJob, run_job: RunJob, tree: Path, tmp_path: Path
) -> None:
    (tree / "absolute").symlink_to("/etc/hostname")
    (tree / "broken").symlink_to("nowhere")
    os.link(tree / "a.txt", tree / "hard")
    odd = os.fsencode(tree) + b"/odd\xff\n -rf"
    Path(os.fsdecode(odd)).write_bytes(b"odd")
    job = make_job(real_repository, tree, server=any_server)
    task = run_job(job)
    assert (task.state, task.error_detail, task.findings) == ("success", "", [])
    archive = archive_of(task)
    found = in_repository(repositories.borg_of(real_repository), archive.name)
    assert found is not None
    assert found.id == archive.borg_id
    assert archive.name.startswith("job-1-")
    assert "{" not in archive.name
    assert archive.grade == "success"
    assert archive.original_bytes is not None
    assert archive.original_bytes > 50_000
    assert archive.backup_config["paths"] == [str(tree)]
    assert task.progress["share"] == 1.0
    assert [step["code"] for step in task.steps] == ["connect", "look", "create", "prove", "sync"]
    assert {step["state"] for step in task.steps} == {"done"}
    assert nothing_is_held(task)
    out = tmp_path / "out"
    extract(real_repository, archive, out)
    back = out / str(tree)[1:]
    subprocess.run(["diff", "-r", "--no-dereference", str(tree), str(back)], check=True)
    assert os.readlink(back / "absolute") == "/etc/hostname"
    assert os.readlink(back / "broken") == "nowhere"
    assert PASSPHRASE not in log_path(task).read_text()


def test_a_file_that_changes_is_a_note_on_every_way(
    any_server: Server, real_repository: Repository, make_job: MakeJob, run_job: RunJob, tree: Path
) -> None:
    ended = threading.Event()

    def grow() -> None:
        with (tree / "grow").open("ab") as file:
            while not ended.is_set():
                file.write(os.urandom(10_000))
                file.flush()
                ended.wait(0.01)

    for number in range(40):
        (tree / f"filler{number}").write_bytes(os.urandom(100_000))
    (tree / "grow").write_bytes(os.urandom(10_000_000))
    thread = threading.Thread(target=grow)
    thread.start()
    try:
        task = run_job(make_job(real_repository, tree, server=any_server))
    finally:
        ended.set()
        thread.join()
    assert task.state == "notes", (task.state, task.error_detail)
    assert [(row["kind"], row["path"]) for row in task.findings] == [("changed", f"{tree}/grow")]
    assert archive_of(task).grade == "notes"
    assert Task.objects.filter(kind="backup").count() == 1


def test_missing_sources_fail_before_anything_is_written(
    any_server: Server, real_repository: Repository, make_job: MakeJob, run_job: RunJob, tmp_path: Path
) -> None:
    task = run_job(make_job(real_repository, tmp_path / "not-mounted", server=any_server))
    assert (task.state, task.error_code) == ("failed", "BKP-01")
    assert "not-mounted" in task.error_facts["paths"]
    assert repositories.borg_of(real_repository).list_archives(include_checkpoints=True) == ()
    assert not Archive.objects.exists()
    assert nothing_is_held(task)


def test_one_missing_source_of_two_makes_it_incomplete(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, tree: Path, tmp_path: Path
) -> None:
    task = run_job(make_job(real_repository, tree, tmp_path / "gone"))
    assert task.state == "incomplete"
    assert [(row["kind"], row["path"]) for row in task.findings] == [("missing_source", str(tmp_path / "gone"))]
    archive = archive_of(task)
    assert archive.grade == "incomplete"
    assert archive.backup_config["included"] == [str(tree)]
    assert archive.backup_config["not_included"][0]["path"] == str(tmp_path / "gone")
    assert Archive.objects.good().count() == 0


def test_a_dangling_link_is_a_legal_source(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, tmp_path: Path
) -> None:
    (tmp_path / "dangling").symlink_to("nowhere")
    assert run_job(make_job(real_repository, tmp_path / "dangling")).state == "success"


def test_hooks_run_once_in_order_and_know_the_outcome(
    any_server: Server,
    real_repository: Repository,
    make_job: MakeJob,
    run_job: RunJob,
    hook: Callable[[str], str],
    tree: Path,
    tmp_path: Path,
) -> None:
    tmp_path.chmod(0o755)
    log = tmp_path / "hooks.log"
    before = hook(f'echo "before $PHPBORG_JOB" >> {log}; echo hello; cp {tree}/a.txt {tree}/made-by-hook')
    after = hook(f'echo "after $PHPBORG_OUTCOME" >> {log}')
    job = make_job(real_repository, tree, server=any_server, hook_before=before, hook_after=after)
    task = run_job(job)
    assert task.state == "success", (task.error_code, task.error_detail, task.findings)
    assert log.read_text().splitlines() == ["before job 1", "after success"]
    assert "hello" in task.log_tail
    assert archive_of(task).files == 3
    assert nothing_is_held(task)


def test_a_failing_hook_before_means_no_backup_and_the_hook_after_still_runs(
    real_repository: Repository,
    make_job: MakeJob,
    run_job: RunJob,
    hook: Callable[[str], str],
    tree: Path,
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    before, after = hook("echo nope >&2; exit 3"), hook(f'echo "$PHPBORG_OUTCOME $PHPBORG_ERROR" >> {log}')
    task = run_job(make_job(real_repository, tree, hook_before=before, hook_after=after))
    assert (task.state, task.error_code) == ("failed", "JOB-04")
    assert task.error_facts["status"] == "exit status 3"
    assert "nope" in task.error_detail
    assert log.read_text().splitlines() == ["failed JOB-04"]
    assert not Archive.objects.exists()


def test_a_hook_that_takes_too_long_is_ended(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, hook: Callable[[str], str], tree: Path
) -> None:
    task = run_job(make_job(real_repository, tree, hook_before=hook("exec sleep 60"), hook_seconds=1))
    assert (task.state, task.error_code) == ("failed", "JOB-04")
    assert "time limit" in task.error_facts["status"]


def test_a_failing_hook_after_is_a_note(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, hook: Callable[[str], str], tree: Path
) -> None:
    task = run_job(make_job(real_repository, tree, hook_after=hook("exit 1")))
    assert task.state == "notes"
    assert [row["kind"] for row in task.findings] == ["hook_after"]
    assert archive_of(task).grade == "notes"
    assert archive_of(task).findings_count == 1


def test_a_hook_that_is_not_there_is_said(
    real_repository: Repository, make_job: MakeJob, run_job: RunJob, tree: Path
) -> None:
    task = run_job(make_job(real_repository, tree, hook_before="no-such-hook"))
    assert (task.state, task.error_code) == ("failed", "HLP-11")
    assert "no-such-hook" in task.error_detail
