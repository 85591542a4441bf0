"""What a server's helper answers to `statistics`, read without trusting it: bounded, and unknown is None."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from phpborg.tasks.text import printable

SCHEMA = 1
# Far above what machines have, and below what a database's whole numbers hold.
MOST = 2**62
MOST_FILESYSTEMS, MOST_INTERFACES, MOST_CPUS = 64, 256, 65_536
NAME_LENGTH, PROBLEM_LENGTH = 255, 200


@dataclass(frozen=True)
class Ticks:
    """Time of all CPUs since the start, in ticks: what was idle (also while waiting for disks), and all of it."""

    idle: int
    total: int


@dataclass(frozen=True)
class Memory:
    """Bytes of memory and swap."""

    total_bytes: int | None = None
    available_bytes: int | None = None
    swap_total_bytes: int | None = None
    swap_free_bytes: int | None = None

    @property
    def used_bytes(self) -> int | None:
        return _less(self.total_bytes, self.available_bytes)

    @property
    def swap_used_bytes(self) -> int | None:
        return _less(self.swap_total_bytes, self.swap_free_bytes)


@dataclass(frozen=True)
class Filesystem:
    """One mounted filesystem; `problem` is why its numbers are not known."""

    target: str
    fstype: str = ""
    device: str = ""
    size_bytes: int | None = None
    used_bytes: int | None = None
    available_bytes: int | None = None
    inodes: int | None = None
    inodes_free: int | None = None
    problem: str = ""

    @property
    def usable_bytes(self) -> int | None:
        """What people can fill: without the part that is kept for root, as `df` counts its percentage."""
        if self.used_bytes is None or self.available_bytes is None:
            return None
        return self.used_bytes + self.available_bytes

    @property
    def inodes_used(self) -> int | None:
        """None also where a filesystem makes them as it needs them and tells 0."""
        return _less(self.inodes, self.inodes_free) if self.inodes else None


@dataclass(frozen=True)
class Interface:
    """One network interface: bytes since it was made."""

    name: str
    received_bytes: int | None = None
    sent_bytes: int | None = None


@dataclass(frozen=True)
class Reading:
    """One look at a server. Counters count since its start; `between` of rates.py makes speeds of them."""

    uptime_seconds: float | None = None
    load: tuple[float | None, float | None, float | None] = (None, None, None)
    cpus: int | None = None
    ticks: Ticks | None = None
    cpu_share: float | None = None  # over the short while that the helper measured, 0…1
    memory: Memory = field(default_factory=Memory)
    filesystems: tuple[Filesystem, ...] = ()
    network: tuple[Interface, ...] = ()

    def as_answer(self) -> dict[str, Any]:
        """As JSON of the same shape, for a row; `parse` reads it back."""
        cpu = {"idle": self.ticks.idle, "iowait": 0, "total": self.ticks.total} if self.ticks else None
        mine = asdict(self)
        del mine["ticks"]
        return {"schema": SCHEMA, **mine, "cpu": cpu}


def parse(answer: Mapping[str, Any]) -> Reading:
    """An answer as a Reading. Raises ValueError for a schema that we do not know; all else is tolerated."""
    if answer.get("schema") != SCHEMA:
        raise ValueError(f"statistics of an unknown schema: {str(answer.get('schema'))[:20]!r}")
    load = [_number(one) for one in _rows(answer.get("load"), 3)] + [None] * 3
    return Reading(
        uptime_seconds=_number(answer.get("uptime_seconds")),
        load=(load[0], load[1], load[2]),
        cpus=_whole(answer.get("cpus"), MOST_CPUS) or None,
        ticks=_ticks(_mapping(answer.get("cpu"))),
        cpu_share=_share(answer.get("cpu_share")),
        memory=_memory(_mapping(answer.get("memory"))),
        filesystems=_filesystems(answer.get("filesystems")),
        network=_interfaces(answer.get("network")),
    )


def _ticks(cpu: Mapping[str, Any]) -> Ticks | None:
    idle, waiting, total = (_whole(cpu.get(name)) for name in ("idle", "iowait", "total"))
    if idle is None or total is None or idle + (waiting or 0) > total:
        return None
    return Ticks(idle + (waiting or 0), total)


def _memory(memory: Mapping[str, Any]) -> Memory:
    total, swap = _whole(memory.get("total_bytes")) or None, _whole(memory.get("swap_total_bytes"))
    return Memory(
        total_bytes=total,
        available_bytes=_within(memory.get("available_bytes"), total),
        swap_total_bytes=swap,
        swap_free_bytes=_within(memory.get("swap_free_bytes"), swap),
    )


def _filesystems(rows: Any) -> tuple[Filesystem, ...]:
    found: dict[str, Filesystem] = {}
    for row in map(_mapping, _rows(rows, MOST_FILESYSTEMS)):
        target = _text(row.get("target"), NAME_LENGTH)
        if not target or target in found:
            continue
        size, inodes = _whole(row.get("size_bytes")), _whole(row.get("inodes"))
        found[target] = Filesystem(
            target=target,
            fstype=_text(row.get("fstype"), 32),
            device=_text(row.get("device"), NAME_LENGTH),
            size_bytes=size,
            used_bytes=_within(row.get("used_bytes"), size),
            available_bytes=_within(row.get("available_bytes"), size),
            inodes=inodes,
            inodes_free=_within(row.get("inodes_free"), inodes),
            problem=_text(row.get("problem"), PROBLEM_LENGTH),
        )
    return tuple(found.values())


def _interfaces(rows: Any) -> tuple[Interface, ...]:
    found: dict[str, Interface] = {}
    for row in map(_mapping, _rows(rows, MOST_INTERFACES)):
        name = _text(row.get("name"), 64)
        if name and name not in found:
            found[name] = Interface(name, _whole(row.get("received_bytes")), _whole(row.get("sent_bytes")))
    return tuple(found.values())


def _less(whole: int | None, left: int | None) -> int | None:
    return None if whole is None or left is None else whole - left


def _rows(value: Any, most: int) -> list[Any]:
    return list(value[:most]) if isinstance(value, (list, tuple)) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any, length: int) -> str:
    return printable(value)[:length] if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    """A finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MOST:
        return None
    return float(value) if math.isfinite(value) else None


def _whole(value: Any, most: int = MOST) -> int | None:
    """A count up to `most`; beyond it somebody is joking, and the number is not known."""
    if _number(value) is None or value > most:
        return None
    return int(value)


def _within(value: Any, whole: int | None) -> int | None:
    """A part that is not larger than its whole, where the whole is known."""
    part = _whole(value)
    return None if part is None or (whole is not None and part > whole) else part


def _share(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number <= 1 else None
