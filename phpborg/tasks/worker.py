"""Our RQ worker: a stop of the service reaches the running task, a killed horse is recorded at once."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import suppress
from typing import Any

import redis
from django.db import connections
from rq import Worker as RqWorker

from phpborg.tasks import reaper

log = logging.getLogger(__name__)


class Worker(RqWorker):  # type: ignore[misc]
    """RQ's worker with three habits of ours.

    RQ waits for its horse when told to stop; we tell the horse too, so that borg ends with a
    checkpoint. RQ gives up when Redis goes away under a running job; we go on, because the row and
    not Redis is the truth. RQ forgets a killed horse; we record the task as lost.
    """

    def main_work_horse(self, *args: Any, **kwargs: Any) -> None:
        os.environ["PHPBORG_WORK_HORSE"] = "1"
        super().main_work_horse(*args, **kwargs)

    def request_stop(self, signum: int, frame: Any) -> None:
        horse = self.horse_pid
        if horse:
            with suppress(ProcessLookupError):
                os.kill(horse, signal.SIGTERM)
        super().request_stop(signum, frame)

    def maintain_heartbeats(self, job: Any) -> None:
        try:
            super().maintain_heartbeats(job)
        except (redis.RedisError, OSError) as error:
            log.warning("Redis is away while %s runs: %s", job.id, error)

    def handle_work_horse_killed(self, job: Any, retpid: int, ret_val: int, rusage: Any) -> None:
        connections.close_all()
        try:
            reaper.mark_lost_by_id(job.id)
        except Exception:
            log.exception("the killed horse of %s is left to the clock", job.id)
        with suppress(redis.RedisError, OSError):
            super().handle_work_horse_killed(job, retpid, ret_val, rusage)
