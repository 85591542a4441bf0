"""Our RQ worker: a stop of the service reaches the running task, a killed horse is recorded at once."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import time
from contextlib import suppress
from typing import Any

import redis
from django.db import connections
from rq import Worker as RqWorker
from rq import worker_registration

from phpborg.tasks import reaper

log = logging.getLogger(__name__)
# RQ's default of seven minutes would keep a dead worker on the workers page for as long.
SIGN_OF_LIFE_SECONDS = 45
PR_SET_PDEATHSIG = 1


class Worker(RqWorker):  # type: ignore[misc]
    """RQ's worker with four habits of ours.

    RQ waits for its horse when told to stop; we tell the horse too, so that borg ends with a
    checkpoint. RQ gives up when Redis goes away under a running job; we go on, because the row and
    not Redis is the truth. RQ forgets a killed horse; we record the task as lost. RQ forgets itself
    when Redis is emptied; we register again.
    """

    def __init__(self, *args: Any, worker_ttl: int | None = None, **kwargs: Any) -> None:
        kwargs["worker_ttl"] = min(worker_ttl or SIGN_OF_LIFE_SECONDS, SIGN_OF_LIFE_SECONDS)
        super().__init__(*args, **kwargs)

    def main_work_horse(self, job: Any, queue: Any) -> None:
        # Killed with -9, the worker takes its horse along: as SIGTERM, so that the task ends in order.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != self.pid:
            os._exit(1)
        super().main_work_horse(job, queue)

    def request_stop(self, signum: int, frame: Any) -> None:
        horse = self.horse_pid
        if horse:
            self._stop_requested = True
            with suppress(ProcessLookupError):
                os.kill(horse, signal.SIGTERM)
        try:
            super().request_stop(signum, frame)  # type: ignore[no-untyped-call]
        except redis.RedisError as error:
            log.warning("stopping while Redis is away: %s", error)

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        super().heartbeat(timeout, pipeline)
        if pipeline is None and self.birth_date and not self.connection.hexists(self.key, "birth"):
            self.connection.hset(self.key, mapping=self.serialize())
            worker_registration.register(self)

    def monitor_work_horse(self, job: Any, queue: Any, execution: Any) -> None:
        horse = self.horse_pid
        try:
            super().monitor_work_horse(job, queue, execution)
        except (redis.RedisError, OSError) as error:
            log.warning("Redis is away while %s runs: %s", job.id, error)
            self._wait_for(horse)
        finally:
            self._record_killed(job.id)

    def maintain_heartbeats(self, job: Any, execution: Any) -> None:
        try:
            super().maintain_heartbeats(job, execution)
        except (redis.RedisError, OSError) as error:
            log.warning("Redis is away while %s runs: %s", job.id, error)

    def _wait_for(self, horse: int) -> None:
        """Until the horse has ended, whatever Redis does."""
        while horse:
            try:
                os.waitpid(horse, 0)
                break
            except ChildProcessError:
                break
            except (redis.RedisError, InterruptedError):  # a stop was asked for meanwhile
                time.sleep(0.1)
        self._horse_pid = 0

    @staticmethod
    def _record_killed(task_id: str) -> None:
        """The horse has ended: a row that still says "running" by it is lost."""
        try:
            reaper.mark_lost_by_id(task_id)
        except Exception:
            log.exception("the killed horse of %s is left to the clock", task_id)
        finally:
            # The next horse is forked from here: it must not inherit an open connection.
            connections.close_all()
