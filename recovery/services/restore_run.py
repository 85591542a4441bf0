"""One restore, from the view to the comparison of what arrived. Carries out the plan of plan.py."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from backups.borg import argv as commands
from backups.borg import listing, runner, specs
from backups.borg.explain import Where
from backups.borg.outcome import State as Judged
from backups.borg.outcome import StoppedFor, judge_extract
from backups.borg.report import Report
from backups.errors import NothingRestored
from backups.job_errors import ServerNotReady
from backups.services import repositories
from phpborg.errors import PhpBorgError
from phpborg.tasks.context import TaskContext
from phpborg.tasks.leases import new_token
from phpborg.tasks.models import Lease
from phpborg.tasks.progress import Meter
from phpborg.tasks.registry import Finding, Outcome
from phpborg.tasks.states import State
from recovery import paths
from recovery.errors import NotEnoughSpace, RestoreIncomplete
from recovery.models import Restore
from recovery.services import opening, physical
from recovery.services.plan import extract_argv
from recovery.services.restores import plan_of
from recovery.services.roots import Roots
from servers.services import capabilities_run
from servers.services.reach import host_for
from servers.services.ways import open_way
from servers.transport.base import Link

PLACE_SECONDS = 30 * 24 * 3600
LISTED = 200  # entries named of each kind, as the server does


class RestoreRun:
    """State of one restore. `run` is the only entry."""

    def __init__(self, context: TaskContext, restore: Restore) -> None:
        self.context = context
        self.restore = restore
        self.plan = plan_of(restore)
        assert restore.archive is not None
        assert restore.server is not None
        self.archive, self.server = restore.archive, restore.server
        self.repository = self.archive.repository
        self.token = new_token()
        self.findings: list[Finding] = []
        self.expected_items = self.expected_bytes = self.upward = 0
        self.placed: dict[str, Any] = {}  # together, of the portions so far
        self.roots = Roots()

    def run(self) -> Outcome:
        """Everything, in order. The staging folder and the view go in every case."""
        if not self.server.is_ready:
            raise ServerNotReady(server=self.server.name)
        self.host = host_for(self.server)
        view = self._step("view", self._make_view)
        self._step("count", lambda row: self._count(view, row))
        staging = self._step("stage", self._stage)
        state = self._step("extract", lambda row: self._extract(view, row))
        report = self._step("place", self._place)
        self._step("verify", lambda row: self._clean(staging, row))
        return self._outcome(state, report)

    def _step(self, code: str, body: Callable[[dict[str, Any]], Any]) -> Any:
        self.context.stop.check()
        step = next(step for step in self.plan.steps if step.code == code)
        with self.context.step(code, step.text, **step.facts) as row:
            return body(row)

    # --- on the backup host ----------------------------------------------------------------------

    def _make_view(self, row: dict[str, Any]) -> Path:
        self.context.phase("preparing")
        return opening.make_view(self.context, self.archive, f"restore-{self.token}")

    def _count(self, view: Path, row: dict[str, Any]) -> None:
        """What the archive holds of the selection: entries, and bytes of files."""
        self.context.phase("planning")
        base, _lease = self.context.private_directory("count")
        mode = specs.encryption(self.repository.encryption)
        passphrase = self.repository.passphrase.reveal()
        for portion in self.plan.batches():
            command = commands.list_files(
                settings.BORG_BINARY, str(view), self.archive.name, paths=portion, format=listing.FORMAT
            )
            access = runner.Access(settings.BORG_BINARY, mode.value, passphrase, base)
            where = Where(repository=str(view), archive=self.archive.name)
            runner.run(command, access, where, stop=self.context.stop, timeout=None, on_stdout=self._expect)
        if not self.expected_items:
            if self.upward:
                raise RestoreIncomplete(self._upward_words(), placed=0, expected=self.upward)
            raise NothingRestored()
        row["detail"] = f"{self.expected_items} · {self.expected_bytes} B"
        self.context.progress(items_total=self.expected_items, expected_bytes=self.expected_bytes)

    def _expect(self, line: bytes) -> None:
        """One entry of the archive that has to arrive."""
        entry = listing.entry(line)
        if entry.path == b".":  # what was archived from inside: the place itself, which is not put anywhere
            return
        if not self.roots.add(entry.path):
            self._leave_out(entry.path)
            return
        self.expected_items += 1
        self.expected_bytes += entry.size

    def _leave_out(self, path: bytes) -> None:
        """One that leads upwards is put nowhere: the first ones are named, all are counted."""
        self.upward += 1
        if self.upward <= LISTED:
            self.findings.append(Finding("failed", "the path leads upwards", paths.shown(path)))

    def _upward_words(self) -> str:
        return "\n".join(f"{found.path}: {found.message}" for found in self.findings[:20])

    # --- on the server ---------------------------------------------------------------------------

    @property
    def _place_arguments(self) -> dict[str, Any]:
        return {"target": os.fsdecode(self.plan.target), "token": self.token}

    def _look_again(self) -> None:
        """No file of a database server goes to its own place while it runs: it may have been started since."""
        engine = physical.engine_in_place(self.archive, self.plan)
        if engine and self.restore.destination == Restore.Destination.IN_PLACE:
            report = capabilities_run.ask(self.host, stop=self.context.stop, only=(engine,), size_seconds=0)
            physical.check_in_place(self.archive, self.server, self.plan, report)

    def _stage(self, row: dict[str, Any]) -> Lease:
        self.context.phase("connecting")
        self._look_again()
        lease = self.context.hold("restore_staging", server=str(self.server.pk), **self._place_arguments)
        made = self.host.call("stage", self._place_arguments, timeout=60, stop=self.context.stop)
        row["detail"] = paths.shown(os.fsencode(made["path"]))
        if made["free_bytes"] < self.expected_bytes:
            raise NotEnoughSpace(needed=self.expected_bytes, free=made["free_bytes"])
        return lease

    def _extract(self, view: Path, row: dict[str, Any]) -> State:
        self.context.phase("extracting")
        meter = Meter(self.expected_bytes)
        state = State.SUCCESS
        with open_way(self.context, self.server, self.host, str(view), mode="tunnel", token=self.token) as way:
            for portion in self.plan.batches():
                self.context.stop.check()
                state = max(state, self._extract_portion(way, portion, meter), key=_gravity)
        if state is State.SUCCESS:  # Borg says nothing about what is read at once
            self.context.progress(**{**meter.measure(self.expected_bytes), "original_bytes": self.expected_bytes})
        return state

    def _extract_portion(self, way: Link, portion: tuple[bytes, ...], meter: Meter) -> State:
        report = Report()
        spoken = 0.0

        def hear(line: bytes) -> None:
            nonlocal spoken
            report.stderr(line)
            if time.monotonic() - spoken > 0.5:
                spoken = time.monotonic()
                self._progress(report, meter)

        result = self.host.run(
            "borg",
            {
                "argv": [os.fsdecode(word) for word in extract_argv(self.plan, way.repository, portion)],
                "env": repositories.told_there(self.repository),
                "staging": self._place_arguments,
                "nice": 5,
            },
            secrets=repositories.secrets_there(self.repository),
            on_stderr=hear,
            stop=self.context.stop,
            link=way,
        )
        stop = self.context.stop
        reasons = {"cancel": StoppedFor.CANCEL, "deadline": StoppedFor.TIME_LIMIT}
        stopped_for = reasons.get(stop.reason, StoppedFor.NOTHING) if stop.is_set() else StoppedFor.NOTHING
        where = Where(repository=self.repository.path, archive=self.archive.name, host=self.host.target.label)
        verdict = judge_extract(result.exit, report, asked=len(portion) or None, where=where, stopped_for=stopped_for)
        stop.check()
        if verdict.error:
            raise verdict.error
        self.findings += [Finding(str(finding.kind), finding.message, finding.path) for finding in verdict.findings]
        return State.INCOMPLETE if verdict.state is Judged.INCOMPLETE else State.SUCCESS

    def _progress(self, report: Report, meter: Meter) -> None:
        done = report.progress.current  # bytes of the selection, for `extract`
        if done is None:
            return
        self.context.progress(**{**meter.measure(done), "original_bytes": done, "path": report.progress.path})

    def _place(self, row: dict[str, Any]) -> dict[str, Any]:
        self.context.phase("placing")
        self._look_again()
        for portion in self.plan.placed(self.roots.outermost()):
            one = self.host.call(
                "place",
                {
                    **self._place_arguments,
                    "conflict": self.plan.conflict,
                    "items": [os.fsdecode(item) for item in portion],
                },
                timeout=PLACE_SECONDS,
                stop=self.context.stop,
            )
            self.placed = together(self.placed, one)
            self.context.progress(items_done=self.placed["staged"])
            row["detail"] = " · ".join(f"{name} {self.placed[name]}" for name in _COUNTS if self.placed.get(name))
        return self.placed

    def _clean(self, staging: Lease, row: dict[str, Any]) -> None:
        self.context.phase("verifying")
        self.context.release(staging)

    # --- the record ------------------------------------------------------------------------------

    def so_far(self) -> dict[str, Any]:
        """What was put in place until now, for the record: counts, and the folder in which it lies."""
        counts = {name: count for name, count in self.placed.items() if name != "lists"}
        into = {"target": paths.shown(self.plan.target)} if counts else {}
        return {"restore": str(self.restore.pk), "expected_items": self.expected_items, **counts, **into}

    def _outcome(self, state: State, report: dict[str, Any]) -> Outcome:
        findings, count = self.told()
        if report["failed"] or self.upward or report["staged"] < self.expected_items:
            state = State.INCOMPLETE
        elif state is State.SUCCESS and (report["kept"] or report["renamed"]):
            state = State.NOTES
        result = self.so_far()
        Restore.objects.filter(pk=self.restore.pk).update(
            state=Restore.State.DONE if state.is_good else Restore.State.FAILED,
            report=result,
            finished_at=timezone.now(),
        )
        if report["staged"] == 0:
            raise RestoreIncomplete(placed=0, expected=self.expected_items)
        return Outcome(state, findings, count, result)

    def told(self) -> tuple[tuple[Finding, ...], int]:
        """The findings until now, and how many there are together with those that are only counted."""
        lists = self.placed.get("lists", {})
        rows = [Finding("failed", row.get("reason", ""), row["path"]) for row in lists.get("failed", [])]
        for what in ("kept", "renamed"):
            rows += [Finding(what, row.get("name", ""), row["path"]) for row in lists.get(what, [])]
        unnamed = sum(max(self.placed.get(what, 0) - len(lists.get(what, [])), 0) for what in _LISTED)
        findings = (*self.findings, *rows)
        return findings, len(findings) + unnamed + max(self.upward - LISTED, 0)


_COUNTS = ("placed", "merged", "kept", "replaced", "renamed", "failed")
_LISTED = ("kept", "renamed", "failed")


def together(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The reports of two portions as one: counts of all, names of the first `LISTED` of each kind."""
    named = one.get("lists", {})
    lists = {name: (named.get(name, []) + rows)[:LISTED] for name, rows in other.get("lists", {}).items()}
    counts = {name: one.get(name, 0) + count for name, count in other.items() if name != "lists"}
    return {**counts, "lists": lists}


def _gravity(state: State) -> int:
    return 0 if state is State.SUCCESS else 1


def carry_out(context: TaskContext) -> Outcome:
    """The function behind the task kind “restore”."""
    restore = Restore.objects.select_related("archive__repository__pool", "archive__job", "server").get(
        pk=context.params["restore"]
    )
    run = RestoreRun(context, restore)
    try:
        return run.run()
    except BaseException as error:
        code = {"error": error.code} if isinstance(error, PhpBorgError) else {}
        # What earlier portions put in place stays there: a failure does not hide it.
        Restore.objects.filter(pk=restore.pk, state=Restore.State.STARTED).update(
            state=Restore.State.FAILED,
            finished_at=timezone.now(),
            report={**(run.so_far() if run.placed else {}), **code},
        )
        if isinstance(error, PhpBorgError):
            findings, count = run.told()
            kept = {"findings": [finding.as_json() for finding in findings[:LISTED]]}
            vars(error)["task_fields"] = {**kept, "findings_count": count}
        raise
