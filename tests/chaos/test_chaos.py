"""Things break in the middle of a backup. Each time: the right state, nothing left, and the next run succeeds."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from backups import errors as e
from servers import errors as server_errors
from tests.chaos.conftest import make_source
from tests.support.estate import Estate
from tests.support.product import eventually
from tests.support.sshd import descendants

pytestmark = pytest.mark.chaos
WORKERS = {"worker-backup-1": ("backup",), "worker-backup-2": ("backup",), "worker-restore": ("restore", "backup")}


@pytest.fixture(autouse=True)
def fresh_and_clean_again(estate: Estate) -> Iterator[None]:
    """Before: new data to send. After: nothing is left on either side, and a backup works."""
    make_source(estate.sources[0])
    yield
    estate.is_clean(120)
    again = estate.run("quick")
    assert again["state"] == "success", again


def transferring(estate: Estate) -> str:
    """A backup that is in the middle of its transfer; its task."""
    task = estate.start("slow")
    eventually(lambda: estate.task(task)["progress"].get("original_bytes"), 60, "nothing is transferred")
    return task


def horse_of(estate: Estate) -> tuple[str, int]:
    """The worker that runs the backup, and its work-horse."""
    for name in WORKERS:
        below = [pid for pid in descendants(estate.product.processes[name].pid) if _is_horse(pid)]
        if below:
            return name, below[0]
    raise AssertionError("no worker runs a task")


def _is_horse(pid: int) -> bool:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return b"rqworker" in file.read()


def borg_serves(estate: Estate) -> list[int]:
    """The `borg serve` processes of our repository."""
    found = []
    for pid in estate.processes():
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            if b"\0serve\0" in file.read():
                found.append(pid)
    return found


def test_kill_9_of_the_work_horse(estate: Estate) -> None:
    task = transferring(estate)
    _worker, horse = horse_of(estate)
    os.kill(horse, signal.SIGKILL)
    ended = estate.wait(task, 120)
    assert (ended["state"], ended["error"]["code"]) == ("lost", "TSK-01")


def test_kill_9_of_the_whole_worker(estate: Estate) -> None:
    task = transferring(estate)
    name, horse = horse_of(estate)
    estate.product.end(name, signal.SIGKILL)
    ended = estate.wait(task, 120)
    assert ended["state"] in ("failed", "lost"), ended
    eventually(lambda: not os.path.exists(f"/proc/{horse}"), 60, "the work-horse lives on")
    estate.product.start_worker(name.removeprefix("worker-"), WORKERS[name])


def test_kill_9_of_borg_serve(estate: Estate) -> None:
    """The connection to the repository breaks; the run is tried again by itself and goes on from the checkpoint."""
    task = transferring(estate)
    serves = borg_serves(estate)
    assert serves, "nobody serves the repository"
    for serve in serves:
        os.kill(serve, signal.SIGKILL)
    ended = estate.wait(task, 180)
    assert ended["state"] in ("success", "failed"), ended
    if ended["state"] == "success":
        assert ended["result"]["attempts"] == 2
    else:
        assert ended["error"]["code"] in {e.ConnectionLost.code, e.Killed.code, server_errors.ConnectionLost.code}


def test_a_server_that_falls_silent(estate: Estate) -> None:
    """SIGSTOP of sshd's processes: as a network that swallows everything."""
    task = transferring(estate)
    frozen = [pid for pid in estate.one.children() if _is_sshd(pid)]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        estate.product.manage("task", "cancel", task)
        ended = estate.wait(task, 120)
        assert ended["state"] == "cancelled", ended
    finally:
        for pid in frozen:
            if os.path.exists(f"/proc/{pid}"):
                os.kill(pid, signal.SIGCONT)


def test_a_silent_server_ends_the_run_by_itself(estate: Estate) -> None:
    task = transferring(estate)
    assert estate.one.process is not None
    frozen = [estate.one.process.pid, *(pid for pid in estate.one.children() if _is_sshd(pid))]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        ended = estate.wait(task, 120)
        assert ended["state"] == "failed", ended
        assert ended["error"]["code"].startswith(("SSH", "BRG")), ended["error"]
    finally:
        for pid in frozen:
            if os.path.exists(f"/proc/{pid}"):
                os.kill(pid, signal.SIGCONT)


def _is_sshd(pid: int) -> bool:
    with open(f"/proc/{pid}/comm", "rb") as file:
        return file.read().startswith(b"sshd")


def test_redis_restarts_empty_in_the_middle(estate: Estate) -> None:
    task = transferring(estate)
    waiting = estate.start("quick")
    estate.product.end("redis", signal.SIGKILL)
    time.sleep(3)
    estate.product.start_redis()
    assert estate.wait(task, 120)["state"] == "success"
    assert estate.wait(waiting, 120)["state"] == "success"


def test_the_disk_is_full(estate: Estate) -> None:
    """The pool's filesystem runs out of space: said so, older archives fine, next run possible after freeing."""
    filler = estate.pool.parent / "filler"
    estate.run("quick")
    before = estate.product.manage_json("archives")
    free = os.statvfs(estate.pool)
    assert free.f_bavail
    with Full(estate) as small:
        ended = small.run()
        assert (ended["state"], ended["error"]["code"]) == ("failed", "BRG-15"), ended
        assert not small.archives()
        small.free()
        assert small.run(small=True)["state"] == "success"
    assert estate.product.manage_json("archives", "--repository", "main")[: len(before)] == before
    assert not filler.exists()


@pytest.mark.parametrize("moment", ["waiting", "transferring", "committing"])
def test_cancel(estate: Estate, moment: str) -> None:
    if moment == "waiting":
        first = transferring(estate)
        task = estate.start("quick")
        eventually(lambda: estate.task(task)["state"] == "blocked", 30, "it does not wait for the repository")
    else:
        first, task = "", transferring(estate)
    if moment == "committing":
        eventually(lambda: _late(estate, task), 90, "it never comes near its end")
    asked = time.monotonic()
    estate.product.manage("task", "cancel", task, check=False)
    ended = estate.wait(task, 60)
    assert time.monotonic() - asked < 60
    if moment == "committing":
        # Whatever was faster: a complete archive is recorded, an incomplete one does not exist.
        assert ended["state"] in ("cancelled", "success", "notes"), ended
        names = [row["name"] for row in estate.product.manage_json("archives")]
        made = ended["result"].get("archive_name")
        assert made is None or made in names
    else:
        assert ended["state"] == "cancelled", ended
    if first:
        assert estate.wait(first, 120)["state"] == "success"


def _late(estate: Estate, task: str) -> bool:
    now = estate.task(task)
    return now["state"] != "running" or now["progress"].get("original_bytes", 0) >= 29_000_000


class Full:
    """A repository on a filesystem of 24 MB, with its own job."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.place = estate.product.root / "small"

    def __enter__(self) -> Full:
        self.place.mkdir()
        os.spawnlp(os.P_WAIT, "mount", "mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(self.place))
        self.estate.product.python(
            "from backups.services import pools, repositories\n"
            f"pool = pools.create_pool(name='small', path={str(self.place / 'pool')!r})\n"
            "repositories.create_repository(pool=pool, name='small', passphrase='small')"
        )
        source = self.estate.sources[0]
        for name, path in (("fills", source), ("fits", source / "small")):
            self.estate.product.manage(
                "job", "create", name, "--server", "one", "--repository", "small", "--path", str(path)
            )
        return self

    def run(self, *, small: bool = False) -> dict[str, object]:
        return self.estate.run("fits" if small else "fills")

    def archives(self) -> list[object]:
        return list(self.estate.product.manage_json("archives", "--repository", "small"))

    def free(self) -> None:
        """As an administrator does: more room."""
        os.spawnlp(os.P_WAIT, "mount", "mount", "-o", "remount,size=200m", str(self.place))

    def __exit__(self, *_: object) -> None:
        self.estate.product.python(
            "from backups.models import *\n"
            "BackupJob.objects.filter(repository__name='small').delete()\n"
            "Repository.objects.filter(name='small').delete()\n"
            "StoragePool.objects.filter(name='small').delete()"
        )
        os.spawnlp(os.P_WAIT, "umount", "umount", str(self.place))
