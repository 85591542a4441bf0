"""The worker for tasks that live long and mostly wait: it starts each in a process of its own and waits for none.

An Instant Recovery session is such a task: it runs for as long as people use the database. A worker for each would
limit how many there can be; a thread for each would end all with one fault.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any

from django.db import connections

from phpborg.tasks.leases import process_started_at
from phpborg.tasks.worker import Worker


class Keeper(Worker):
    """RQ's worker, which forks as ever but goes on at once. The kernel takes away what has ended.

    A horse that is killed is found by the clock, as the one of a killed worker is.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._horses: dict[int, str] = {}

    def work(self, *args: Any, **kwargs: Any) -> bool:
        """Until told to stop, and then until every horse has ended."""
        before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        try:
            return bool(super().work(*args, **kwargs))
        finally:
            self._wait_for_all()
            signal.signal(signal.SIGCHLD, before)

    def execute_job(self, job: Any, queue: Any) -> None:
        """Start it, and take the next one."""
        # The horse must not inherit an open connection.
        connections.close_all()
        self.prepare_execution(job)
        self.fork_work_horse(job, queue)
        self._horses = {pid: started for pid, started in self._horses.items() if process_started_at(pid) == started}
        self._horses[self.horse_pid] = process_started_at(self.horse_pid)
        self._horse_pid = 0

    def main_work_horse(self, job: Any, queue: Any) -> None:
        # What it starts itself it wants to wait for.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        super().main_work_horse(job, queue)

    def request_stop(self, signum: int, frame: Any) -> None:
        for pid, started in self._horses.items():
            if started and process_started_at(pid) == started:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        super().request_stop(signum, frame)

    @staticmethod
    def _wait_for_all() -> None:
        """With SIGCHLD ignored this returns, by an error, when the last child has ended."""
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
