"""What the clock does for backups: start the jobs whose time has come."""

from __future__ import annotations

import logging

from django.db import transaction
from django.utils import timezone

from backups import clock_storage  # noqa: F401  (registers what storage needs)
from backups.services import runs, schedules
from phpborg.errors import PhpBorgError
from phpborg.scheduling import clock

log = logging.getLogger(__name__)


@clock.every(0)
def start_due() -> int:
    """Start each due job once, missed runs included once. A row that cannot be read stops no other.

    Answers how many were taken.
    """
    now = timezone.now()
    taken = 0
    for schedule in schedules.due(now):
        try:
            # Together, so that a crash in between neither loses the run nor starts it twice.
            with transaction.atomic():
                if schedules.claim(schedule, now):
                    runs.start_scheduled(schedule.job)
                    taken += 1
        except PhpBorgError as error:
            log.warning("schedule of job %s: %s", schedule.job_id, error)
            schedules.put_aside(schedule)
        except Exception:
            log.exception("schedule of job %s", schedule.job_id)
    return taken
