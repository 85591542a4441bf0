"""A repository on this host, with real borg (cases B, I 138)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backups import errors as e
from backups.borg import argv, locks
from backups.borg.argv import CreateOptions
from backups.borg.outcome import State
from backups.borg.repository import BorgRepository
from backups.borg.runner import borg_version
from phpborg.errors import InvalidInput, PhpBorgError
from tests.borg.support import PASSPHRASE, Bench
from tests.support.archives import in_repository

pytestmark = pytest.mark.real

ODD_NAMES = [
    "a::b", " lead", "trail ", "q'uote", '"d"', "new\nline", "x{now}", "x{{now}}", "}{", "-rf", "--force", "*",
    "[ab]", "a?", "né", "日本", "a:b", ":c", "c:", "$HOME `id`", "\\", "n" * 200, "::", "a b\tc",
]  # fmt: skip


def names(repository: BorgRepository) -> list[str]:
    return [fact.name for fact in repository.list_archives(include_checkpoints=True)]


@pytest.mark.parametrize("mode", ["repokey-blake2", "repokey", "authenticated-blake2", "authenticated", "none"])
def test_every_mode_and_an_awkward_passphrase(bench: Bench, mode: str) -> None:
    """Cases 36, 38, 41: init, list, create, check, key export — and by hand with the very same passphrase."""
    passphrase = "" if mode == "none" else PASSPHRASE
    repository = bench.repository("re po", encryption=mode, passphrase=passphrase)
    assert len(repository.repository_id) == 64
    assert repository.identity().encryption == mode
    verdict, _ = bench.create(repository, "one", passphrase=passphrase)
    assert verdict.state is State.SUCCESS
    assert repository.check("data").ok
    if mode == "none":
        with pytest.raises(InvalidInput):
            repository.export_key()
    else:
        assert repository.export_key().startswith(f"BORG_KEY {repository.repository_id}")
        assert "BORG PAPER KEY" in repository.export_key("paper")
    by_hand = subprocess.run(
        [bench.binary, "list", "--short", repository.path],
        env={**os.environ, "BORG_PASSPHRASE": passphrase, "BORG_BASE_DIR": str(bench.root / "base"), "TZ": "UTC"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert (by_hand.returncode, by_hand.stdout) == (0, "one\n")


def test_passphrases(bench: Bench) -> None:
    """Each opens what it made, and only exactly it does."""
    for number, passphrase in enumerate(["$HOME `id`", "a'b\"c\\", " lead trail ", "%n%s", "日本", "-x"]):
        repository = bench.repository(f"r{number}", passphrase=passphrase)
        with pytest.raises(e.PassphraseWrong):
            bench.repository(f"r{number}", passphrase=passphrase.strip() + "x", base="other", init=False).identity()
        assert repository.identity().id == repository.repository_id


def test_wrong_and_missing_passphrases_end_at_once(bench: Bench) -> None:
    """Case 36."""
    bench.repository()
    for passphrase in ("wrong", ""):
        started = time.monotonic()
        with pytest.raises((e.PassphraseWrong, e.PassphraseMissing)):
            bench.repository(passphrase=passphrase, base="x", init=False).identity()
        assert time.monotonic() - started < 15


def test_every_name_that_borg_accepts(bench: Bench) -> None:
    """Case 28: backup, find, info, list and delete, one by one and together."""
    repository = bench.repository(encryption="none", passphrase="")
    for name in ODD_NAMES:
        verdict, _ = bench.create(repository, name, passphrase="")
        assert verdict.state is State.SUCCESS, name
        assert verdict.archive is not None
        assert verdict.archive.name == name
    assert names(repository) == ODD_NAMES
    assert repository.info("x{now}").name == "x{now}"
    assert in_repository(repository, "a") is None
    assert in_repository(repository, "[ab") is None
    kept = ["x{{now}}", "né", "::"]
    gone = repository.delete([*(name for name in ODD_NAMES if name not in kept), "never there", "*"])
    assert gone.missing == ("never there",)
    assert names(repository) == kept
    assert repository.delete(kept).names == tuple(kept)
    assert names(repository) == []


def test_an_init_that_fails_leaves_nothing(bench: Bench) -> None:
    with pytest.raises(InvalidInput):
        bench.repository("a", passphrase="")
    with pytest.raises(e.RepositoryMissing):
        bench.repository("no/parent")
    bench.repository("taken")
    with pytest.raises(e.RepositoryExists):
        bench.repository("taken")
    (bench.root / "empty").mkdir()
    broken = bench.repository("new", init=False)
    broken._access = type(broken._access)("/bin/false", broken.mode.value, PASSPHRASE, bench.root / "b")
    broken.binary = "/bin/false"
    with pytest.raises(PhpBorgError):
        broken.init()
    assert not Path(broken.path).exists()
    half = bench.root / "half-borg"
    half.write_text(f'#!/bin/sh\n[ "$1" = init ] && exec {bench.binary} "$@"\nexit 2\n')
    half.chmod(0o755)
    for name in ("new2", "empty"):
        broken = BorgRepository(
            str(bench.root / name), encryption="repokey", passphrase="x", base_dir=bench.root / "c", binary=str(half)
        )
        with pytest.raises(e.BorgError):
            broken.init()
    assert not (bench.root / "new2").exists()
    assert list((bench.root / "empty").iterdir()) == []
    assert bench.repository("empty").repository_id


def test_no_borg_there(bench: Bench) -> None:
    for program in ("/no/such/borg", "/etc/passwd"):
        lost = BorgRepository(
            str(bench.root / "r"), encryption="none", passphrase="", base_dir=bench.root / "b", binary=program
        )
        with pytest.raises(e.BorgMissing):
            lost.init()
        with pytest.raises(e.BorgMissing):
            borg_version(program)
    assert borg_version(bench.binary).is_supported


def test_an_unknown_unencrypted_repository(bench: Bench) -> None:
    """Case 17: works when declared, is refused when not, and never waits."""
    bench.repository(encryption="none", passphrase="")
    started = time.monotonic()
    declared = bench.repository(encryption="none", passphrase="", base="fresh", init=False)
    assert declared.identity().encryption == "none"
    with pytest.raises(e.UnknownUnencrypted):
        bench.repository(encryption="repokey", passphrase="x", base="fresh2", init=False).identity()
    assert time.monotonic() - started < 10


def test_a_moved_repository_is_named_and_confirmed_once(bench: Bench) -> None:
    """Case 19."""
    old = bench.repository("r1")
    other = bench.repository("r2")
    os.rename(old.path, bench.root / "r1moved")
    moved = bench.repository("r1moved", repository_id=old.repository_id, init=False)
    with pytest.raises(e.RepositoryRelocated) as caught:
        moved.identity()
    assert caught.value.facts == {"old": str(bench.root / "r1"), "new": str(bench.root / "r1moved")}
    confirmed = bench.repository("r1moved", repository_id=old.repository_id, init=False, relocated_ok=True)
    assert confirmed.identity().id == old.repository_id
    assert moved.identity().id == old.repository_id
    os.rename(other.path, bench.root / "r2moved")
    with pytest.raises(e.RepositoryRelocated):
        bench.repository("r2moved", init=False).identity()


def test_break_lock_is_refused_while_the_holder_lives(bench: Bench) -> None:
    """Case 22."""
    repository = bench.repository()
    for number in range(40):
        (bench.source / f"{number}").write_bytes(os.urandom(1_000_000))
    thread = threading.Thread(target=lambda: bench.create(repository, "one"))
    thread.start()
    deadline = time.monotonic() + 20
    while not repository.lock_state().alive and time.monotonic() < deadline:
        time.sleep(0.005)
    with pytest.raises(e.LockBusy, match="process"):
        repository.break_lock()
    assert locks.clear_dead(Path(repository.path)) == ()
    thread.join()
    assert names(repository) == ["one"]


def test_dead_locks_are_cleared(bench: Bench) -> None:
    """Case 20, from our side."""
    repository = bench.repository()
    child = subprocess.Popen(
        [bench.binary, "with-lock", repository.path, "sleep", "600"],
        env={**os.environ, "BORG_PASSPHRASE": PASSPHRASE, "BORG_BASE_DIR": str(bench.root / "base")},
    )
    deadline = time.monotonic() + 20
    while not repository.lock_state().alive and time.monotonic() < deadline:
        time.sleep(0.01)
    grandchildren = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    child.kill()
    child.wait()
    for pid in grandchildren:
        os.kill(int(pid), 9)
    assert repository.lock_state().dead
    assert locks.clear_dead(Path(repository.path))
    assert repository.lock_state().holders == ()
    assert not list(Path(repository.path).glob("lock.*"))


def test_checkpoints_are_no_restore_points(bench: Bench) -> None:
    """Case 30."""
    repository = bench.repository()
    bench.create(repository, "j-5.checkpoint")
    bench.create(repository, "j-5")
    assert [fact.name for fact in repository.list_archives()] == ["j-5"]
    assert names(repository) == ["j-5.checkpoint", "j-5"]
    assert repository.delete(["j-5.checkpoint"]).names == ("j-5.checkpoint",)


def test_a_copy_has_the_same_identity_and_another_repository_has_not(bench: Bench) -> None:
    """Case 31, and the pin: nothing is told to a repository that was swapped."""
    first, second = bench.repository("r4"), bench.repository("other")
    shutil.copytree(first.path, bench.root / "r4copy")
    copy = bench.repository("r4copy", base="base2", init=False)
    assert copy.identity().id == first.repository_id
    shutil.rmtree(first.path)
    os.rename(second.path, first.path)
    with pytest.raises(e.RepositoryIdentityChanged) as caught:
        first.proof()
    assert caught.value.facts == {"expected": first.repository_id, "found": second.repository_id}


def test_a_changed_encryption_is_an_alarm(bench: Bench) -> None:
    bench.repository(encryption="repokey")
    pinned = bench.repository(encryption="repokey-blake2", init=False)
    with pytest.raises(e.EncryptionChanged) as caught:
        pinned.identity()
    assert caught.value.facts == {"expected": "repokey-blake2", "found": "repokey"}
    assert pinned.identity(pinned=False).encryption == "repokey"


@pytest.mark.parametrize("mode", ["repokey-blake2", "none"])
def test_a_rolled_back_repository(bench: Bench, mode: str) -> None:
    """Case 32: explained, and the security directory is kept."""
    passphrase = "" if mode == "none" else PASSPHRASE
    repository = bench.repository(encryption=mode, passphrase=passphrase)
    bench.create(repository, "one", passphrase=passphrase, base="base")
    shutil.copytree(repository.path, bench.root / "old")
    bench.create(repository, "two", passphrase=passphrase, base="base")
    shutil.rmtree(repository.path)
    os.rename(bench.root / "old", repository.path)
    verdict, _ = bench.create(repository, "three", passphrase=passphrase, base="base", prove=False)
    assert isinstance(verdict.error, e.RepositoryReplay)
    assert list((bench.root / "base/.config/borg/security").iterdir())
    with pytest.raises(e.RepositoryReplay):
        repository.list_archives()


def test_archives_removed_by_hand(bench: Bench) -> None:
    """Case 34."""
    repository = bench.repository(encryption="none", passphrase="")
    bench.create(repository, "one", passphrase="")
    subprocess.run([bench.binary, "delete", f"{repository.path}::one"], check=True,
                   env={**os.environ, "BORG_BASE_DIR": str(bench.root / "base")})  # fmt: skip
    assert in_repository(repository, "one") is None
    with pytest.raises(e.ArchiveMissing, match="one"):
        repository.info("one")


def test_what_is_missing_or_broken_is_named(bench: Bench) -> None:
    repository = bench.repository("r")
    data = Path(repository.path, "data/0")
    bench.create(repository, "one")
    segment = max(data.iterdir(), key=lambda path: path.stat().st_size)
    raw = bytearray(segment.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    segment.write_bytes(raw)
    checked = repository.check("repository")
    assert not checked.ok
    assert checked.problems
    shutil.rmtree(repository.path)
    with pytest.raises(e.RepositoryMissing):
        repository.list_archives()
    Path(repository.path).mkdir()
    with pytest.raises(e.RepositoryNotBorg):
        repository.list_archives()


def test_times_are_the_same_instant_everywhere(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 138: a server in Los Angeles and the backup host agree."""
    repository = bench.repository()
    before = datetime.now(UTC) - timedelta(seconds=2)
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    verdict, _ = bench.create(repository, "one", remote=bench.serve_script(repository))
    assert verdict.result is not None
    assert verdict.archive is not None
    for moment in (verdict.result.started_at, verdict.archive.started_at, repository.info("one").started_at):
        assert before <= moment <= datetime.now(UTC)


def test_a_stop_ends_a_maintenance_command(bench: Bench) -> None:
    class Now:
        def is_set(self) -> bool:
            return True

    repository = bench.repository()
    with pytest.raises(e.Interrupted):
        repository.check("data", stop=Now())
    assert repository.lock_state().alive == ()


PARSER = """
import json, sys
from borg.archiver import Archiver
archiver = Archiver()
for line in sys.stdin:
    try:
        args = archiver.parse_args(json.loads(line)[1:])
        found = {key: getattr(args, key, None) for key in ("name", "archives", "paths", "mountpoint", "comment")}
        found.update(func=args.func.__name__, path=args.location.path, archive=args.location.archive)
        found["exclude"] = [str(pattern.val) for pattern in getattr(args, "patterns", [])]
    except BaseException as error:
        found = {"error": repr(error)}
    print(json.dumps(found, default=str), flush=True)
"""

_text = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30)
_name = st.one_of(_text, st.sampled_from(ODD_NAMES)).filter(lambda name: "/" not in name)


def test_borgs_own_parser_understands_us(binary: str) -> None:
    """Whatever a name or a path holds, borg reads exactly that, and nothing as an option."""
    first_line = Path(binary).read_text().splitlines()[0]
    interpreter = first_line.removeprefix("#!").split()[0] if first_line.startswith("#!") else sys.executable
    child = subprocess.Popen([interpreter, "-c", PARSER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin
    assert child.stdout
    streams = (child.stdin, child.stdout)

    def parsed(command: argv.Argv) -> dict[str, object]:
        streams[0].write(json.dumps([os.fsdecode(word) for word in command]) + "\n")
        streams[0].flush()
        return dict(json.loads(streams[1].readline()))

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(name=_name, other=_name, path=_text.filter(lambda text: ".." not in text), comment=_text)
    def check(name: str, other: str, path: str, comment: str) -> None:
        made = parsed(argv.create(binary, "/r p", name, CreateOptions((b"/" + path.encode(),), comment=comment)))
        assert (made["path"], made["archive"], made["paths"]) == ("/r p", name, ["/" + path])
        assert made["comment"] == comment
        assert parsed(argv.info(binary, "/r{x}", name))["path"] == "/r{x}"
        mounted = parsed(argv.mount(binary, "/r", name, f"/m/{path}"))
        assert (mounted["archive"], mounted["mountpoint"]) == (name, f"/m/{path}")
        if not argv.needs_own_command(other):
            gone = parsed(argv.delete(binary, "/r", [name, other]))
            assert (gone["func"], gone["archive"], gone["archives"]) == ("do_delete", name, [other])
        gone = parsed(argv.delete(binary, "/r", [name]))
        assert (gone["func"], gone["archive"], gone["archives"]) == ("do_delete", name, [])

    try:
        check()
    finally:
        child.stdin.close()
        child.wait(30)
