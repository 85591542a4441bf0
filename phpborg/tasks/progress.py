"""Progress of a running task: merged, never replaced; in Redis for an hour; rates from a sliding window."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections import deque
from functools import lru_cache
from typing import Any

import redis
from django.conf import settings

log = logging.getLogger(__name__)

KEEP_SECONDS, QUIET_SECONDS = 3600, 5.0
_quiet_until = 0.0
COUNTERS = ("files", "original_bytes", "compressed_bytes", "deduplicated_bytes")


@lru_cache(maxsize=1)
def connection() -> redis.Redis:
    """The Redis of queue and progress; short time limits, because nothing here is worth waiting for."""
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2)


def _key(task_id: uuid.UUID | str) -> str:
    return f"phpborg:progress:{task_id}"


def store(task_id: uuid.UUID | str, progress: dict[str, Any]) -> None:
    """Keep the newest progress for an hour; a missing Redis loses nothing that matters.

    After a failure nothing is stored for a while: a Redis that hangs must not slow the task down.
    """
    global _quiet_until
    if time.monotonic() < _quiet_until:
        return
    try:
        connection().set(_key(task_id), json.dumps(progress), ex=KEEP_SECONDS)
    except (redis.RedisError, OSError) as error:
        _quiet_until = time.monotonic() + QUIET_SECONDS
        log.debug("progress not stored: %s", error)


def load(task_id: uuid.UUID | str) -> dict[str, Any]:
    """The newest progress, or {} when there is none."""
    try:
        raw = connection().get(_key(task_id))
    except (redis.RedisError, OSError):
        return {}
    return json.loads(raw) if raw else {}  # type: ignore[arg-type]


def load_many(task_ids: list[uuid.UUID]) -> dict[str, dict[str, Any]]:
    """The newest progress of several tasks in one round trip."""
    if not task_ids:
        return {}
    try:
        values = connection().mget([_key(pk) for pk in task_ids])
    except (redis.RedisError, OSError):
        return {}
    return {str(pk): json.loads(raw) for pk, raw in zip(task_ids, values, strict=True) if raw}  # type: ignore[arg-type]


class Meter:
    """Rates and expectations from a growing byte counter.

    `expected_bytes` is what the last good run read, None when unknown: then share and remaining time
    are None too, never invented. Rates are bytes per second.
    """

    WINDOW_SECONDS = 10.0

    def __init__(self, expected_bytes: int | None = None) -> None:
        self.expected_bytes = expected_bytes or None
        self.started = time.monotonic()
        self.points: deque[tuple[float, int]] = deque([(self.started, 0)])

    def measure(self, done_bytes: int, *, now: float | None = None) -> dict[str, Any]:
        """`rate_now`, `rate_average`, `expected_bytes`, `share` (0…0.99), `remaining_seconds`."""
        now = time.monotonic() if now is None else now
        self.points.append((now, done_bytes))
        while len(self.points) > 2 and now - self.points[0][0] > self.WINDOW_SECONDS:
            self.points.popleft()
        first_at, first = self.points[0]
        span, total = now - first_at, now - self.started
        rate_now = (done_bytes - first) / span if span > 0.2 else None
        average = done_bytes / total if total > 0.2 else None
        share = remaining = None
        if self.expected_bytes and done_bytes <= self.expected_bytes * 1.02:
            share = min(done_bytes / self.expected_bytes, 0.99)
            pace = rate_now or average
            if pace and total > 2:
                remaining = max(self.expected_bytes - done_bytes, 0) / pace
        return {
            "rate_now": rate_now,
            "rate_average": average,
            "expected_bytes": self.expected_bytes,
            "share": share,
            "remaining_seconds": remaining,
        }


def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`old` updated by `new`; a counter never falls."""
    merged = {**old, **new}
    for name in COUNTERS:
        if old.get(name) is not None and (merged.get(name) is None or merged[name] < old[name]):
            merged[name] = old[name]
    return merged
