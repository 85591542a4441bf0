"""One Docker restore, from the facts to the proof. Carries out the plan that was shown, or undoes what it did of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_noop

from backups.services import docker_turns
from dockerops import sentences
from dockerops.inventory import Inventory
from dockerops.models import DockerRestore
from dockerops.plan import BEFORE, DockerPlan, Step
from dockerops.services import detecting, planning, protection, proving, undoing
from dockerops.services.archive_reading import Count, Reader, read_manifest, reading
from dockerops.services.carrying import Carrier
from dockerops.services.engine_at import EngineAt
from dockerops.services.extracting import Extraction, Portion, paths_of, portion_of
from dockerops.services.safety import Safety
from phpborg.tasks.context import TaskContext
from phpborg.tasks.registry import Finding, Outcome
from phpborg.tasks.states import State, StepState
from phpborg.ui.format import byte_size
from servers.errors import DockerRefused
from servers.services.ways import open_way
from servers.transport.base import Link

_MOST, _LONGEST = 20, 1000  # of an engine's warnings
PHASES = {
    "extract": "extracting",
    "load_image": "loading",
    "pull_image": "fetching",
    "load_dump": "loading",
    "healthy": "verifying",
}


class DockerRestoreRun:
    """State of one run. `run` is the only entry."""

    def __init__(self, context: TaskContext, restore: DockerRestore) -> None:
        assert restore.archive is not None
        assert restore.server is not None
        self.context, self.restore = context, restore
        self.archive, self.server = restore.archive, restore.server
        self.plan = DockerPlan.from_json(restore.plan)
        self.token = self.plan.token
        self.engine = EngineAt(self.server, self.plan.socket, self.token)
        self.at = ""  # the step that is carried out, for people
        self.touched = False  # has anything been changed on the server?
        self.portions: dict[int, Portion] = {}
        self.proof: dict[str, Any] = {}
        self.kept_bytes: int | None = None
        self._ways = ExitStack()
        self._way: Link | None = None
        self._view = ""
        self._there = Inventory()  # as it was before the first step
        self._asked_again = False
        self._phases = PHASES
        self.findings: list[Finding] = []

    def run(self) -> Outcome:
        """Everything, in order. What fails before the journal is open has touched nothing; later all is undone."""
        docker_turns.await_backups(self.context, self.server.pk)
        with reading(self.context, self.archive) as reader, self._ways:
            self._view = str(reader.view)
            self._step(
                "facts", gettext_noop("Look again: is the server as it was when the plan was shown?"), self._facts
            )
            manifest = self._step(
                "manifest",
                gettext_noop("Read from the archive how its containers are made"),
                lambda row: self._read(reader),
            )
            self._step("count", gettext_noop("Count what has to arrive"), lambda row: self._count(reader, row))
            carrier = self._carrier(manifest)
            self._open_journal()
            self._carry_all(carrier)
            self._step(
                "verify",
                gettext_noop("Compare what is there with the archive"),
                lambda row: self._prove(carrier, row),
            )
        return self._finish()

    def _step(self, code: str, title: str, body: Callable[[dict[str, Any]], Any], **facts: Any) -> Any:
        self.context.stop.check()
        self.at = title
        with self.context.step(code, title, **facts) as row:
            return body(row)

    # --- before anything is touched --------------------------------------------------------------

    def _facts(self, row: dict[str, Any]) -> None:
        """Raises ConflictsOpen and PlanChanged."""
        self.context.phase("preparing")
        self._there = detecting.ask(self.restore, self.context.stop)
        planning.check_unchanged(self.restore, self.plan, self._there)

    def _take_turn(self) -> None:
        """At the repository, before anything is stopped: nothing stands still for another's backup."""
        if any(step.op == "archive_former" for step in self.plan.steps):
            docker_turns.await_repository(self.context, self.archive.repository)
            self._phases = {**PHASES, **dict.fromkeys(("stop_container", "archive_former"), docker_turns.PROTECTING)}

    def _look_again(self, row: dict[str, Any]) -> None:
        """Hours may have gone by with images and files. Raises ChangedMeanwhile."""
        self._asked_again = True
        now = self.engine.inventory([], self.context.stop)
        planning.check_containers(self.restore, self.plan, self._there, now)

    def _read(self, reader: Reader) -> dict[str, Any]:
        """The manifest of the plan. Raises ArchiveChanged."""
        self.context.phase("planning")
        written = reader.manifest_bytes() if self.plan.manifest else None
        planning.check_archive(self.plan, reader.identity(), written)
        return read_manifest(written)

    def _count(self, reader: Reader, row: dict[str, Any]) -> None:
        wanted = {step.number: step.params for step in self.plan.steps if step.op == "extract"}
        counts = reader.count_each(map(os.fsencode, paths_of(wanted.values())))
        for number, params in wanted.items():
            self.portions[number] = portion_of(params, counts)
        total = self._expected()
        row["detail"] = f"{total.entries} · {byte_size(total.bytes)}"
        self.context.progress(expected_bytes=total.bytes)

    def _expected(self) -> Count:
        counts = [portion.expected for portion in self.portions.values()]
        return Count(sum(one.entries for one in counts), sum(one.bytes for one in counts))

    def _carrier(self, manifest: dict[str, Any]) -> Carrier:
        extraction = Extraction(self.context, self.archive, self.engine, self._expected().bytes)
        safety = Safety(self.context, self.restore, self.engine, self.plan.window_hours)
        way = self._open_way
        return Carrier(self.context, self.plan, self.engine, manifest, extraction, self.portions, way, safety)

    def _open_way(self) -> Link:
        """To the view of the repository; opened once."""
        if self._way is None:
            way = open_way(
                self.context,
                self.server,
                self.engine.host,
                self._view,
                mode="tunnel",
                token=self.context.task.pk.hex[:16],
            )
            self._way = self._ways.enter_context(way)
        return self._way

    # --- on the server ---------------------------------------------------------------------------

    def _open_journal(self) -> None:
        self.context.phase("connecting")
        undoing.hold(self.context, self.restore, self.plan)
        self.touched = True
        self.engine.begin(self.context.stop)

    def _carry_all(self, carrier: Carrier) -> None:
        last = max((place for place, step in enumerate(self.plan.steps) if step.op == "exchange"), default=-1)
        for place, step in enumerate(self.plan.steps):
            if step.op not in BEFORE and not self._asked_again:
                self._take_turn()
                words = gettext_noop("Look once more: who uses what is about to change?")
                self._step("again", words, self._look_again)
            self._carry(carrier, step)
            if place == last:
                self._unstage()

    def _unstage(self) -> None:
        """Before any container starts: one may give all that lies among its data to its own user."""
        for lease in undoing.held(self.context, undoing.STAGING):
            self.context.release(lease)

    def _carry(self, carrier: Carrier, step: Step) -> None:
        self.context.phase(self._phases.get(step.op, "placing"))
        self.context.stop.check()
        self.at = step.title
        text, facts = _words(step)
        with self.context.step(f"step-{step.number}", text, **facts) as row:
            try:
                facts = carrier.carry(step, row)
                self.findings += _findings(step, facts)
            except DockerRefused as error:
                if not step.is_of_others:
                    raise
                # What was restored is good: it is not taken away because somebody else's container is not well.
                row.update(state=StepState.FAILED, detail=error.detail[:2000])
                self.findings.append(Finding("docker_others", error.detail, str(step.params["container"])))

    def _prove(self, carrier: Carrier, row: dict[str, Any]) -> None:
        """Raises NotAsInArchive: an end that is not what the plan says is a failure."""
        self.context.phase("verifying")
        self.proof = proving.prove(self.plan, self.engine, carrier, self.portions, self.context.stop)
        for name, fields in self.proof["left"].items():
            self.findings.append(Finding("docker_limits", ", ".join(fields), name))
        self._unstage()
        self.kept_bytes = int(self.engine.state().get("kept_bytes") or 0)

    # --- the record ------------------------------------------------------------------------------

    def so_far(self) -> dict[str, Any]:
        """What was done, for the record."""
        total = self._expected()
        known = {"expected_entries": total.entries, "expected_bytes": total.bytes, "proof": self.proof}
        return known if self.kept_bytes is None else {**known, "kept_bytes": self.kept_bytes}

    def _finish(self) -> Outcome:
        """Done: from now on the former state is kept for its window, or goes at once."""
        with transaction.atomic():
            until = protection.keep(self.context, self.restore, self.plan)
            DockerRestore.objects.filter(pk=self.restore.pk).update(
                state=DockerRestore.State.DONE,
                report=self.so_far(),
                finished_at=timezone.now(),
                protected_until=until,
            )
            undoing.cross_out(self.context)
        return Outcome(
            State.NOTES if self.findings else State.SUCCESS,
            tuple(self.findings),
            result={"docker_restore": str(self.restore.pk), **self.so_far()},
        )


def _findings(step: Step, facts: dict[str, Any]) -> list[Finding]:
    """What somebody should know of a step that was carried out."""
    if step.op == "stop_container" and facts.get("killed"):
        return [Finding("docker_killed", str(facts["killed"]), str(step.params["container"]))]
    if step.op == "create_container":
        words = facts.get("warnings") or []
        return [Finding("docker_engine", str(one)[:_LONGEST], str(step.params["name"])) for one in words[:_MOST]]
    if step.op == "pull_image" and facts.get("same") is False:
        wanted, got = str(step.params.get("id") or "–"), str(facts.get("id") or "–")
        return [Finding("docker_other_image", f"{wanted} → {got}", str(step.params.get("tag") or ""))]
    return []


def _words(step: Step) -> tuple[str, dict[str, Any]]:
    """The sentence of a step before it is translated, and what fills it."""
    text = sentences.SENTENCES.get((step.op, step.why)) or sentences.SENTENCES.get((step.op, ""))
    facts = {name: sentences._shown(name, value) for name, value in step.facts.items()}
    return text or sentences.TITLES[step.op], facts


def carry_out(context: TaskContext) -> Outcome:
    """The function behind the task kind “docker_restore”."""
    restore = DockerRestore.objects.select_related("archive__repository__pool", "archive__job", "server").get(
        pk=context.params["docker_restore"]
    )
    run = DockerRestoreRun(context, restore)
    try:
        return run.run()
    except BaseException as error:
        undoing.after_failure(context, restore, run, error)
        raise
