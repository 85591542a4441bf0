"""The tick: whatever has to be done again and again, each part alone, so that one failure stops nothing.

An app registers its periodic work in its own `clock` module::

    @clock.every(60)
    def close_idle_sessions() -> None: ...

Two clocks may tick at once: what is registered claims its work by conditional updates.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.db import DatabaseError
from django.utils import timezone
from django.utils.module_loading import autodiscover_modules

from phpborg.tasks import reaper
from phpborg.ui.models import Installation

log = logging.getLogger(__name__)
Work = Callable[[], object]


@dataclass
class _Periodic:
    work: Work
    seconds: float
    last: float | None = None

    @property
    def name(self) -> str:
        return f"{self.work.__module__}.{getattr(self.work, '__qualname__', self.work)}"


_registered: dict[str, _Periodic] = {}


def every(seconds: float) -> Callable[[Work], Work]:
    """Run the function below with the tick, at most once in so many seconds (0: with each tick)."""

    def register(work: Work) -> Work:
        entry = _Periodic(work, seconds)
        _registered[entry.name] = entry
        return work

    return register


def load() -> list[str]:
    """Import the `clock` module of every app; answers the names of what is registered."""
    autodiscover_modules("clock")
    return sorted(_registered)


def tick(*, now: float | None = None) -> list[str]:
    """Do all that is due; answers the names of the parts that failed."""
    load()
    now = time.monotonic() if now is None else now
    failed = []
    for entry in list(_registered.values()):
        if entry.last is not None and now - entry.last < entry.seconds:
            continue
        entry.last = now
        try:
            entry.work()
        except Exception:
            log.exception("clock: %s failed", entry.name)
            failed.append(entry.name)
    _sign()
    return failed


def _sign() -> None:
    """Leave the time of this tick, so that a dead clock is seen on the dashboard."""
    try:
        Installation.load()
        Installation.objects.filter(pk=1).update(clock_at=timezone.now())
    except DatabaseError:
        log.exception("clock: the database is away")


every(0)(reaper.sweep)
