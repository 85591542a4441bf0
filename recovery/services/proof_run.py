"""One proof, from the view of the repository to the stamp. Carries out the plan of proof_plan.py.

What was seen is kept step by step: a proof that fails has its evidence, too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.utils.translation import gettext_noop

from backups.models import Archive
from phpborg.errors import PhpBorgError
from phpborg.tasks.context import TaskContext
from phpborg.tasks.leases import new_token
from phpborg.tasks.registry import Finding, Outcome
from phpborg.tasks.states import State as TaskState
from recovery.checks import queries
from recovery.checks.known import CHECKERS
from recovery.engines import find
from recovery.engines.base import Found
from recovery.models import Depth, Proof
from recovery.proof_errors import NothingToAsk, NothingToProve
from recovery.services import drills, looking, opening, proof_dumps, proof_plan, proofs
from recovery.services.found import hints_of
from recovery.services.proof_read import Contents, Reader
from recovery.services.proof_sample import Sample
from recovery.services.proof_start import Start, place_of

Row = dict[str, Any]


class ProofRun:
    """State of one proof. `run` is the only entry."""

    def __init__(self, context: TaskContext, proof: Proof) -> None:
        self.context = context
        self.proof = proof
        self.notes: list[Finding] = []
        self._token = new_token()
        self._mountpoint: Path | None = None
        self._steps = proof_plan.steps(proof)

    def run(self) -> Outcome:
        """Everything, in order. Raises what is wrong; the row's end follows from the task's (recovery/receivers.py)."""
        proof = self.proof
        proofs.begins(proof)
        if proof.archive is None:
            raise NothingToProve(job=proof.job_name)
        self.archive: Archive = proof.archive
        self._view: Path = self._step("view", self._make_view)
        self._reader = Reader(self.context, self.archive, self._view)
        contents = self._step("list", self._list)
        proofs.keep(proof, Depth.LIST)
        if proof.depth >= Depth.READ:
            self._step("read", lambda row: self._read(contents, row))
            if any(step.code == "dumps" for step in self._steps):
                self._step("dumps", self._dumps)
            proofs.keep(proof, Depth.READ)
        if proof.depth >= Depth.START:
            provider = drills.provider_of(self.archive)
            if provider is None:
                self._start_all(self._step("look", self._look))
            else:
                self._drill(provider)
        self._step("stamp", lambda _row: proofs.stamp(proof))
        state = TaskState.NOTES if self.notes else TaskState.SUCCESS
        result = {"proof": str(proof.pk), "archive_name": self.archive.name, "reached": proof.reached}
        return Outcome(state, tuple(self.notes), result=result)

    def _step(self, code: str, body: Callable[[Row], Any]) -> Any:
        self.context.stop.check()
        step = next(step for step in self._steps if step.code == code)
        with self.context.step(code, step.text, **step.facts) as row:
            return body(row)

    # --- opened, listed, read --------------------------------------------------------------------

    def _make_view(self, _row: Row) -> Path:
        self.context.phase("preparing")
        return opening.make_view(self.context, self.archive, f"proof-{self._token}")

    def _list(self, row: Row) -> Contents:
        self.context.phase("verifying")
        contents = self._reader.read_list(Sample(self.proof.seed, self.proof.sample_percent))
        self.proof.evidence["list"] = {
            "entries": contents.entries,
            "files": contents.files,
            "bytes": contents.total_bytes,
            "recorded_files": self.archive.files,
            "recorded_bytes": self.archive.original_bytes,
        }
        row["detail"] = f"{contents.entries} · {contents.files} · {contents.total_bytes} B"
        return contents

    def _read(self, contents: Contents, row: Row) -> None:
        self.context.phase("verifying")
        if self.proof.sample_percent >= 100:
            self._reader.everything(contents)
            read: Row = {"percent": 100, "files": contents.files, "bytes": contents.total_bytes}
        else:
            reading = self._reader.sampled(contents, self._mounted())
            read = {
                "percent": self.proof.sample_percent,
                "seed": self.proof.seed,
                "files": reading.files,
                "bytes": reading.total_bytes,
                "sha256": reading.digest.hexdigest(),
                "rows": reading.rows,
            }
        self.proof.evidence["read"] = read
        row["detail"] = f"{read['files']} · {read['bytes']} B"

    def _mounted(self) -> Path:
        """The archive as files, once for all that want it so."""
        if self._mountpoint is None:
            self.context.phase("mounting")
            self._mountpoint = opening.mount(self.context, self.archive, self._view, f"proof-{self._token}")
            self.context.phase("verifying")
        return self._mountpoint

    def _dumps(self, row: Row) -> None:
        self.proof.evidence["dumps"] = proof_dumps.look(self.archive, self._mounted())
        row["detail"] = str(len(self.proof.evidence["dumps"]))

    # --- started ---------------------------------------------------------------------------------

    def _look(self, row: Row) -> tuple[Found, ...]:
        answer = find.find(self._mounted(), hints_of(self.archive))
        row["detail"] = ", ".join(f"{one.product} {one.version or '?'}" for one in answer.found)
        if not answer.found and answer.holds_dumps:
            self._note("not_started", gettext_noop("It holds dumps, which are no database that could be started."))
        elif not answer.found:
            self._note("not_started", gettext_noop("No data directory of a database is in this archive."))
        if not answer.whole:
            self._note("not_whole", gettext_noop("Not every folder was looked at: there may be more databases."))
        return answer.found

    def _note(self, kind: str, words: str, path: str = "", **facts: str) -> None:
        """`words` are translated when they are shown."""
        self.notes.append(Finding(kind, words.format_map(facts), path))
        self.proof.evidence.setdefault("notes", []).append({"where": path, "words": words, "facts": facts})

    def _drill(self, provider: drills.Provider) -> None:
        """A whole application; its steps are its own."""

        def keep() -> None:
            proofs.keep(self.proof)

        stage = drills.Stage(
            context=self.context,
            proof=self.proof,
            archive=self.archive,
            view=self._view,
            server=place_of(self.proof),
            queries=queries.from_json(self.proof.queries),
            note=self._note,
            keep=keep,
        )
        try:
            whole = provider.carry_out(stage)
        finally:
            keep()
        proofs.keep(self.proof, Depth.START if whole else None)

    def _start_all(self, found: tuple[Found, ...]) -> None:
        """Each of them, whatever the one before it brought to light; then the first of the errors."""
        startable = [one for one in found if one.product in CHECKERS]
        for one in found:
            if one.product not in CHECKERS:
                words = gettext_noop("There are no checks of {product} yet.")
                self._note("not_started", words, looking.shown_path(one), product=str(one.product))
        if self.proof.queries and not startable:
            proofs.keep(self.proof)
            raise NothingToAsk()
        starts = [self._start(one) for one in startable]
        errors = [start.error for start in starts if start.error is not None]
        errors += [] if errors else self._wrong_answers(starts)
        if errors:
            raise errors[0]
        whole = bool(startable) and len(startable) == len(found)
        proofs.keep(self.proof, Depth.START if whole else None)

    def _start(self, one: Found) -> Start:
        self.context.stop.check()
        step = proof_plan.start_step(one)
        start = Start(self.context, self.proof, one, self._view)
        with self.context.step("start", step.text, **step.facts) as row:
            evidence = start.carry_out()
            self.proof.evidence.setdefault("databases", []).append(evidence)
            proofs.keep(self.proof)
            if start.error is not None:
                row.update(state="failed", detail=start.error.detail[:2000])
                row["error"] = {"code": start.error.code, "facts": start.error.facts}
            else:
                if evidence.get("unread"):
                    words = gettext_noop("Some of it could not be checked by these means: the proof names it.")
                    self._note("not_whole", words, looking.shown_path(one))
                    proofs.keep(self.proof)
                row["detail"] = f"{evidence.get('tables')} · {evidence['ready_seconds']} s"
        return start

    def _wrong_answers(self, starts: list[Start]) -> list[PhpBorgError]:
        """A query is asked of each server; one of them must answer as expected."""
        wrong = []
        for number in range(len(self.proof.queries)):
            told = [start.answered[number] for start in starts if number in start.answered]
            if told and all(told):
                wrong.append(told[0])
        return [error for error in wrong if error is not None]


def carry_out(context: TaskContext) -> Outcome:
    """The proof that the task's parameters name."""
    rows = Proof.objects.select_related("archive__repository__pool", "archive__job", "job", "server")
    return ProofRun(context, rows.get(pk=context.params["proof"])).run()
