"""Jobs, schedules, the clock, the trash: the rules, without borg."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone, translation

from backups import clock as backup_clock
from backups.borg import names
from backups.job_errors import ArchiveInUse, ArchiveNotInTrash, ArchivePinned, JobRunning, SourceKindUnknown
from backups.models import Archive, BackupJob, Repository, Schedule, StoragePool
from backups.services import archives, jobs, runs, schedules
from backups.services.plan import plan_backup, told
from backups.sources import get as source_of
from backups.sources.base import PathFact, SourceFacts
from backups.sources.files import FilesSource
from phpborg.errors import InvalidInput, PhpBorgError
from phpborg.scheduling import clock
from phpborg.scheduling.cron import CronInvalid
from phpborg.tasks import queue
from phpborg.tasks.errors import AlreadyActive
from phpborg.tasks.models import Task
from phpborg.tasks.states import State, Trigger
from phpborg.ui.models import Installation
from recovery.models import BrowseSession
from servers.models import Server
from tests.backups.conftest import PASSPHRASE, MakeJob
from tests.backups.test_views import make_archive

AWKWARD = ["web/db", "a::b", "trail ", "q'uote", "né", "x{now}", "n" * 200, "-rf", "日本", 'a\\b"c$d']


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_names_are_kept_and_archives_get_a_plain_form(
    make_job: MakeJob, repository: Repository, name: str
) -> None:
    job = make_job(repository, b"/etc", name=name)
    assert job.name == name.strip()
    archive = names.archive_name(job.slug, job.pk, datetime(2026, 1, 2, tzinfo=UTC), job.pk)
    assert all(letter.isascii() and (letter.isalnum() or letter == "-") for letter in archive)
    assert not archive.startswith("-")
    assert plan_backup(job=job).archive.startswith(job.slug)


@pytest.mark.parametrize("name", ["", "   ", "two\nlines", "tab\there", "n" * 201, "nul\0"])
def test_names_that_no_list_can_show_are_refused(make_job: MakeJob, repository: Repository, name: str) -> None:
    with translation.override("en"), pytest.raises(InvalidInput) as caught:
        make_job(repository, b"/etc", name=name)
    assert caught.value.facts["field"] == "Name"


def test_names_are_unique(make_job: MakeJob, repository: Repository) -> None:
    make_job(repository, b"/etc", name="one")
    with pytest.raises(InvalidInput):
        make_job(repository, b"/etc", name=" one ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nice", 20),
        ("nice", True),
        ("upload_rate_kib", 0),
        ("time_limit_seconds", -1),
        ("hook_seconds", 0),
        ("hook_before", "../evil"),
        ("hook_after", "a b"),
        ("notify", "not-an-address"),
        ("compression", "zstd,99"),
        ("compression", "--debug"),
        ("source", {"paths": []}),
        ("source", {"paths": ["etc"]}),
        ("source", {"paths": ["/a/../b"]}),
        ("source", {"paths": ["/etc"], "excludes": ["--x"]}),
        ("source", {"paths": ["/etc"], "surprise": 1}),
        ("source", {"paths": "/etc"}),
        ("source", {"paths": ["/etc"], "one_file_system": "yes"}),
        ("source", {"paths": [7]}),
        ("cron", "61 * * * *"),
        ("zone", "Mars/Base"),
    ],
)
def test_bad_values_never_reach_a_row(make_job: MakeJob, repository: Repository, field: str, value: object) -> None:
    with pytest.raises(PhpBorgError):
        make_job(repository, b"/etc", **{"cron": "0 2 * * *", field: value})
    assert not BackupJob.objects.exists()


def test_an_unknown_source_is_never_run_as_something_else(make_job: MakeJob, repository: Repository) -> None:
    with pytest.raises(SourceKindUnknown):
        make_job(repository, b"/etc", source_kind="floppy")
    with pytest.raises(SourceKindUnknown):
        source_of("files ")


def test_a_source_keeps_paths_and_order_and_survives_json() -> None:
    config = FilesSource().parse({"paths": ["//srv//b/", "/srv/a", "/srv/b", "/é"], "excludes": ["*.tmp", "*.tmp"]})
    assert config.paths == (b"/srv/b", b"/srv/a", "/é".encode())
    assert config.excludes == ("*.tmp",)
    assert FilesSource().parse(json.loads(json.dumps(config.as_json()))) == config


def test_mounts_that_are_left_out_are_told_before_and_the_kernels_own_are_not() -> None:
    config = FilesSource().parse({"paths": ["/"], "one_file_system": True})
    fact = PathFact(b"/", True, mounts=((b"/", "ext4"), (b"/home", "ext4"), (b"/proc", "proc"), (b"/run", "tmpfs")))
    plan = FilesSource().plan(config, SourceFacts({b"/": fact}))
    assert [(row.kind, row.path, row.message) for row in plan.findings] == [("mount_skipped", "/home", "ext4")]
    assert any("/home" in str(sentence) for sentence in plan.sentences)


def test_what_a_run_does_is_kept_in_every_language(make_job: MakeJob, repository: Repository) -> None:
    sentences = told(job=make_job(repository, b"/etc"), facts=None)
    assert sentences["en"][0] == "Reads /etc."
    assert sentences["fr"][0] != sentences["en"][0]
    assert "/etc" in sentences["fr"][0]


def test_our_own_storage_is_never_read_into_an_archive(
    make_job: MakeJob, repository: Repository, pool: StoragePool
) -> None:
    plan = plan_backup(job=make_job(repository, b"/"))
    assert f"pp:{pool.path}" in plan.source.excludes
    assert f"--exclude=pp:{pool.path}" in plan.argv
    assert f"pp:{pool.path}" not in plan_backup(job=make_job(repository, b"/etc")).source.excludes


def test_the_plan_holds_no_secret_and_options_come_before_paths(make_job: MakeJob, repository: Repository) -> None:
    job = make_job(repository, b"/-rf", b"/sh:z", hook_before="stop", hook_after="start", upload_rate_kib=500)
    plan = plan_backup(job=job)
    text = json.dumps(plan.as_json())
    assert PASSPHRASE not in text
    assert "canary" not in text
    assert [step.code for step in plan.steps] == [
        "connect", "hook_before", "look", "link", "create", "prove", "hook_after", "sync",
    ]  # fmt: skip
    words = list(plan.argv)
    assert words[words.index("--") + 2 :] == [b"/-rf", b"/sh:z"]
    assert "--upload-ratelimit=500" in words


def test_an_edited_job_keeps_its_identity(make_job: MakeJob, repository: Repository) -> None:
    job = make_job(repository, b"/etc", cron="0 2 * * *", zone="Europe/Paris")
    before = jobs.definition_of(job)
    assert jobs.clean(before, job=job) == before
    from dataclasses import replace

    jobs.update_job(job=job, definition=replace(before, name="other", cron=""))
    job.refresh_from_db()
    assert (job.name, job.slug) == ("other", "other")
    assert not Schedule.objects.exists()


def test_a_job_that_runs_is_not_removed(make_job: MakeJob, repository: Repository) -> None:
    job = make_job(repository, b"/etc")
    runs.start_backup(job=job)
    with pytest.raises(JobRunning):
        jobs.delete_job(job=job)


def test_run_now_twice_queues_once(make_job: MakeJob, repository: Repository) -> None:
    job = make_job(repository, b"/etc", time_limit_seconds=60)
    task = runs.start_backup(job=job)
    with pytest.raises(AlreadyActive):
        runs.start_backup(job=job)
    assert (task.exclusive, task.deadline_seconds, task.server_ref) == (repository.exclusive, 60, job.server_id)
    assert set(task.params) == {"job"}


# --- the clock ---------------------------------------------------------------------------------------


@pytest.fixture
def due(make_job: MakeJob, repository: Repository) -> BackupJob:
    job = make_job(repository, b"/etc", cron="0 * * * *", zone="UTC", name="hourly")
    Schedule.objects.filter(job=job).update(next_run_at=timezone.now() - timedelta(hours=30))
    return job


def test_missed_runs_are_caught_up_once(due: BackupJob) -> None:
    assert backup_clock.start_due() == 1
    assert backup_clock.start_due() == 0
    task = Task.objects.get(kind="backup")
    assert task.trigger == Trigger.SCHEDULE
    due.schedule.refresh_from_db()
    assert due.schedule.next_run_at is not None
    assert due.schedule.next_run_at > timezone.now()


def test_two_clocks_never_start_one_run_twice(due: BackupJob) -> None:
    now = timezone.now()
    (mine,), (theirs,) = schedules.due(now), schedules.due(now)
    assert schedules.claim(mine, now)
    assert not schedules.claim(theirs, now)


def test_an_overlap_is_recorded_as_skipped_in_one_row(due: BackupJob) -> None:
    runs.start_backup(job=due)
    for _ in range(3):
        Schedule.objects.filter(job=due).update(next_run_at=timezone.now() - timedelta(minutes=1))
        backup_clock.start_due()
    skip = Task.objects.get(kind="backup", state=State.CANCELLED)
    assert skip.result["skipped"] == "overlap"
    assert skip.result["times"] == 3
    assert runs.status_of([due])[due.pk].last is None
    assert Task.objects.active().filter(job_ref=due.pk).count() == 1


def test_a_bad_row_stops_nothing(due: BackupJob, make_job: MakeJob, repository: Repository) -> None:
    for number, broken in enumerate(({"cron": "nonsense"}, {"zone": "Mars/Base"})):
        job = make_job(repository, b"/etc", cron="0 * * * *", zone="UTC", name=f"bad {number}")
        Schedule.objects.filter(job=job).update(next_run_at=timezone.now() - timedelta(days=9), **broken)
    assert backup_clock.start_due() == 1
    assert Task.objects.get(kind="backup").job_ref == due.pk
    assert schedules.due(timezone.now()) == []
    assert "cron" in schedules.describe(Schedule.objects.get(cron="nonsense")).lower()


def test_a_disabled_job_is_not_due_and_not_caught_up(due: BackupJob) -> None:
    jobs.set_enabled(job=due, enabled=False)
    assert backup_clock.start_due() == 0
    jobs.set_enabled(job=due, enabled=True)
    assert backup_clock.start_due() == 0


def test_a_failing_part_does_not_stop_the_tick(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    clock.load()
    monkeypatch.setattr(clock, "_registered", {})

    @clock.every(0)
    def breaks() -> None:
        raise RuntimeError("no")

    @clock.every(60)
    def works() -> None:
        done.append("x")

    first = clock.tick(now=1000.0)
    assert len(first) == 1
    assert first[0].endswith("breaks")
    clock.tick(now=1030.0)
    assert done == ["x"]
    clock.tick(now=1061.0)
    assert done == ["x", "x"]
    assert Installation.load().clock_at is not None


def test_the_clock_knows_the_work_of_the_apps(db: None) -> None:
    assert "backups.clock.start_due" in clock.load()
    assert "phpborg.tasks.reaper.sweep" in clock.load()


def test_preview_of_a_clock_change() -> None:
    shown = schedules.preview(
        cron="30 2 * * *", zone="Europe/Paris", after=datetime(2026, 3, 27, 12, tzinfo=UTC), count=4
    )
    assert [run.shifted for run in shown.runs] == [False, True, False, False]
    assert shown.clock_change
    with pytest.raises(CronInvalid):
        schedules.preview(cron="0 0 31 2 *", zone="UTC")


# --- archives ----------------------------------------------------------------------------------------


@pytest.fixture
def archive(make_job: MakeJob, repository: Repository) -> Archive:
    return make_archive(make_job(repository, b"/etc", name="nightly"), 1)


def test_trash_is_two_steps(archive: Archive) -> None:
    with pytest.raises(ArchiveNotInTrash):
        archives.purge(archives=[archive])
    archives.move_to_trash(archives=[archive])
    archive.refresh_from_db()
    assert Archive.objects.present().count() == 0
    archives.take_from_trash(archives=[archive])
    assert Archive.objects.present().count() == 1


def test_a_pinned_or_open_archive_is_not_removed(archive: Archive) -> None:
    archives.set_pinned(archive=archive, pinned=True)
    with pytest.raises(ArchivePinned):
        archives.move_to_trash(archives=[archive])
    archives.set_pinned(archive=archive, pinned=False)
    session = BrowseSession.objects.create(archive=archive, state="open")
    with pytest.raises(ArchiveInUse):
        archives.move_to_trash(archives=[archive])
    session.state = "closed"
    session.save()
    archives.move_to_trash(archives=[archive])
    archive.refresh_from_db()
    BrowseSession.objects.create(archive=archive, state="opening")
    with pytest.raises(ArchiveInUse):
        archives.purge(archives=[archive])
    assert not Task.objects.exists()


def test_one_bad_archive_of_many_moves_none(archive: Archive) -> None:
    other = make_archive(archive.job, 2, pinned=True)  # type: ignore[arg-type]
    with pytest.raises(ArchivePinned):
        archives.move_to_trash(archives=[archive, other])
    assert Archive.objects.present().count() == 2


def test_sorting_puts_the_unknown_last(archive: Archive) -> None:
    make_archive(archive.job, 2, original_bytes=None)  # type: ignore[arg-type]
    make_archive(archive.job, 3)  # type: ignore[arg-type]
    for sort in ("original_bytes", "-original_bytes"):
        found = [row.original_bytes for row in archives.listing(archives.ArchiveFilter(sort=sort))]
        assert found[-1] is None


# --- commands ----------------------------------------------------------------------------------------

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(db: None, capsys: pytest.CaptureFixture[str]) -> Call:
    """A management command as a shell sees it: exit code and output."""
    from django.core.management import CommandError, call_command

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = 0
        try:
            call_command(*words)
        except SystemExit as error:
            code = int(error.code or 0)
        except CommandError as error:
            code = error.returncode
        return code, capsys.readouterr().out

    return run


def test_job_commands(call: Call, repository: Repository, local_server: Server) -> None:
    made = call(
        "job", "create", "etc", "--server", "localhost", "--repository", "repo", "--preset", "etc", "--path", "/srv",
        "--exclude", "*.tmp", "--cron", "0 2 * * *", "--zone", "UTC", "--json",
    )  # fmt: skip
    assert made[0] == 0
    assert json.loads(made[1])["source"]["paths"] == ["/srv", "/etc"]
    assert [row["name"] for row in json.loads(call("job", "list", "--json")[1])] == ["etc"]
    assert call("job", "disable", "etc")[0] == 0
    assert json.loads(call("job", "show", "etc", "--json")[1])["enabled"] is False
    assert call("job", "show", "nothing")[0] == 2
    code, text = call("job", "create", "bad", "--server", "localhost", "--repository", "repo", "--path", "x", "--json")
    assert (code, json.loads(text)["error"]["code"]) == (1, "GEN-03")
    assert call("job", "delete", "etc")[0] == 2
    assert call("job", "delete", "etc", "--yes")[0] == 0
    assert not BackupJob.objects.exists()


def test_backup_command_shows_the_plan_and_queues(call: Call, make_job: MakeJob, repository: Repository) -> None:
    job = make_job(repository, b"/etc", name="etc")
    code, text = call("backup", "etc", "--dry-run", "--json")
    assert code == 0
    assert [step["code"] for step in json.loads(text)["steps"]] == [
        "connect",
        "look",
        "link",
        "create",
        "prove",
        "sync",
    ]
    assert not Task.objects.exists()
    assert call("backup", "etc")[0] == 0
    assert call("backup", str(job.pk)[:8])[0] == 4
    task = Task.objects.get()
    queue.cancel(task)
    assert call("backup", "nope")[0] == 2


def test_archive_commands(call: Call, archive: Archive) -> None:
    rows = json.loads(call("archives", "--job", "nightly", "--json")[1])
    assert [row["name"] for row in rows] == [archive.name]
    assert call("archive", "pin", archive.name)[0] == 0
    assert call("archive", "trash", archive.name, "--json")[0] == 1
    call("archive", "unpin", archive.name)
    assert call("archive", "trash", str(archive.pk))[0] == 0
    assert call("archive", "purge", archive.name)[0] == 2
    assert call("archive", "purge", archive.name, "--yes")[0] == 0
    assert Task.objects.get().kind == "archive_delete"
    assert call("archive", "purge", archive.name, "--yes")[0] == 4
    assert call("archives", "--server", "nobody")[0] == 2


def test_clock_once(call: Call, due: BackupJob, tmp_path: Path) -> None:
    assert call("clock", "--once")[0] == 0
    assert Task.objects.filter(kind="backup", trigger=Trigger.SCHEDULE).count() == 1
