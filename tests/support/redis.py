"""A Redis of the test's own, on a private unix socket; stopped by its process id."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import django_rq.settings
import pytest
import redis
from django.conf import settings as django_settings

from phpborg.tasks import live, progress


class RedisServer:
    """One redis-server process that can be stopped, frozen and started again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        argv = ["redis-server", "--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.directory)]
        self.process = subprocess.Popen(
            [*argv, "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                self.client().ping()
                return
            except redis.RedisError:
                time.sleep(0.02)
        raise RuntimeError("redis-server does not answer")

    def client(self) -> redis.Redis:
        """A connection of its own."""
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def flush(self) -> None:
        """Forget everything."""
        self.client().flushall()

    def freeze(self) -> None:
        """It accepts connections and never answers."""
        assert self.process
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It answers again."""
        assert self.process
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End this very process."""
        if self.process is None:
            return
        os.kill(self.process.pid, signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def restart(self) -> None:
        """Gone and back, empty."""
        self.stop()
        self.start()


@pytest.fixture
def redis_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """A running Redis that this process's queue, progress and screens use."""
    directory = Path(tempfile.mkdtemp(prefix="phpborg-redis-"))
    server = RedisServer(directory)
    server.start()
    monkeypatch.setattr(django_settings, "REDIS_URL", server.url)
    for name in django_rq.settings.QUEUES:
        monkeypatch.setitem(django_rq.settings.QUEUES, name, {"URL": server.url, "DEFAULT_TIMEOUT": -1})
    progress.connection.cache_clear()
    monkeypatch.setattr(live, "_quiet_until", 0.0)
    monkeypatch.setattr(progress, "_quiet_until", 0.0)
    try:
        yield server
    finally:
        server.stop()
        progress.connection.cache_clear()
        shutil.rmtree(directory, ignore_errors=True)
