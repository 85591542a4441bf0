"""Data of an archive into private directories on the target, beside where it goes; counted before and after."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from backups.borg import argv as commands
from backups.borg.explain import Where
from backups.borg.outcome import State as Judged
from backups.borg.outcome import StoppedFor, judge_extract
from backups.borg.report import Report
from backups.models import Archive
from backups.services import repositories
from dockerops.conflict_machine import reserve_of
from dockerops.run_errors import NotAllExtracted
from dockerops.services.archive_reading import Count
from dockerops.services.engine_at import EngineAt
from phpborg.tasks.context import TaskContext
from phpborg.tasks.progress import Meter
from recovery.errors import NotEnoughSpace
from servers.transport.base import Link

BATCH_BYTES = 100_000


@dataclass(frozen=True)
class Portion:
    """What one step extracts: the directory that gets the private one, paths of the archive, and how much they are."""

    directory: str
    sources: tuple[str, ...]
    expected: Count
    without: tuple[str, ...] = ()  # directories of which only themselves are extracted

    @property
    def empty(self) -> tuple[bytes, ...]:
        """`without`, as borg is told."""
        return tuple(map(os.fsencode, self.without))

    def batches(self) -> list[tuple[bytes, ...]]:
        """The paths, in as many command lines as they need."""
        found: list[list[bytes]] = [[]]
        size = 0
        for path in map(os.fsencode, self.sources):
            size += len(path) + 8
            if size > BATCH_BYTES and found[-1]:
                found.append([])
                size = len(path)
            found[-1].append(path)
        return [tuple(batch) for batch in found]


class Extraction:
    """All extractions of one restore, with one meter for them."""

    def __init__(self, context: TaskContext, archive: Archive, engine: EngineAt, total: int) -> None:
        self.context, self.archive, self.host, self.token = context, archive, engine.host, engine.token
        self._engine = engine
        self.made: dict[str, list[str]] = {}  # directories that staging had to make, by the directory it was for
        self._server = str(engine.server.pk)
        self._meter = Meter(total)
        self._total = total
        self._before = 0  # bytes of portions that are done
        self._spoken = 0.0

    def extract(self, portion: Portion, way: Link) -> dict[str, int]:
        """Stage and fill; {"entries", "bytes"} of what the archive has. Raises NotEnoughSpace, NotAllExtracted."""
        place: dict[str, Any] = {"target": portion.directory, "token": self.token}
        self.context.hold("restore_staging", server=self._server, **place)
        made = self.host.call("stage", place, timeout=60, stop=self.context.stop)
        self.made[portion.directory] = [str(path) for path in made.get("created") or []]
        needed = portion.expected.bytes
        needed += reserve_of(needed, made.get("total_bytes"))
        if made["free_bytes"] < needed:
            raise NotEnoughSpace(needed=needed, free=made["free_bytes"])
        for batch in portion.batches():
            self.context.stop.check()
            self._run(batch, place, way, portion)
        arrived = self._engine.staged(portion.directory, list(portion.sources), self.context.stop)
        if arrived != portion.expected.entries:
            raise NotAllExtracted(path=portion.directory, placed=arrived, expected=portion.expected.entries)
        self._before += portion.expected.bytes
        self._say(0)
        return {"entries": portion.expected.entries, "bytes": portion.expected.bytes}

    def _run(self, batch: tuple[bytes, ...], place: dict[str, str], way: Link, portion: Portion) -> None:
        report = Report()

        def hear(line: bytes) -> None:
            report.stderr(line)
            if time.monotonic() - self._spoken > 0.5:
                self._say(report.progress.current or 0, report.progress.path)

        words = commands.extract("borg", way.repository, self.archive.name, batch, empty=portion.empty)[1:]
        repository = self.archive.repository
        result = self.host.run(
            "borg",
            {
                "argv": [os.fsdecode(word) for word in words],
                "env": repositories.told_there(repository),
                "staging": place,
                "nice": 5,
            },
            secrets=repositories.secrets_there(repository),
            on_stderr=hear,
            stop=self.context.stop,
            link=way,
        )
        stop = self.context.stop
        reasons = {"cancel": StoppedFor.CANCEL, "deadline": StoppedFor.TIME_LIMIT}
        stopped_for = reasons.get(stop.reason, StoppedFor.NOTHING) if stop.is_set() else StoppedFor.NOTHING
        where = Where(repository=repository.path, archive=self.archive.name, host=self.host.target.label)
        verdict = judge_extract(result.exit, report, asked=len(batch), where=where, stopped_for=stopped_for)
        stop.check()
        if verdict.error:
            raise verdict.error
        if verdict.state is Judged.INCOMPLETE:
            said = "\n".join(f"{finding.path}: {finding.message}" for finding in verdict.findings[:20])
            left = max(len(verdict.findings), 1)
            expected = portion.expected.entries
            raise NotAllExtracted(said, path=portion.directory, placed=max(expected - left, 0), expected=expected)

    def _say(self, done: int, path: str = "") -> None:
        self._spoken = time.monotonic()
        current = min(self._before + done, self._total)
        more = {"path": path} if path else {}
        self.context.progress(**self._meter.measure(current), original_bytes=current, **more)


def paths_of(steps: Iterable[Mapping[str, Any]]) -> list[str]:
    """All that has to be counted for these extractions (their parameters)."""
    return [path for params in steps for path in (*params["sources"], *params.get("without", ()))]


def portion_of(params: Mapping[str, Any], counts: Mapping[bytes, Count]) -> Portion:
    """What the archive holds for the parameters of one extraction. Raises NotAllExtracted for what it does not hold."""
    directory, sources = str(params["directory"]), list(params["sources"])
    rows = {source: counts[os.fsencode(source).strip(b"/")] for source in sources}
    for source, row in rows.items():
        if not row.entries:
            raise NotAllExtracted(path=source, placed=0, expected=1)
    without = tuple(params.get("without", ()))
    left = [counts[os.fsencode(path).strip(b"/")] for path in without]
    entries = sum(row.entries for row in rows.values()) - sum(max(row.entries - 1, 0) for row in left)
    size = sum(row.bytes for row in rows.values()) - sum(row.bytes for row in left)
    return Portion(directory, tuple(sources), Count(entries, size), without)
