"""Speeds between two readings of one server: the share of its CPUs that was busy, bytes a second of its network."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from servers.statistics.sample import Interface, Reading

# A mean over more than this hides what it should show: counters are compared again from the next reading on.
LONGEST_SECONDS = 7200.0
SHORTEST_SECONDS = 1.0
# What passes through these is counted again by the card that it leaves by, or never leaves the machine: the machine
# itself, ends of containers and guests, bridges, bonds of cards, tunnels, VLANs (eth0.10).
_INNER = re.compile(
    r"(lo|veth|docker|br|virbr|vnet|tap|tun|wg|bond|team|vlan|cni|flannel|cali|lxc|ifb|dummy)[\d_-].*"
    r"|lo|docker_gwbridge|(veth|cali|vnet|tap|lxc).*|.*\..*"
)


@dataclass(frozen=True)
class Rates:
    """A share (0…1) and two speeds in bytes a second; what cannot be told is None."""

    cpu_share: float | None = None
    received: float | None = None
    sent: float | None = None


def between(before: Reading | None, now: Reading, seconds: float | None) -> Rates:
    """From one reading to the next, `seconds` apart by our clock (the server's uptime is preferred: it never jumps).

    A counter that went back was set to zero by a restart: nothing is told, never a negative speed.
    """
    elapsed = _elapsed(before, now, seconds)
    if before is None or elapsed is None:
        return Rates(cpu_share=now.cpu_share)
    return Rates(
        cpu_share=_busy(before, now),
        received=_speed(before, now, elapsed, lambda card: card.received_bytes),
        sent=_speed(before, now, elapsed, lambda card: card.sent_bytes),
    )


def _elapsed(before: Reading | None, now: Reading, seconds: float | None) -> float | None:
    """Seconds of the server's run between the two; None after a restart, a long pause, or at once."""
    if before is None:
        return None
    if before.uptime_seconds is not None and now.uptime_seconds is not None:
        seconds = now.uptime_seconds - before.uptime_seconds
    if seconds is None or not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        return None
    return seconds


def _busy(before: Reading, now: Reading) -> float | None:
    """The busy share between the two; the helper's own short look where the counters do not tell."""
    if before.ticks is None or now.ticks is None:
        return now.cpu_share
    total, idle = now.ticks.total - before.ticks.total, now.ticks.idle - before.ticks.idle
    # The kernel's idle counters may step back a little by themselves: such a share is not known.
    return 1 - idle / total if total > 0 and 0 <= idle <= total else now.cpu_share


def _speed(before: Reading, now: Reading, elapsed: float, counter: Callable[[Interface], int | None]) -> float | None:
    """Over the cards that both readings have; a counter that went back makes the sum unknown."""
    old = {card.name: counter(card) for card in before.network}
    grown = 0
    seen = False
    for card in now.network:
        then, value = old.get(card.name), counter(card)
        if _INNER.fullmatch(card.name) or then is None or value is None:
            continue
        if value < then:
            return None
        grown, seen = grown + value - then, True
    return grown / elapsed if seen else None
