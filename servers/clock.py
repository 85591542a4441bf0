"""What the clock does for servers: have their statistics gathered, summed up, and forgotten in time."""

from __future__ import annotations

from phpborg.scheduling import clock
from servers.services import statistics, statistics_keeping


@clock.every(180)
def gather_statistics() -> bool:
    """One task for all who are due by now: a fifth of the fleet, since each has its place in the quarter."""
    return statistics.request_due()


@clock.every(60)
def keep_statistics() -> int:
    """Each server's last hour is summed up once an hour: a batch a minute, and nothing when all are done."""
    return statistics_keeping.sum_up() + statistics_keeping.forget()
