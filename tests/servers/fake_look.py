"""A machine that is made up: its processes, and tools that answer from a table."""

from __future__ import annotations

from typing import Any

from servers.remote.probes.base import Look, Process, Ran

# No process has such a number.
PID = 2**22 + 1


def process(*argv: str, pid: int = PID, uid: int = 26, contained: bool = False) -> Process:
    return Process(pid, uid, list(argv), argv[0], contained)


class FakeLook(Look):
    """A machine with these processes, and with tools that answer from a table by their names."""

    def __init__(self, *processes: Process, tools: dict[str, Ran] | None = None, given: Any = None) -> None:
        super().__init__(given or {})
        self._processes = list(processes)
        self.tools = tools or {}
        self.asked: list[list[str]] = []

    def find(self, name: str, *directories: str) -> str | None:
        return "/usr/bin/" + name if name in self.tools else None

    def run(self, argv: Any, **more: Any) -> Ran:
        self.asked.append(list(argv))
        return self.tools.get(argv[0].rpartition("/")[2], Ran(None, "", "not installed"))
