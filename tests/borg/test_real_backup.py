"""Backups with real borg: verdicts, by the local path and by `borg serve` (cases A, B, C)."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from backups import errors as e
from backups.borg import locks
from backups.borg.findings import Kind
from backups.borg.outcome import State, StoppedFor
from backups.borg.progress import Phase
from phpborg.errors import InvalidInput
from tests.borg.support import PASSPHRASE, Bench, in_background
from tests.support.archives import in_repository

pytestmark = pytest.mark.real


class Once:
    """A stop that is asked for from outside."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()


def test_a_plain_backup_is_a_success(bench: Bench) -> None:
    (bench.source / "file").write_bytes(os.urandom(300_000))
    repository = bench.repository()
    verdict, report = bench.create(repository, "x{now}")
    assert verdict.state is State.SUCCESS
    assert verdict.findings == ()
    assert verdict.result is not None
    assert verdict.archive is not None
    assert verdict.archive.id == verdict.result.id
    assert verdict.result.name == "x{now}"  # case 16: the name, not what a template would give
    assert verdict.result.nfiles == 1
    assert verdict.result.original_size >= 300_000
    assert report.progress.phase is Phase.FINALISING
    assert verdict.archive.started_at.utcoffset() is not None


@pytest.mark.parametrize("way", ["local", "serve"])
def test_a_file_that_grows_is_a_note_on_both_ways(bench: Bench, way: str) -> None:
    """Case 1: exit 1 (100 with 1.4), an archive, one warning, and retention may follow."""
    repository = bench.repository()
    remote = bench.serve_script(repository) if way == "serve" else ""
    growing = bench.source / "grow"
    growing.write_bytes(os.urandom(2_000_000))
    stop = threading.Event()

    def grow() -> None:
        with growing.open("ab") as file:
            while not stop.is_set():
                file.write(os.urandom(100_000))
                file.flush()
                time.sleep(0.002)

    thread = in_background(grow)
    try:
        verdict, _ = bench.create(repository, "one", remote=remote)
    finally:
        stop.set()
        thread.join()
    assert verdict.state is State.NOTES
    assert dict(verdict.counts) == {Kind.CHANGED: 1}
    assert verdict.findings[0].path.endswith("/grow")
    assert verdict.archive is not None


def test_a_missing_source_fails_and_a_dangling_link_does_not(bench: Bench) -> None:
    """Case 3."""
    repository = bench.repository()
    for missing in (Path("/mnt/not-mounted"), bench.root / "gone", bench.source / "a/b/c"):
        verdict, _ = bench.create(repository, f"m-{missing.name}", missing)
        assert verdict.state is State.FAILED
        assert isinstance(verdict.error, e.SourceMissing)
        assert str(missing) in str(verdict.error)
    link = bench.root / "link"
    link.symlink_to("/nowhere")
    verdict, _ = bench.create(repository, "dangling", link)
    assert verdict.state is State.SUCCESS
    verdict, _ = bench.create(repository, "half", bench.root / "gone", bench.source)
    assert (verdict.state, dict(verdict.counts)) == (State.INCOMPLETE, {Kind.MISSING_SOURCE: 1})


def test_names_below_a_source_may_be_any_bytes(bench: Bench) -> None:
    """A source itself may not: borg writes its command line into the archive, and would fail at the end."""
    (bench.source / os.fsdecode(b"caf\xe9")).write_text("x")
    repository = bench.repository()
    assert bench.create(repository, "one")[0].state is State.SUCCESS
    with pytest.raises(InvalidInput):
        bench.create(repository, "two", bench.source / os.fsdecode(b"caf\xe9"))


def test_unreadable_paths_are_listed(bench: Bench) -> None:
    """Root reads everything, so this borg gives up the capability to do so before it starts."""
    repository = bench.repository()
    script = bench.root / "weak-borg"
    script.write_text(f'#!/bin/sh\nexec setpriv --bounding-set=-all --inh-caps=-all {bench.binary} "$@"\n')
    script.chmod(0o755)
    (bench.source / "good").write_text("x")
    secret, own = bench.source / "secret", bench.source / "own\nly"
    secret.mkdir(mode=0o700)
    own.write_text("x")
    own.chmod(0o600)
    os.chown(secret, 65534, 65534)
    os.chown(own, 65534, 65534)
    bench.binary = str(script)
    verdict, _ = bench.create(repository, "one")
    assert verdict.state is State.INCOMPLETE
    assert dict(verdict.counts) == {Kind.UNREADABLE: 2}
    assert {finding.path.rpartition("/src/")[2] for finding in verdict.findings} == {"secret", "own\nly"}
    assert all("Permission denied" in finding.message for finding in verdict.findings)
    assert verdict.archive is not None


def test_a_name_that_is_taken_is_refused(bench: Bench) -> None:
    """Case 27: never deletes the first to make room."""
    repository = bench.repository()
    first, _ = bench.create(repository, "one")
    second, _ = bench.create(repository, "one")
    assert second.state is State.FAILED
    assert isinstance(second.error, e.ArchiveExists)
    assert in_repository(repository, "one") == first.archive


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_killed_borg_is_a_failure(bench: Bench, number: signal.Signals) -> None:
    """Cases 5 and 20: no archive, and the next run succeeds although the lock was left."""
    repository = bench.repository()
    (bench.source / "big").write_bytes(os.urandom(40_000_000))

    def kill(pid: int) -> None:
        def later() -> None:
            deadline = time.monotonic() + 20
            while not repository.lock_state().holders and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(pid, number)

        in_background(later)

    verdict, _ = bench.create(repository, "killed", on_start=kill, prove=False)
    assert verdict.state is State.FAILED
    assert verdict.error is not None
    assert not repository.lock_state().alive
    assert bool(repository.lock_state().dead) == (number is signal.SIGKILL)
    again, report = bench.create(repository, "again")
    assert (again.state, again.findings) == (State.SUCCESS, ())
    assert any("stale" in event.message for event in report.warnings) == (number is signal.SIGKILL)
    assert not repository.lock_state().holders
    assert [fact.name for fact in repository.list_archives()] == ["again"]


def test_a_cancelled_backup_keeps_a_checkpoint_and_frees_the_lock(bench: Bench) -> None:
    repository = bench.repository()
    for number in range(60):
        (bench.source / f"{number}").write_bytes(os.urandom(1_000_000))
    stop = Once()
    remote = bench.serve_script(repository)

    def when_moving() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and repository.sizes().bytes_used < 5_000_000:
            time.sleep(0.01)
        stop.set()

    thread = in_background(when_moving)
    verdict, _ = bench.create(
        repository, "cancelled", remote=remote, stop=stop, stopped_for=StoppedFor.CANCEL, upload_rate_kib=8000
    )
    thread.join()
    assert (verdict.state, verdict.error) == (State.CANCELLED, None)
    assert verdict.archive is None
    assert not repository.lock_state().holders
    assert repository.list_archives() == ()
    names = [fact.name for fact in repository.list_archives(include_checkpoints=True)]
    assert all(name.startswith("cancelled.checkpoint") for name in names)
    again, _ = bench.create(repository, "again", remote=remote)
    assert again.state is State.SUCCESS


def test_a_banner_is_not_yellow(bench: Bench) -> None:
    """Case 9."""
    repository = bench.repository()
    remote = bench.serve_script(repository, before='echo "Authorised use only" >&2; echo "/x: [Errno 13] denied" >&2')
    verdict, report = bench.create(repository, "one", remote=remote)
    assert (verdict.state, verdict.findings) == (State.SUCCESS, ())
    assert list(report.remote) == ["Authorised use only", "/x: [Errno 13] denied"]


def test_login_scripts_that_talk_are_quoted(bench: Bench) -> None:
    """Case 39."""
    repository = bench.repository()
    remote = bench.serve_script(repository, before='echo "*** Welcome to prod-db-01 (last patched 2026-01-01) ***"')
    verdict, _ = bench.create(repository, "one", remote=remote)
    assert verdict.state is State.FAILED
    assert isinstance(verdict.error, e.ProtocolPolluted)
    assert "*** Welcome to prod-db-01 (last patched 2026-01-01) ***" in str(verdict.error)


@pytest.mark.parametrize(
    ("before", "kind", "quoted"),
    [
        ("borg-not-here serve; sleep 1; exit 127", e.BorgMissing, "not found"),
        ("bash -c '/opt/nowhere/borg serve'; sleep 1; exit 127", e.BorgMissing, "No such file or directory"),
        ("exit 1", e.ConnectionLost, "Connection closed"),
        (
            'echo "ssh: connect to host x port 22: Connection refused" >&2; sleep 1; exit 255',
            e.ConnectionLost,
            "refused",
        ),
    ],
)
def test_the_other_end_is_not_there(bench: Bench, before: str, kind: type[Exception], quoted: str) -> None:
    """Case 40. Borg drops a last line of stderr that comes together with the end of stdout, hence the pause."""
    repository = bench.repository()
    verdict, _ = bench.create(repository, "one", remote=bench.serve_script(repository, before=before))
    assert verdict.state is State.FAILED
    assert type(verdict.error) is kind
    assert verdict.error is not None
    assert quoted in verdict.error.detail
    assert verdict.error.facts["host"] == "backup-host"


def test_a_repository_of_somebody_else_is_out_of_reach(bench: Bench) -> None:
    mine, other = bench.repository("mine"), bench.repository("other", base="base2")
    verdict, _ = bench.create(other, "one", remote=bench.serve_script(mine), prove=False)
    assert isinstance(verdict.error, e.AccessRefused)


def test_the_passphrase_is_asked_of_nobody(bench: Bench) -> None:
    """Cases 36 and 41: wrong or lost on the way, it ends at once and names the reason."""
    repository = bench.repository()
    for passphrase, kind in (
        ("wrong", e.PassphraseWrong),
        ("", e.PassphraseWrong),
        (PASSPHRASE.strip(), e.PassphraseWrong),
    ):
        started = time.monotonic()
        verdict, _ = bench.create(repository, "one", passphrase=passphrase, base=f"b{len(passphrase)}", prove=False)
        assert time.monotonic() - started < 15
        assert isinstance(verdict.error, kind)


def test_a_full_disk(bench: Bench) -> None:
    """Case 24: failed, nothing recorded, older archives there, the next run possible after space is freed."""
    small = bench.root / "small"
    small.mkdir()
    assert os.system(f"mount -t tmpfs -o size=24m tmpfs {small}") == 0
    try:
        repository = bench.repository("small/repo")
        (bench.source / "a").write_bytes(os.urandom(1_000_000))
        assert bench.create(repository, "before")[0].state is State.SUCCESS
        (bench.source / "b").write_bytes(os.urandom(60_000_000))
        for remote in ("", bench.serve_script(repository)):
            verdict, _ = bench.create(repository, "full", remote=remote, base=f"base{len(remote)}")
            assert verdict.state is State.FAILED
            assert isinstance(verdict.error, e.DiskFull)
            assert "No space left on device" in verdict.error.detail
            assert "SSH_ORIGINAL" not in verdict.error.detail
            assert verdict.archive is None
        assert [fact.name for fact in repository.list_archives()] == ["before"]
        (bench.source / "b").unlink()
        # What the last run left half-written fills the disk; it can be given back without a new disk.
        assert os.statvfs(small).f_bavail * 4096 < 2_000_000
        repository.drop_unfinished()
        assert os.statvfs(small).f_bavail * 4096 > 20_000_000
        assert os.system(f"mount -o remount,size=900m {small}") == 0
        assert bench.create(repository, "after")[0].state is State.SUCCESS
    finally:
        os.system(f"umount {small}")


def test_the_lock_of_another_host_is_named(bench: Bench) -> None:
    repository = bench.repository()
    folder = Path(repository.path, "lock.exclusive")
    folder.mkdir()
    (folder / "elsewhere.example@123.4242-0").touch()
    verdict, _ = bench.create(repository, "one")
    assert verdict.state is State.FAILED
    assert isinstance(verdict.error, e.LockBusy)
    with pytest.raises(e.LockBusy, match=r"elsewhere\.example@123 \(process 4242\)"):
        repository._run(("/bin/sh", "-c", "exit 73"))
    assert repository.lock_state().foreign[0].host == "elsewhere.example@123"
    assert in_repository(repository, "one") is None  # the proof does not need the lock
    assert len(repository.break_lock().foreign) == 1
    assert bench.create(repository, "one")[0].state is State.SUCCESS


def test_borg_and_we_name_this_host_alike(bench: Bench) -> None:
    """A lock that the server's `borg serve` takes on this host is recognised as ours."""
    repository = bench.repository()
    seen: set[str] = set()
    for number in range(30):
        (bench.source / f"{number}").write_bytes(os.urandom(1_000_000))
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen.update(holder.host for holder in repository.lock_state().alive)
            time.sleep(0.01)

    thread = in_background(watch)
    bench.create(repository, "one", remote=bench.serve_script(repository))
    stop.set()
    thread.join()
    assert seen == {locks.host_id()}


def test_progress_of_a_real_run_never_falls(bench: Bench) -> None:
    repository = bench.repository()
    for number in range(300):
        (bench.source / f"{number}").write_bytes(os.urandom(30_000))
    (bench.source / "a}b.txt").write_text("x")
    verdict, report = bench.create(repository, "one", list_files=True)
    assert verdict.result is not None
    assert report.files_listed == 302
    assert report.progress.nfiles is not None
    assert report.progress.nfiles <= verdict.result.nfiles == 301


def test_excludes_mean_what_they_say(bench: Bench) -> None:
    repository = bench.repository()
    for name in ("keep", "cache/x", "deep/er/skip.iso", "-rf"):
        path = bench.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    excludes = (f"{bench.source}/cache", "sh:**/*.iso", f"{bench.source}/-rf")
    verdict, _ = bench.create(repository, "one", excludes=excludes)
    assert verdict.result is not None
    assert verdict.result.nfiles == 1
    assert verdict.state is State.SUCCESS
