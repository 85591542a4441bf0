"""The statistics of one server as its page and the shell show them, in three queries whatever the time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from servers.models import Sample, Sampling, Server
from servers.services import statistics_rows
from servers.statistics import downsample
from servers.statistics.downsample import DAY, HOUR, Point
from servers.statistics.places import PERIOD_SECONDS


class Span(models.TextChoices):
    """How far back one looks."""

    DAY = "24h", _("24 hours")
    WEEK = "7d", _("7 days")
    QUARTER = "90d", _("90 days")
    YEAR = "1y", _("1 year")


@dataclass(frozen=True)
class _Shape:
    """How a span is shown: how long it is, what is read, the distance of its points, a row of its table."""

    length: timedelta
    resolution: Sample.Resolution
    step_seconds: int
    table_seconds: int


_SHAPES = {
    Span.DAY: _Shape(timedelta(days=1), Sample.Resolution.FINE, PERIOD_SECONDS, HOUR),
    Span.WEEK: _Shape(timedelta(days=7), Sample.Resolution.HOUR, HOUR, 6 * HOUR),
    # 2160 hours are more than a screen has room for.
    Span.QUARTER: _Shape(timedelta(days=90), Sample.Resolution.HOUR, 6 * HOUR, 3 * DAY),
    Span.YEAR: _Shape(timedelta(days=365), Sample.Resolution.DAY, DAY, 14 * DAY),
}
# Of each filesystem; the rest of its numbers is shown as it is now.
CHARTED = ("used_bytes", "available_bytes")
_SECONDS = {Sample.Resolution.HOUR: HOUR, Sample.Resolution.DAY: DAY}


@dataclass(frozen=True)
class History:
    """Points from `since` to `until`; those of stretches carry the moment of their beginning."""

    span: Span
    since: datetime
    until: datetime
    step_seconds: int
    table_seconds: int
    points: list[Point]

    @property
    def half_step(self) -> float:
        """Seconds from the beginning of a stretch to its middle, where it is drawn; a look is a moment."""
        return 0.0 if self.span is Span.DAY else self.step_seconds / 2


def span_of(text: str) -> Span:
    """The span of this word; a wrong word is the last day."""
    return Span(text) if text in Span.values else Span.DAY


def sampling_of(server: Server) -> Sampling | None:
    """How its statistics are gathered; None before the first attempt."""
    return Sampling.objects.filter(server=server).first()


def newest(server: Server) -> Sample | None:
    """The last look, with its rates."""
    return Sample.objects.filter(server=server, resolution=Sample.Resolution.FINE).order_by("-taken_at").first()


def as_json(server: Server) -> dict[str, Any]:
    """The figures of now and how they are gathered, for the shell: what is not known is null."""
    sampling, sample = sampling_of(server), newest(server)
    last = statistics_rows.last_reading(sampling)
    return {
        "server": server.name,
        "sampled_at": sampling.sampled_at.isoformat() if sampling and sampling.sampled_at else None,
        "next_at": sampling.due_at.isoformat() if sampling else None,
        "error_code": sampling.error_code if sampling else "",
        "cpus": last.cpus if last else None,
        **{name: getattr(sample, name, None) for name in statistics_rows.COLUMNS},
        "filesystems": [asdict(one) for one in last.filesystems] if last else [],
    }


def history(server: Server, span: Span, sampling: Sampling | None, now: datetime | None = None) -> History:
    """The points of a span; what is not summed up yet is summed up here, so that charts reach to now."""
    shape, until = _SHAPES[span], now or timezone.now()
    since = until - shape.length
    points = _read(server, shape.resolution, since)
    seconds = _SECONDS.get(shape.resolution)
    if seconds is not None:
        if sampling is not None and sampling.summed_until is not None:
            rest = max(since, downsample.floor(sampling.summed_until, seconds))
            points += downsample.fold(_read(server, Sample.Resolution.FINE, rest), seconds)
        if seconds != shape.step_seconds:
            points = downsample.fold(points, shape.step_seconds)
    return History(span, since, until, shape.step_seconds, shape.table_seconds, points)


def _read(server: Server, resolution: Sample.Resolution, since: datetime) -> list[Point]:
    rows = Sample.objects.filter(server=server, resolution=resolution, taken_at__gte=since).order_by("taken_at")
    return statistics_rows.points(rows.values(*statistics_rows.FIELDS), CHARTED)
