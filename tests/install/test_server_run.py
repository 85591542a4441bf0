"""script/server as processes: it comes up, mends itself, stays alone, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.real
HOME = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Running:
    """One script/server with a var/ of its own."""

    def __init__(self, var: Path, port: int) -> None:
        self.var, self.port = var, port
        self.log = var.parent / f"server-{port}.txt"
        self.process = self.start(port)

    def start(self, port: int) -> subprocess.Popen:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PHPBORG_", "SECRET_KEY"))}
        kept.pop("DJANGO_SETTINGS_MODULE", None)
        with self.log.open("w") as file:
            return subprocess.Popen(
                [HOME / "script/server", "--port", str(port)],
                env={**kept, "PHPBORG_VAR": str(self.var)},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + 120
        while f"answers at http://127.0.0.1:{self.port}/" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.2)

    def supervised(self) -> dict[str, int]:
        """Process ids by name, as Supervisor tells them."""
        socket_file = f"unix://{self.var}/run/supervisor.sock"
        argv = [HOME / ".venv/bin/python", "-m", "supervisor.supervisorctl", "-s", socket_file, "status"]
        lines = subprocess.run(argv, capture_output=True, text=True, timeout=30).stdout.splitlines()
        return {line.split()[0]: int(line.split()[3].rstrip(",")) for line in lines if "RUNNING" in line}

    def below(self) -> set[int]:
        """Every process that has this var/ in its environment."""
        found, mark = set(), f"PHPBORG_VAR={self.var}".encode()
        for entry in os.listdir("/proc"):
            with suppress(OSError):
                if entry.isdigit() and mark in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    found.add(int(entry))
        return found


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    made = Running(tmp_path_factory.mktemp("server") / "var", free_port())
    try:
        made.wait_until_up()
        yield made
    finally:
        made.process.kill()
        made.process.wait()
        for pid in made.below():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def wait_for(condition, seconds: float):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
    return value


def test_the_whole_crew_runs(running):
    wanted = {"redis", "web", "clock", "workers:worker-quick-0", "workers:worker-system-0", "workers:worker-restore-0"}
    wanted |= {
        "workers:worker-backup-0",
        "workers:worker-backup-1",
        "workers:worker-sessions-0",
        "workers:worker-proofs-0",
    }
    wait_for(lambda: wanted == set(running.supervised()), 30)
    with urllib.request.urlopen(f"http://127.0.0.1:{running.port}/healthz", timeout=10) as answer:
        assert answer.read() == b"ok\n"


def test_everything_below_var_is_private(running):
    assert running.var.stat().st_mode & 0o777 == 0o700
    for name in ("secret-key", "encryption-key"):
        assert (running.var / name).stat().st_mode & 0o777 == 0o600


def test_a_second_server_says_where_the_first_one_is(running):
    second = subprocess.run(
        [HOME / "script/server", "--port", str(free_port())],
        env={**os.environ, "PHPBORG_VAR": str(running.var)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 1
    assert f"already running: http://127.0.0.1:{running.port}" in second.stderr


@pytest.mark.parametrize("name", ["workers:worker-quick-0", "redis", "clock"])
def test_a_killed_process_comes_back(running, name):
    before = wait_for(lambda: running.supervised().get(name), 30)
    os.kill(before, signal.SIGKILL)
    assert wait_for(lambda: (pid := running.supervised().get(name)) and pid != before and pid, 30)


def test_a_stop_leaves_no_process_and_no_socket(running):
    assert running.below()
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(90) == 0
    assert running.below() == set()
    assert [file.name for file in (running.var / "run").iterdir() if file.is_socket()] == []


def test_the_next_start_is_quick_and_a_killed_server_takes_everything_along(running):
    running.port = free_port()
    began = time.monotonic()
    running.process = running.start(running.port)
    running.wait_until_up()
    assert time.monotonic() - began < 60
    running.process.kill()
    running.process.wait()
    wait_for(lambda: running.below() == set(), 60)
