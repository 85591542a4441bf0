"""Hooks: scripts that a server's administrator put into /etc/phpborg/hooks, run by name before and after a backup."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from phpborg.process import Stop
from servers.transport.base import Host

Say = Callable[[str], None]
_OUTPUT_LINES = 500
_DETAIL_LINES = 20


@dataclass(frozen=True)
class Hook:
    """What is run: a name, a time limit, and what the script is told (PHPBORG_…)."""

    name: str
    seconds: int
    facts: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For the lease that owes it."""
        return {"name": self.name, "seconds": self.seconds, "facts": dict(self.facts)}


@dataclass(frozen=True)
class HookEnd:
    """How it went: `problem` is empty when it was good; `output` holds its last lines."""

    problem: str
    output: str


def available(host: Host) -> dict[str, Any]:
    """The hooks of a server that may be run, and why others may not. Raises the errors of servers."""
    return host.call("hooks")


def run(host: Host, hook: Hook, *, outcome: str = "", error: str = "", say: Say, stop: Stop | None = None) -> HookEnd:
    """Run it to its end. Raises the errors of servers when it could not be started."""
    lines: list[str] = []

    def hear(line: bytes) -> None:
        text = line.decode("utf-8", "replace")
        lines.append(text)
        del lines[:-_DETAIL_LINES]
        hear_count[0] += 1
        if hear_count[0] <= _OUTPUT_LINES:
            say(f"{hook.name}: {text}")

    hear_count = [0]
    told = {**hook.facts, "PHPBORG_OUTCOME": outcome, "PHPBORG_ERROR": error}
    began = time.monotonic()
    ended = host.run(
        "hook",
        {
            "name": hook.name,
            "limit_seconds": hook.seconds,
            "env": {name: value.replace("\0", "")[:8000] for name, value in told.items() if value},
        },
        on_stdout=hear,
        on_stderr=hear,
        stop=stop,
        # The far end keeps the limit; this one is for a far end that does not.
        timeout=hook.seconds + 90,
    )
    problem = ""
    if time.monotonic() - began >= hook.seconds and ended.exit.code != 0:
        problem = f"time limit of {hook.seconds} s"
    elif ended.exit.code is None:
        problem = f"signal {ended.exit.signal}" if ended.exit.signal else "ended without a status"
    elif ended.exit.code:
        problem = f"exit status {ended.exit.code}"
    return HookEnd(problem, "\n".join(lines))
