"""Which charts the statistics of a server make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _

from phpborg.ui import format as words
from phpborg.ui.chart import Chart, Line, Mark
from servers.services.statistics_history import History
from servers.statistics.downsample import Point, Value
from servers.statistics.sample import Filesystem, Reading

Take = Callable[[Point], Value | None]
# Removable disks come and go; a page has an end.
MOST_GONE = 12


@dataclass(frozen=True)
class FilesystemChart:
    """One filesystem: as it was seen last (None: no longer there), and how full it was."""

    target: str
    now: Filesystem | None
    chart: Chart


def overview(history: History, last: Reading | None) -> list[Chart]:
    """CPU, load, memory and network."""
    cpus = last.cpus if last else None
    total = last.memory.total_bytes if last else None
    return [
        _chart(history, _("CPU"), [(_("Busy"), _plain("cpu_share"))], words.percent, top=1.0),
        _chart(
            history,
            _("Load"),
            [(_("1 minute"), _plain("load1")), (_("15 minutes"), _plain("load15"))],
            lambda value: words.number(value, 2 if 0 < value < 1 else 1),
            limit=(_("CPUs"), float(cpus)) if cpus else None,
        ),
        _chart(
            history,
            _("Memory"),
            [
                (_("In use"), _used("memory_total_bytes", "memory_available_bytes")),
                (_("Swap in use"), _used("swap_total_bytes", "swap_free_bytes")),
            ],
            words.byte_size,
            limit=(_("Memory of the server"), float(total)) if total else None,
        ),
        _chart(
            history,
            _("Network"),
            [(_("Received"), _plain("received")), (_("Sent"), _plain("sent"))],
            words.bit_rate,
            unit=1 / 8,
        ),
    ]


def filesystems(history: History, last: Reading | None) -> list[FilesystemChart]:
    """Every filesystem that is there, and the last ones that are gone but were there in this time."""
    now = {one.target: one for one in last.filesystems} if last else {}
    gone: dict[str, None] = {}
    for point in reversed(history.points):
        gone |= dict.fromkeys(target for _name, target in point.values if target and target not in now)
        if len(gone) >= MOST_GONE:
            break
    return [
        FilesystemChart(
            target,
            now.get(target),
            _chart(history, target, [(_("In use"), _share_of(target))], words.percent, top=1.0),
        )
        for target in sorted([*now, *list(gone)[:MOST_GONE]])
    ]


def _chart(
    history: History,
    title: str,
    lines: list[tuple[str, Take]],
    render: Callable[[float], str],
    *,
    top: float | None = None,
    unit: float = 1.0,
    limit: tuple[str, float] | None = None,
) -> Chart:
    return Chart(
        title=title,
        lines=tuple(Line(label, list(_marks(history, take))) for label, take in lines),
        since=history.since,
        until=history.until,
        step_seconds=history.step_seconds,
        table_seconds=history.table_seconds,
        render=render,
        top=top,
        unit=unit,
        limit=limit,
    )


def _marks(history: History, take: Take) -> Iterator[Mark]:
    for point in history.points:
        value = take(point)
        if value is not None:
            yield Mark(point.at.timestamp() + history.half_step, value.mean, value.low, value.high)


def _plain(name: str) -> Take:
    return lambda point: point.values.get((name, ""))


def _used(whole: str, left: str) -> Take:
    """What is taken of a whole: most where least is left."""

    def take(point: Point) -> Value | None:
        total, free = point.values.get((whole, "")), point.values.get((left, ""))
        if total is None or free is None:
            return None
        return Value(*(max(total.mean - one, 0.0) for one in (free.mean, free.high, free.low)))

    return take


def _share_of(target: str) -> Take:
    """How full a filesystem is, as `df` says it: of what is used and available, without what is kept for root."""

    def take(point: Point) -> Value | None:
        used, left = point.values.get(("used_bytes", target)), point.values.get(("available_bytes", target))
        if used is None or left is None or used.mean + left.mean <= 0:
            return None
        whole = used.mean + left.mean
        return Value(*(min(one / whole, 1.0) for one in (used.mean, used.low, used.high)))

    return take
