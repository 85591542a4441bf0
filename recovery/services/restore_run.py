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
from backups.borg import runner, specs
from backups.borg import view as views
from backups.borg.explain import Where
from backups.borg.outcome import State as Judged
from backups.borg.outcome import StoppedFor, judge_extract
from backups.borg.report import Report
from backups.errors import NothingRestored
from backups.job_errors import ServerNotReady
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
from recovery.services.browse import view_path
from recovery.services.plan import extract_argv
from recovery.services.restores import plan_of
from servers.services.reach import host_for
from servers.services.ways import open_way
from servers.transport.base import Link

PLACE_SECONDS = 30 * 24 * 3600
_ENVIRONMENT = ("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "BORG_EXIT_CODES")


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
        self.expected_items = self.expected_bytes = 0

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
        place = view_path(self.archive, f"restore-{self.token}")
        self.context.hold(
            "repository_view", path=str(place), repository=str(self.repository.pk), archive=self.archive.name
        )
        views.make_view(Path(self.repository.path), place)
        return place

    def _count(self, view: Path, row: dict[str, Any]) -> None:
        """What the archive holds of the selection: entries, and bytes of files."""
        self.context.phase("planning")
        base, _lease = self.context.private_directory("count")
        mode = specs.encryption(self.repository.encryption)
        passphrase = self.repository.passphrase.reveal()
        for portion in self.plan.batches():
            command = commands.list_files(
                settings.BORG_BINARY, str(view), self.archive.name, paths=portion, format="{type} {size}{NL}"
            )
            access = runner.Access(settings.BORG_BINARY, mode.value, passphrase, base)
            where = Where(repository=str(view), archive=self.archive.name)
            ended, _ = runner.run(command, access, where, stop=self.context.stop, timeout=None)
            for line in ended.stdout.splitlines():
                kind, _, size = line.partition(b" ")
                self.expected_items += 1
                self.expected_bytes += int(size) if kind == b"-" and size.isdigit() else 0
        if not self.expected_items:
            raise NothingRestored()
        row["detail"] = f"{self.expected_items} · {self.expected_bytes} B"
        self.context.progress(items_total=self.expected_items, expected_bytes=self.expected_bytes)

    # --- on the server ---------------------------------------------------------------------------

    @property
    def _place_arguments(self) -> dict[str, Any]:
        return {"target": os.fsdecode(self.plan.target), "token": self.token}

    def _stage(self, row: dict[str, Any]) -> Lease:
        self.context.phase("connecting")
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

        mode = specs.encryption(self.repository.encryption)
        answers = commands.env(base_dir="", encryption=mode.value, relocated_ok=False)
        result = self.host.run(
            "borg",
            {
                "argv": [os.fsdecode(word) for word in extract_argv(self.plan, way.repository, portion)],
                "env": {name: answers[name] for name in _ENVIRONMENT if name in answers},
                "staging": self._place_arguments,
                "nice": 5,
            },
            secrets={"passphrase": self.repository.passphrase.reveal()} if mode.has_key else {},
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
        items = self.plan.placed
        answer = self.host.call(
            "place",
            {
                **self._place_arguments,
                "conflict": self.plan.conflict,
                "items": None if items is None else [os.fsdecode(item) for item in items],
            },
            timeout=PLACE_SECONDS,
            stop=self.context.stop,
        )
        self.context.progress(items_done=answer["staged"])
        row["detail"] = " · ".join(f"{name} {answer[name]}" for name in _COUNTS if answer.get(name))
        return answer

    def _clean(self, staging: Lease, row: dict[str, Any]) -> None:
        self.context.phase("verifying")
        self.context.release(staging)

    # --- the record ------------------------------------------------------------------------------

    def _outcome(self, state: State, report: dict[str, Any]) -> Outcome:
        lists = report.pop("lists", {})
        for entry in lists.get("failed", []):
            self.findings.append(Finding("failed", entry.get("reason", ""), entry["path"]))
        for what in ("kept", "renamed"):
            self.findings += [Finding(what, entry.get("name", ""), entry["path"]) for entry in lists.get(what, [])]
        if report["failed"] or report["staged"] < self.expected_items:
            state = State.INCOMPLETE
        elif state is State.SUCCESS and (report["kept"] or report["renamed"]):
            state = State.NOTES
        result = {"restore": str(self.restore.pk), "expected_items": self.expected_items, **report}
        Restore.objects.filter(pk=self.restore.pk).update(
            state=Restore.State.DONE if state.is_good else Restore.State.FAILED,
            report=result,
            finished_at=timezone.now(),
        )
        if report["staged"] == 0:
            raise RestoreIncomplete(placed=0, expected=self.expected_items)
        count = len(self.findings) + sum(max(report[what] - len(lists.get(what, [])), 0) for what in _LISTED)
        return Outcome(state, tuple(self.findings), count, result)


_COUNTS = ("placed", "merged", "kept", "replaced", "renamed", "failed")
_LISTED = ("kept", "renamed", "failed")


def _gravity(state: State) -> int:
    return 0 if state is State.SUCCESS else 1


def carry_out(context: TaskContext) -> Outcome:
    """The function behind the task kind “restore”."""
    restore = Restore.objects.select_related("archive__repository__pool", "archive__job", "server").get(
        pk=context.params["restore"]
    )
    try:
        return RestoreRun(context, restore).run()
    except BaseException as error:
        Restore.objects.filter(pk=restore.pk, state=Restore.State.STARTED).update(
            state=Restore.State.FAILED,
            finished_at=timezone.now(),
            report={"error": error.code} if isinstance(error, PhpBorgError) else {},
        )
        raise
