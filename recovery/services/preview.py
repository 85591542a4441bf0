"""What the wizard shows before a restore: final paths, sizes as far as they can be counted quickly, space."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from phpborg.errors import PhpBorgError
from recovery import tree
from recovery.errors import NoSuchPath
from recovery.models import BrowseSession, Restore
from recovery.services import browse
from recovery.services.plan import Item, RestorePlan
from servers.services.reach import host_for

COUNT_SECONDS = 2.0
SHOWN_PATHS = 500


@dataclass(frozen=True)
class Totals:
    """Entries and bytes of a selection; `complete` is False when counting was cut short."""

    entries: int = 0
    bytes: int = 0
    complete: bool = True


@dataclass(frozen=True)
class Target:
    """What is at the target now. `problem` says why it could not be asked."""

    free_bytes: int | None = None
    existing: frozenset[bytes] = frozenset()
    problem: PhpBorgError | None = None


@dataclass(frozen=True)
class Preview:
    """All that the page shows. `totals` is None while the archive is not open."""

    plan: RestorePlan
    rows: tuple[tuple[Item, bool | None], ...] = ()
    more: int = 0
    totals: Totals | None = None
    target: Target = field(default_factory=Target)

    @property
    def is_tight(self) -> bool:
        """What is counted so far does not fit."""
        known = self.totals is not None and self.target.free_bytes is not None
        return bool(known and self.totals and self.totals.bytes > (self.target.free_bytes or 0))


def of(restore: Restore, plan: RestorePlan, *, ask_server: bool) -> Preview:
    """The preview of a draft. `ask_server` also looks at the target (a connection of some seconds at most)."""
    shown = plan.items[:SHOWN_PATHS]
    target = look_at(restore, shown) if ask_server else Target()
    known = ask_server and target.problem is None
    rows = tuple((item, item.final in target.existing if known else None) for item in shown)
    return Preview(plan, rows, len(plan.items) - len(shown), count(restore, plan), target)


def look_at(restore: Restore, items: tuple[Item, ...]) -> Target:
    """Ask the server what exists of the final paths and how much space there is."""
    assert restore.server is not None
    try:
        asked = [os.fsdecode(item.final) for item in items]
        answer = host_for(restore.server).call("paths", {"paths": asked}, timeout=20)
    except PhpBorgError as error:
        return Target(problem=error)
    facts = answer["paths"]
    existing = frozenset(item.final for item, fact in zip(items, facts, strict=True) if fact.get("exists"))
    free = [fact["free_bytes"] for fact in facts if fact.get("free_bytes") is not None]
    return Target(min(free, default=None), existing)


def count(restore: Restore, plan: RestorePlan) -> Totals | None:
    """Count the selection in the open archive for at most two seconds; None when it is not open."""
    assert restore.archive is not None
    session = browse.active(restore.archive)
    if session is None or session.state != BrowseSession.State.OPEN:
        return None
    try:
        return _count(browse.mountpoint_of(session), plan)
    except PhpBorgError:
        return None


def _count(root: Path, plan: RestorePlan) -> Totals:
    entries = size = 0
    until = time.monotonic() + COUNT_SECONDS
    for item in plan.items:
        try:
            for entry in tree.walk(root, item.source):
                entries += 1
                if entry.kind == "file":
                    size += entry.size_bytes or 0
                if time.monotonic() > until:
                    return Totals(entries, size, complete=False)
        except NoSuchPath:
            continue
    return Totals(entries, size)
