"""The helper is killed, or the machine loses its power, while containers keep still: `remove` brings all of it back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from phpborg.errors import PhpBorgError
from servers import errors
from tests.dockers.backing import Backup, inspected, quiet, run, status, volumes
from tests.dockers.fixtures_backup import backup, backup_engine, engine, here, place
from tests.support import own_image
from tests.support.bridged import Bridged
from tests.support.sshd import descendants, wait_until

__all__ = ["backup", "backup_engine", "engine", "here", "place"]
pytestmark = [pytest.mark.real, pytest.mark.chaos]
LOCAL = ("volume", "create", "--driver", "local", "--opt", "type=tmpfs", "--opt", "device=tmpfs")


def helpers() -> list[int]:
    """Our own processes of the helper, not their guards: these end what it had begun."""
    found = []
    for pid in descendants(os.getpid()):
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"phpborg-remote" in words:
                found.append(pid)
    return found


def killed_while(backup: Backup, reached: Callable[[], object], **plan: Any) -> None:
    """`make` in the background; once `reached` is true all of its processes are killed."""
    ended: list[BaseException] = []

    def make() -> None:
        try:
            backup.make(**plan)
        except PhpBorgError as error:
            ended.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    try:
        wait_until(reached, 60, "it was not reached")
        for pid in helpers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    finally:
        thread.join(60)
    assert ended, "it had ended before it was killed"


@pytest.fixture
def dumping(engine: Bridged, place: Path) -> Iterator[Callable[[], bool]]:
    """The container "db", whose fake of pg_dumpall never ends; says whether it has begun."""
    program = place / "image/usr/bin/pg_dumpall"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho begun > /place/begun\nexec sleep 3600\n")
    program.chmod(0o755)
    programs = ("/bin/sh", "/bin/sleep")
    image = own_image.build(engine, "phpborg-test/slow:1", str(program), *programs, moved=(str(place / "image"), ""))
    engine.docker(
        *("run", "--detach", "--name", "db", "--network", "none"),
        *("--mount", f"type=bind,source={place},target=/place", image, "sleep", "3600"),
    )
    return (place / "begun").exists


DUMP = [{"container": "db", "engine": "postgresql"}]


@pytest.mark.parametrize(("how", "still"), [("pause", "paused"), ("stop", "exited")])
def test_killed_while_containers_keep_still(backup: Backup, engine, dumping, how, still):
    """Case 111."""
    for name in ("one", "two"):
        run(engine, name)
    engine.docker(*LOCAL, "memory")
    run(engine, "was-stopped")
    engine.docker("stop", "was-stopped")
    before = volumes(engine)
    asked = [quiet(name, how) for name in ("one", "two", "was-stopped")]
    killed_while(backup, dumping, quiesce=asked, dumps=DUMP, volumes=["memory"], paths=["/"])
    assert [status(engine, name) for name in ("one", "two")] == [still, still]
    assert engine.docker("ps", "--quiet", "--filter", f"label=phpborg.docker={backup.token}").stdout
    backup.remove()
    assert [status(engine, name) for name in ("one", "two", "was-stopped")] == ["running", "running", "exited"]
    backup.is_gone()
    assert volumes(engine) == before


def test_killed_while_a_container_still_ends(backup: Backup, engine, place: Path):
    """The engine goes on with what it was told: found running, it would be stopped a moment later."""
    script = "trap 'while ! test -e /place/go; do sleep 0.1; done; exit 0' TERM; while :; do sleep 0.1; done"
    run(engine, "next")
    mount = ("--mount", f"type=bind,source={place},target=/place")
    # Started later, it is stopped first.
    run(engine, "slow", "--stop-timeout", "60", *mount, argv=("/bin/sh", "-c", script))
    state = backup.kept / "state.json"

    def begun() -> bool:
        return state.exists() and '"begun": true' in state.read_text()

    killed_while(backup, begun, quiesce=[quiet("slow", "stop"), quiet("next", "stop")])
    assert status(engine, "slow") == "running"
    engine.docker("stop", "next")  # somebody else does it: we had not begun with this one
    remover = threading.Thread(target=backup.remove)
    remover.start()
    remover.join(3)
    (place / "go").touch()
    remover.join(120)
    time.sleep(2)
    assert [status(engine, name) for name in ("slow", "next")] == ["running", "exited"]
    assert inspected(engine, "slow")["State"]["FinishedAt"] > "2000"


def test_killed_at_its_very_beginning_it_leaves_nothing(backup: Backup, engine):
    run(engine, "app")
    killed_while(backup, backup.kept.exists, quiesce=[quiet("app", "stop")], containers=["app"])
    backup.remove()
    assert status(engine, "app") == "running"
    backup.is_gone()


def test_removed_twice_at_once_is_removed_once(backup: Backup, engine):
    for name in ("one", "two", "three"):
        run(engine, name)
    backup.make(quiesce=[quiet(name, "stop") for name in ("one", "two", "three")])
    problems: list[Exception] = []

    def remove() -> None:
        try:
            backup.remove()
        except PhpBorgError as error:
            problems.append(error)

    both = [threading.Thread(target=remove) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(120)
    assert problems == []
    assert [status(engine, name) for name in ("one", "two", "three")] == ["running"] * 3
    backup.is_gone()


def power_cut(engine: Bridged) -> None:
    """The engine and all that it runs is gone at once."""
    inside = []
    for name in engine.docker("ps", "--quiet").stdout.split():
        inside.append(int(inspected(engine, name)["State"]["Pid"]))
    pid = engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    for one in inside:
        with suppress(OSError):  # some end with the engine
            os.kill(one, signal.SIGKILL)
            thaw(one)
    wait_until(lambda: gone(engine), 60, "the engine's processes do not end")


def thaw(pid: int) -> None:
    """A process of a paused container ends only once it is let go on."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, kinds, group = line.split(":", 2)
        if kinds == "freezer":
            Path(f"/sys/fs/cgroup/freezer{group}/freezer.state").write_text("THAWED")
        elif not kinds:
            for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
                with suppress(OSError):
                    Path(f"{top}{group}/cgroup.freeze").write_text("0")


def gone(engine: Bridged) -> bool:
    try:
        return not engine._end_all()
    except FileNotFoundError:  # groups of engines of others come and go
        return False


def forgotten(token: str) -> None:
    """What lies in memory is gone."""
    view = f"/run/phpborg/snapshot-{token}"
    subprocess.run(["umount", f"{view}/view"], check=True)
    shutil.rmtree(view)


@pytest.mark.parametrize("how", ["pause", "stop"])
def test_after_a_power_cut_all_is_brought_back(backup: Backup, engine, how):
    run(engine, "plain")
    run(engine, "always", "--restart", "always")
    run(engine, "unless", "--restart", "unless-stopped")
    run(engine, "was-stopped")
    engine.docker("stop", "was-stopped")
    engine.docker(*LOCAL, "memory")
    names = ("plain", "always", "unless", "was-stopped")
    backup.make(quiesce=[quiet(name, how) for name in names], volumes=["memory"], paths=["/"])
    assert backup.state()["valid"] is True
    power_cut(engine)
    forgotten(backup.token)
    engine.start()
    assert backup.state()["valid"] is False
    backup.remove()
    assert {name: status(engine, name) for name in names} == {
        "plain": "running", "always": "running", "unless": "running", "was-stopped": "exited"
    }  # fmt: skip
    backup.is_gone()


def test_while_the_engine_is_away_it_is_told_what_is_owed_and_later_all_comes_back(backup: Backup, engine):
    run(engine, "app")
    backup.make(quiesce=[quiet("app", "stop")])
    power_cut(engine)
    with pytest.raises(errors.DockerAway, match="to be brought back: app"):
        backup.remove()
    assert not (backup.kept / "made").exists()  # no secret lies about meanwhile
    engine.start()
    backup.remove()
    assert status(engine, "app") == "running"
