"""Servers that answer `statistics` from a list of the test's: the way to them is faked, rows and tasks are real."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from servers.models import Server

GB = 10**9
Answer = dict[str, Any] | Exception | Callable[[Any], dict[str, Any]]


def answer(uptime: float = 1000.0, busy: float = 0.25, received: int = 0, **more: Any) -> dict[str, Any]:
    """What a healthy server says after so many seconds of running."""
    ticks = int(uptime * 100)
    root = {"target": "/", "fstype": "ext4", "device": "/dev/vda1", "size_bytes": 100 * GB, "used_bytes": 40 * GB}
    root |= {"available_bytes": 55 * GB, "inodes": 1000, "inodes_free": 900, "problem": None}
    return {
        "schema": 1,
        "uptime_seconds": uptime,
        "load": [0.5, 0.4, 0.3],
        "cpus": 4,
        "cpu": {"idle": int(ticks * (1 - busy)), "iowait": 0, "total": ticks},
        "cpu_share": busy,
        "memory": {"total_bytes": 8 * GB, "available_bytes": 5 * GB, "swap_total_bytes": GB, "swap_free_bytes": GB},
        "filesystems": [root],
        "network": [{"name": "eth0", "received_bytes": received, "sent_bytes": received // 2}],
        **more,
    }


@dataclass
class Answers:
    """`answers.say["web"] = answer(…)` or an exception or a function of the stop; all others answer well."""

    say: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    most_at_once: int = 0
    most_of_one: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._now: defaultdict[str, int] = defaultdict(int)

    def host_for(self, server: Server) -> Any:
        return _Host(self, server.name)

    def call(self, name: str, stop: Any) -> dict[str, Any]:
        with self._lock:
            self.asked.append(name)
            self._now[name] += 1
            self.most_at_once = max(self.most_at_once, sum(self._now.values()))
            self.most_of_one = max(self.most_of_one, self._now[name])
        try:
            said = self.say.get(name) or answer()
            if isinstance(said, Exception):
                raise said
            return said(stop) if callable(said) else said
        finally:
            with self._lock:
                self._now[name] -= 1


@dataclass
class _Host:
    answers: Answers
    name: str

    def call(self, verb: str, *, timeout: float, stop: Any, most_bytes: int) -> dict[str, Any]:
        assert (verb, timeout) == ("statistics", 20)
        return self.answers.call(self.name, stop)


def make_servers(*names: str, state: str = "ready") -> list[Server]:
    """Rows of servers that are set up."""
    rows = [
        Server(name=name, address=f"{name}.example.org", host_key="ssh-ed25519 AAAA", state=state) for name in names
    ]
    return Server.objects.bulk_create(rows)
