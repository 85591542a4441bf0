"""Fine samples become hours and days; each goes when its time has passed. In batches: the clock must not wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from django.db import transaction
from django.db.models import Min
from django.utils import timezone

from servers.models import Sample, Sampling
from servers.services import statistics_rows
from servers.statistics import downsample
from servers.statistics.downsample import DAY, HOUR

KEEP = {
    Sample.Resolution.FINE: timedelta(days=7),
    Sample.Resolution.HOUR: timedelta(days=90),
    Sample.Resolution.DAY: timedelta(days=400),
}
# The last samples of an hour may still be on their way when it ends.
SETTLED = timedelta(minutes=15)
SERVERS_A_BATCH, ROWS_A_BATCH = 25, 2000


def sum_up(now: datetime | None = None) -> int:
    """The hours and days that have ended, for one batch of servers; answers how many servers were done.

    Both are made of fine samples, so that a day is as exact as an hour. Done twice, it changes nothing.
    """
    until = downsample.floor((now or timezone.now()) - SETTLED, HOUR)
    behind = Sampling.objects.filter(summed_until__lt=until).order_by("summed_until")
    found = behind.values_list("server_id", "summed_until")[:SERVERS_A_BATCH]
    batch = {server: since for server, since in found if since is not None}
    if not batch:
        return 0
    # Read and folded before anything is locked: SQLite has one writer, and this may be a week of 25 servers.
    made: list[Sample] = []
    for server, looks in groupby(_fine_rows(batch, until), key=lambda row: row["server_id"]):
        points = statistics_rows.points(looks)
        made += _summed(server, points, HOUR, batch[server], until)
        made += _summed(server, points, DAY, batch[server], until)
    with transaction.atomic():
        known = set(Sampling.objects.filter(server__in=batch).values_list("server_id", flat=True))
        made = [row for row in made if row.server_id in known]
        Sample.objects.bulk_create(made, ignore_conflicts=True, batch_size=200)
        Sampling.objects.filter(server__in=batch).update(summed_until=until)
    return len(batch)


def _fine_rows(batch: dict[Any, datetime], until: datetime) -> Any:
    """Of all servers of the batch, by server; from the beginning of the day that is to be summed, if one is."""
    since = min(batch.values())
    if _day(since) < _day(until):
        since = _day(since)
    rows = Sample.objects.filter(
        server__in=batch, resolution=Sample.Resolution.FINE, taken_at__gte=since, taken_at__lt=until
    )
    return rows.order_by("server_id", "taken_at").values("server_id", *statistics_rows.FIELDS)


def _summed(server: Any, points: list[Any], seconds: int, since: datetime, until: datetime) -> list[Sample]:
    """Rows of the stretches that have ended since the last time."""
    since, until = downsample.floor(since, seconds), downsample.floor(until, seconds)
    resolution = Sample.Resolution.HOUR if seconds == HOUR else Sample.Resolution.DAY
    wanted = [point for point in points if since <= point.at < until]
    return [statistics_rows.summed(server, resolution, point) for point in downsample.fold(wanted, seconds)]


def forget(now: datetime | None = None) -> int:
    """Remove a batch of what is too old; fine samples only once their day is summed up. How many rows went."""
    now = now or timezone.now()
    gone = 0
    for resolution, keep in KEEP.items():
        before = now - keep
        if resolution is Sample.Resolution.FINE:
            before = min(before, _day(_summed_everywhere(now)))
        old = Sample.objects.filter(resolution=resolution, taken_at__lt=before).order_by("taken_at")
        chosen = list(old.values_list("pk", flat=True)[: ROWS_A_BATCH - gone])
        gone += Sample.objects.filter(pk__in=chosen).delete()[0] if chosen else 0
    return gone


def _summed_everywhere(now: datetime) -> datetime:
    least: datetime | None = Sampling.objects.aggregate(least=Min("summed_until"))["least"]
    return least or now


def _day(moment: datetime) -> datetime:
    return downsample.floor(moment.astimezone(UTC), DAY)
