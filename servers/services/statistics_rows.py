"""Rows of samples, from readings and from points, and back to points."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from servers.models import Sample, Sampling, Server
from servers.statistics.downsample import Key, Point, Value
from servers.statistics.rates import Rates
from servers.statistics.sample import MOST_FILESYSTEMS, Reading, parse

BYTES = ("memory_total_bytes", "memory_available_bytes", "swap_total_bytes", "swap_free_bytes")
COLUMNS = ("cpu_share", "load1", "load5", "load15", *BYTES, "received", "sent", "uptime_seconds")


def fine(server: Server, at: datetime, reading: Reading, rates: Rates) -> Sample:
    """The row of one look."""
    memory, (load1, load5, load15) = reading.memory, reading.load
    return Sample(
        server=server,
        resolution=Sample.Resolution.FINE,
        taken_at=at.replace(microsecond=0),
        cpu_share=rates.cpu_share,
        load1=load1,
        load5=load5,
        load15=load15,
        memory_total_bytes=memory.total_bytes,
        memory_available_bytes=memory.available_bytes,
        swap_total_bytes=memory.swap_total_bytes,
        swap_free_bytes=memory.swap_free_bytes,
        received=rates.received,
        sent=rates.sent,
        uptime_seconds=reading.uptime_seconds,
        filesystems={
            one.target: [getattr(one, name) for name in Sample.FILESYSTEM_NUMBERS] for one in reading.filesystems
        },
    )


def last_reading(row: Sampling | None) -> Reading | None:
    """The reading that the last look left; None before the first, and when this version cannot read it."""
    if row is None or not row.last:
        return None
    try:
        return parse(row.last)
    except ValueError:
        return None


def summed(server: UUID, resolution: Sample.Resolution, point: Point) -> Sample:
    """The row of an hour or a day."""
    row = Sample(server_id=server, resolution=resolution, taken_at=point.at)
    for name in COLUMNS:
        value = point.values.get((name, ""))
        if value is not None:
            setattr(row, name, round(value.mean) if name in BYTES else value.mean)
            row.ranges[name] = [value.low, value.high]
    # A server that invents new names with each look fills no rows.
    for target in sorted({target for _name, target in point.values if target})[:MOST_FILESYSTEMS]:
        row.filesystems[target] = [_three(point.values.get((name, target))) for name in Sample.FILESYSTEM_NUMBERS]
    return row


def _three(value: Value | None) -> list[int] | None:
    return None if value is None else [round(value.mean), round(value.low), round(value.high)]


def points(rows: Iterable[dict[str, Any]], numbers: Collection[str] = Sample.FILESYSTEM_NUMBERS) -> list[Point]:
    """Points from rows as `values(*FIELDS)` gives them; of the filesystems only these numbers."""
    wanted = [(place, name) for place, name in enumerate(Sample.FILESYSTEM_NUMBERS) if name in numbers]
    return [Point(row["taken_at"], _values(row, wanted)) for row in rows]


FIELDS = ("taken_at", *COLUMNS, "filesystems", "ranges")


def _values(row: dict[str, Any], wanted: list[tuple[int, str]]) -> dict[Key, Value]:
    known: dict[Key, Value] = {}
    for name in COLUMNS:
        if row[name] is not None:
            low, high = row["ranges"].get(name, (row[name], row[name]))
            known[name, ""] = Value(row[name], low, high)
    for target, numbers in row["filesystems"].items():
        for at, name in wanted:
            if (number := numbers[at]) is not None:
                known[name, target] = Value(*number) if isinstance(number, list) else Value.of(number)
    return known
