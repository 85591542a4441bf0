"""Real worker processes: `manage.py rqworker` against the test's database file and Redis."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from phpborg.tasks.leases import process_started_at
from tests.support.redis import RedisServer

HOME = settings.BASE_DIR


def wait_until(true: Callable[[], object], seconds: float = 20, what: str = "") -> None:
    """Wait for a condition; fails with `what` after `seconds`."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, what or "waited too long"
        time.sleep(0.05)


def children_of(pid: int) -> list[int]:
    """Living children of a process."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, IndexError):
            state, parent = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(entry))
    return found


def environment(redis_url: str) -> dict[str, str]:
    """What a process of the product needs to share this test's database, Redis and var/."""
    database = connection.settings_dict["NAME"]
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.support.worker_settings",
        "PHPBORG_VAR": str(settings.VAR_DIR),
        "SECRET_KEY": settings.SECRET_KEY,
        "DATABASE_URL": f"sqlite:///{database}",
        "REDIS_URL": redis_url,
        "PYTHONPATH": str(HOME),
    }


class WorkerProcess:
    """One worker; `pid` is the worker's, `horses()` are its children that run a task."""

    def __init__(
        self, queues: tuple[str, ...], redis_url: str, log: Path, extra: dict[str, str], words: tuple[str, ...] = ()
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(HOME / "manage.py"), "rqworker", "--skip-checks", *words, *queues],
                env={**environment(redis_url), **extra},
                cwd=HOME,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_until(lambda: b"istening on" in log.read_bytes(), 30, "the worker does not start")

    @property
    def pid(self) -> int:
        return self.process.pid

    def horses(self) -> list[int]:
        """The processes that run a task."""
        return children_of(self.pid)

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """As the kernel does when memory is short."""
        self.process.kill()
        self.process.wait()

    def terminate(self, seconds: float = 20) -> int:
        """As a stop of the service does."""
        self.process.terminate()
        return self.process.wait(seconds)

    def end(self) -> None:
        """At the end of a test: nothing of it stays."""
        horses = {pid: process_started_at(pid) for pid in self.horses()}
        if self.is_alive():
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        if self.is_alive():
            self.kill()
        for pid, started in horses.items():
            if started and process_started_at(pid) == started:
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def worker(transactional_db: None, redis_server: RedisServer, tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """`worker("backup", "quick")` starts a real worker for these queues; all are ended with the test."""
    started: list[WorkerProcess] = []

    def start(*queues: str, **extra: str) -> WorkerProcess:
        log = tmp_path / f"worker-{len(started)}.log"
        one = WorkerProcess(queues or tuple(settings.QUEUES), redis_server.url, log, extra)
        started.append(one)
        return one

    yield start
    for one in started:
        one.end()


@pytest.fixture
def keeper(transactional_db: None, redis_server: RedisServer, tmp_path: Path) -> Iterator[WorkerProcess]:
    """The worker of the queue "sessions", which starts a process for each task and waits for none."""
    words = ("--worker-class", "phpborg.tasks.keeper.Keeper")
    one = WorkerProcess(("sessions",), redis_server.url, tmp_path / "keeper.log", {}, words)
    yield one
    one.end()
