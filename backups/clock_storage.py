"""What the clock does for storage: look at the pools each hour, measure each repository once a day."""

from __future__ import annotations

from backups.services import key_guard, maintenance
from phpborg.scheduling import clock


@clock.every(600)
def analyse_pools() -> int:
    """Queue what is due; a pool is analysed about once an hour, however often the clock is restarted."""
    return maintenance.analyse_due()


@clock.every(900)
def measure_repositories() -> int:
    """Queue what is due; a repository that a backup measured today is not."""
    return maintenance.measure_due()


@clock.every(600)
def guard_keys() -> int:
    """A key that a server replaced is put back, also when none of its runs is on."""
    return key_guard.check_all()
