"""When a server is asked: each at its own place in the quarter of an hour, so that they do not all come at once."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from servers.statistics.downsample import floor

PERIOD_SECONDS = 900
# Whoever was asked out of turn (new, by hand, late) is not asked again at once.
LEAST_SECONDS = 450
# A server that is away is asked less often, at last once an hour: each question may cost a time-out.
MOST_PERIODS = 4


def place(server: UUID) -> int:
    """Seconds after each quarter of an hour. Ids are random, so the places are even."""
    return server.int % PERIOD_SECONDS


def next_due(server: UUID, after: datetime, failures: int = 0) -> datetime:
    """The next moment of a server's place, 8 to 23 minutes later; after failures in a row some periods more."""
    due = floor(after, PERIOD_SECONDS) + timedelta(seconds=place(server))
    while due < after + timedelta(seconds=LEAST_SECONDS):
        due += timedelta(seconds=PERIOD_SECONDS)
    return due + timedelta(seconds=PERIOD_SECONDS * (min(max(failures, 1), MOST_PERIODS) - 1))
