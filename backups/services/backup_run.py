"""One run of a job, from the first connection to the proof. Carries out the plan of plan.py, step by step."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from django.utils import timezone

from backups import errors as e
from backups.borg.explain import Where
from backups.borg.outcome import Ended, Ending, StoppedFor, Verdict, judge_create
from backups.borg.outcome import State as Judged
from backups.borg.report import Report
from backups.borg.results import ArchiveFact
from backups.job_errors import JobGone, StreamsUnproven
from backups.models import BackupJob
from backups.services import docker_record, docker_turns, key_guard, recording, runs, sync
from backups.services.creation import Creation
from backups.services.freezing import Frozen
from backups.services.greeting import greet, look_at
from backups.services.plan import BackupPlan, plan_backup, told
from backups.services.recording import Graded
from backups.services.run_hooks import RunHooks
from backups.services.telling import Teller
from backups.services.thawing import Thawing
from backups.services.unproven import Doubt
from backups.sources.base import SourceFacts
from backups.sources.databases import check_complete
from phpborg.errors import PhpBorgError
from phpborg.tasks.context import TaskContext
from phpborg.tasks.registry import Finding, Outcome
from phpborg.tasks.states import State, StepState
from servers import errors as server_errors
from servers.services import direct
from servers.services.reach import host_for
from servers.services.ways import open_way
from servers.transport import tunnel
from servers.transport.base import Link

# A connection that breaks is tried again so many times, after so many seconds: never without an end.
RETRY_PAUSES_SECONDS = (5, 20)
_LOST = (e.ConnectionLost, server_errors.ConnectionLost, server_errors.TimedOut)
# After these the archive may still be complete; what the repository answers decides.
_PROOF_OUTWEIGHS = (*_LOST, e.Killed, e.TimeLimit, e.ArchiveExists)
_REFUSED = re.compile(r"Host key verification failed|IDENTIFICATION HAS CHANGED|Permission denied")
# Notes that say that the archive may not be whole.
_UNPROVEN = ("freeze_unknown", "unproven", "docker_dump_failed")
_REASONS = {"cancel": StoppedFor.CANCEL, "deadline": StoppedFor.TIME_LIMIT}


def carry_out(context: TaskContext) -> Outcome:
    """The function behind the task kind “backup”. Raises what the run fails with."""
    job = (
        BackupJob.objects.select_related("server", "repository", "repository__pool")
        .filter(pk=context.params["job"])
        .first()
    )
    if job is None:
        raise JobGone()
    return BackupRun(context, job).run()


class BackupRun:
    """State of one run. `run` is the only entry."""

    def __init__(self, context: TaskContext, job: BackupJob) -> None:
        self.context = context
        self.job = job
        self.facts: SourceFacts | None = None
        self.plan: BackupPlan = plan_backup(job=job, task=context.task, by_report=False)
        self.host = host_for(job.server)
        self.creation = Creation(context, job, self.host, Teller(context, expected_bytes=runs.expected_bytes(job)))
        self.frozen: Frozen | None = None
        self.thawing: Thawing | None = None
        self.doubt = Doubt(context, job)
        self.hooks = RunHooks(context, job, self.host, self.plan)
        self.notes: list[Finding] = []
        self.attempts = 0
        self.versions: dict[str, Any] = {}
        self.listed: tuple[ArchiveFact, ...] = ()
        self.listed_at: datetime | None = None
        self.seen: list[dict[str, Any]] | None = None

    def run(self) -> Outcome:
        """Everything, in order. The hook after runs once, whatever happened before it."""
        runs.check_ready(job=self.job)
        docker_turns.begin_backup(self.context, self.job)
        key_guard.check(repository=self.job.repository)
        self.context.hold("repository_lock", repository=str(self.job.repository_id), task=str(self.context.task.pk))
        graded: Graded | None = None
        error: BaseException | None = None
        try:
            with self.host.one_connection():
                self._step("connect", self._connect)
                graded = self._to_proof()
        except BaseException as problem:
            # What breaks while somebody stops us is noise; the reason counts.
            judged = "task_fields" in vars(problem)
            error = self.context.stop.error() if self.context.stop.is_set() and not judged else problem
        self._hook_after(graded, error)
        if graded is not None and graded.archive is not None:
            self._synchronise()
        if error is not None or graded is None:
            raise error or self.context.stop.error()
        return self._outcome(graded)

    # --- before borg -----------------------------------------------------------------------------

    def _connect(self, row: dict[str, Any]) -> None:
        self.context.phase("connecting")
        # A hook may mount what is looked at: then the look comes after it.
        greeting = greet(self.host, self.job, look=not self.plan.hook_before, stop=self.context.stop)
        self.versions, self.seen = greeting.versions, greeting.facts
        row["detail"] = f"{greeting.hostname} · borg {self.versions['borg']}"
        self.context.log(f"connected to {greeting.hostname} ({greeting.kernel}), borg {self.versions['borg']}")

    def _to_proof(self) -> Graded:
        self.hooks.owe()
        if self.plan.hook_before:
            self._step("hook_before", self.hooks.before)
        self._step("look", self._look)
        try:
            if self.plan.source.freeze is not None:
                self._step("freeze", self._freeze)
            verdict = self._create_until_done()
            if self.thawing is not None:
                if not self.thawing.is_over:
                    self._thaw(self.thawing)
                verdict = self.thawing.settle(verdict, self._remove, self.doubt.end)
        finally:
            if self.frozen is not None:
                self.frozen.remove()
        return self._grade(verdict)

    def _look(self, row: dict[str, Any]) -> None:
        """What is there, after the hook that may have mounted it."""
        self.context.phase("preparing")
        self.facts = look_at(self.host, self.job, facts=self.seen, stop=self.context.stop)
        self.plan = plan_backup(job=self.job, task=self.context.task, facts=self.facts)
        check_complete(self.plan.source)
        found = self.plan.source.findings
        self.notes += found
        for finding in found:
            self.context.log(f"{finding.kind}: {finding.path} {finding.message}")
        row["detail"] = "\n".join(f"{finding.path} ({finding.message})" for finding in found)

    # --- what is frozen --------------------------------------------------------------------------

    def _freeze(self, row: dict[str, Any]) -> None:
        self.context.phase("freezing")
        assert self.plan.source.freeze is not None
        self.frozen = Frozen(self.context, self.job, self.host, self.plan.source.freeze)
        self.frozen.make()
        self.thawing = Thawing(self.context, self.frozen)
        self.doubt.begin(self.plan.archive)
        row["detail"] = self.frozen.words
        self.context.log(f"frozen: {docker_record.kept(self.frozen.facts)}")
        self.notes += self.frozen.notes(self.notes)

    def _thaw(self, thawing: Thawing) -> None:
        self.notes += thawing.now(self._title("thaw"), self.notes)

    # --- borg ------------------------------------------------------------------------------------

    def _create_until_done(self) -> Verdict:
        """Try, and try again after a lost connection as long as nothing was committed."""
        for pause in (*RETRY_PAUSES_SECONDS, None):
            self.attempts += 1
            verdict = self._attempt()
            over = self.thawing is not None and self.thawing.is_over
            if pause is None or over or verdict.archive is not None or not _is_transient(verdict.error):
                return verdict
            self.context.log(f"the connection was lost; trying again in {pause} s ({self.attempts})")
            self._wait(pause)
        raise AssertionError("unreachable")

    def _wait(self, seconds: float) -> None:
        self.context.phase("connecting")
        self.context.stop.wait(seconds)
        self.context.stop.check()

    def _attempt(self) -> Verdict:
        """One `borg create` and the look for its archive."""
        report = Report(sources=self.plan.source.paths)
        lost: PhpBorgError | None = None
        ended: Ended = Ending(None)
        with self.context.step("create", self._title("create")) as row:
            try:
                with self._link() as way:
                    ended = self._borg(way, report)
            except (*_LOST, server_errors.RemoteStopped, server_errors.StreamFailed) as error:
                lost = error
            stopped_for = self._stopped_for()
            row["detail"] = self.plan.archive
            if lost or ended.code != 0 or stopped_for:
                row["state"] = StepState.WARNING
                row["detail"] = str(lost or "") or report.words() or row["detail"]
        if self.thawing is not None and lost is None and self.thawing.may_be_early(ended, report, stopped_for):
            self._thaw(self.thawing)
        key_guard.check(repository=self.job.repository)
        proof = self._prove(stopped_for)
        verdict = judge_create(
            ended,
            report,
            proof=proof,
            where=self._where,
            stopped_for=StoppedFor.CONNECTION if lost and not stopped_for else stopped_for,
            time_limit_seconds=self.job.time_limit_seconds,
        )
        if lost and isinstance(verdict.error, e.ConnectionLost):
            verdict = recording.with_error(verdict, lost)
        verdict = self._whole_streams(verdict, lost)
        self.context.log(f"borg ended with {ended.code if ended.signal is None else ended.signal}: {verdict.state}")
        if isinstance(verdict.error, e.DiskFull):
            self._give_back()
        return verdict

    def _whole_streams(self, verdict: Verdict, lost: PhpBorgError | None) -> Verdict:
        """A stream that is not whole outweighs any archive; one that nobody spoke of makes it incomplete."""
        if isinstance(lost, server_errors.StreamFailed):
            # Also when the repository could not say whether there is one.
            self.doubt.begin(self.plan.archive)
            if verdict.archive is not None:
                self._remove(verdict.archive, "what it was made of is not complete")
            return recording.failed(verdict, lost)
        missing = self.creation.streams.missing(self.plan) if verdict.archive is not None else []
        if missing:
            error = StreamsUnproven(names=", ".join(missing[:10]))
            self.notes.append(Finding("unproven", str(error)))
        return verdict

    def _give_back(self) -> None:
        """What the broken transaction left fills the disk, for every job of the pool: give it back now."""
        try:
            given = recording.repository_of(self.job).drop_unfinished(stop=self.context.stop)
        except PhpBorgError as error:
            self.context.log(f"what was half written stays for now: {error.code} {error}")
            return
        if given.freed_bytes:
            self.context.log(f"given back to the disk: {given.freed_bytes} bytes that were half written")

    def _stopped_for(self) -> StoppedFor:
        stop = self.context.stop
        return _REASONS.get(stop.reason, StoppedFor.NOTHING) if stop.is_set() else StoppedFor.NOTHING

    @property
    def _where(self) -> Where:
        return Where(repository=self.job.repository.path, archive=self.plan.archive, host=self.host.target.label)

    def _link(self) -> AbstractContextManager[Link]:
        """The way to the repository, of this attempt."""
        token = f"{self.context.task.pk.hex}-{self.attempts}"
        mode: tunnel.Mode = "direct" if self.plan.link == "direct" else "tunnel"
        if mode == "direct":
            # What authorized_keys says counts, not what we believe that it says.
            direct.converge()
        return open_way(self.context, self.job.server, self.host, self.job.repository.path, mode=mode, token=token)

    def _borg(self, way: Link, report: Report) -> Ended:
        token = f"{self.context.task.pk.hex[:16]}-{self.attempts}"
        views = self.frozen.views if self.frozen is not None else ()
        if not self.plan.source.streams:
            return self.creation.run(self.plan, way, report, views, token)
        lease = self.context.hold("streams", server=str(self.job.server_id), token=token)
        ended = self.creation.run(self.plan, way, report, views, token)
        self.context.cross_out(lease)
        return ended

    def _prove(self, stopped_for: StoppedFor) -> ArchiveFact | None:
        """What the repository itself answers for this name. Without an answer there is no proof."""
        with self.context.step("prove", self._title("prove")) as row:
            self.context.phase("proving")
            try:
                self.listed_at = timezone.now()
                self.listed = recording.repository_of(self.job).proof()
            except PhpBorgError as error:
                self.context.log(f"no proof: {error.code} {error}")
                row.update(state=StepState.WARNING, detail=str(error))
                return None
            proof = next((fact for fact in self.listed if fact.name == self.plan.archive), None)
            row["detail"] = f"{proof.name} · {proof.id}" if proof else ""
            if proof is None:
                row["state"] = StepState.SKIPPED if stopped_for else StepState.WARNING
            return proof

    # --- after borg ------------------------------------------------------------------------------

    def _grade(self, verdict: Verdict) -> Graded:
        """From borg's verdict to ours; raises what the run fails with."""
        if self.context.stop.reason == "cancel":
            verdict = recording.cancelled(verdict)
        state, error = State(verdict.state.value), verdict.error
        late = []
        if error is not None and verdict.archive is not None and isinstance(error, _PROOF_OUTWEIGHS):
            # It broke after the commit: the archive is there, complete, under its name.
            late.append(Finding("late", f"{error.code} {error}"))
            state, error = State.NOTES, None
        elif isinstance(error, e.SourceMissing) and verdict.archive is not None:
            self._remove(verdict.archive, "none of its sources was there")
            verdict = recording.without_archive(verdict)
        if verdict.state is Judged.CANCELLED and verdict.archive is not None:
            late.append(Finding("late", "the archive was complete before the cancellation arrived"))
        notes = [*self.notes, *late]  # now: a removal above may have added one
        if state in (State.SUCCESS, State.NOTES) and any(note.kind in _UNPROVEN for note in notes):
            state = State.INCOMPLETE
        elif state is State.SUCCESS and notes:
            state = State.NOTES
        graded = Graded.of(verdict, state, tuple(notes))
        if error is not None or graded.archive is None:
            reason = self.context.stop.reason
            if verdict.state is not Judged.CANCELLED and reason in ("interrupted", "lost"):
                raise self.context.stop.error()
            if error is not None:
                raise recording.with_findings(error, graded)
            return graded
        made_of = recording.MadeOf(
            self.versions, tuple(self.creation.streams.whole), self.frozen.facts if self.frozen else {}
        )
        row = recording.record(self.job, self.context, self.plan, graded, made_of)
        return graded.recorded(row)

    def _remove(self, archive: ArchiveFact, reason: str) -> None:
        """An archive that is no restore point must not look like one."""
        if finding := self.doubt.remove(archive, reason):
            self.notes.append(finding)

    def _hook_after(self, graded: Graded | None, error: BaseException | None) -> None:
        if not self.hooks.is_owed:
            return
        outcome = str(graded.state) if graded else ("cancelled" if self.context.stop.reason == "cancel" else "failed")
        code = error.code if isinstance(error, PhpBorgError) else ""
        with self.context.step("hook_after", self._title("hook_after")) as row:
            if finding := self.hooks.after(row, outcome, code):
                self.notes.append(finding)

    def _synchronise(self) -> None:
        """Orphans found, what is gone marked. Its failure is the next run's business, not this one's."""
        with self.context.step("sync", self._title("sync")) as row:
            self.context.phase("syncing")
            try:
                report = sync.synchronise(repository=self.job.repository, listed=self.listed, asked_at=self.listed_at)
            except PhpBorgError as error:
                row.update(state=StepState.WARNING, detail=str(error))
                self.context.log(f"not compared: {error.code} {error}")
                return
            for name in report.recorded:
                self.context.log(f"recorded an archive that was not known: {name}")
            for name in report.missing:
                self.context.log(f"gone from the repository: {name}")

    def _outcome(self, graded: Graded) -> Outcome:
        after = tuple(note for note in self.notes if note.kind == "hook_after")
        state = State.NOTES if after and graded.state is State.SUCCESS else graded.state
        if after and graded.row is not None:
            recording.downgrade(graded.row, state, len(after))
        return Outcome(
            state=state,
            findings=(*graded.findings, *after),
            findings_count=graded.findings_count + len(after),
            result={
                "archive": str(graded.row.pk) if graded.row else None,
                "archive_name": graded.archive.name if graded.archive else None,
                "attempts": self.attempts,
                "sentences": told(job=self.job, facts=self.facts),
            },
        )

    # --- small -----------------------------------------------------------------------------------

    def _title(self, code: str) -> Any:
        return next(step.title for step in self.plan.steps if step.code == code)

    def _step(self, code: str, body: Callable[[dict[str, Any]], None]) -> None:
        self.context.stop.check()
        with self.context.step(code, self._title(code)) as row:
            body(row)
        self.context.stop.check()


def _is_transient(error: PhpBorgError | None) -> bool:
    """A connection that broke, rather than one that was refused: only that is worth another try."""
    return isinstance(error, _LOST) and not _REFUSED.search(error.detail)
