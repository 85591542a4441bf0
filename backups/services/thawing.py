"""The end of what was frozen: looked at and removed once borg has read it, and weighed once the archive is judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from backups.borg.outcome import Ended, StoppedFor, Verdict, is_warning
from backups.borg.report import Report
from backups.borg.results import ArchiveFact
from backups.job_errors import SnapshotOverflowed
from backups.services import docker_record, recording
from backups.services.freezing import Frozen, not_asked
from phpborg.tasks.context import TaskContext
from phpborg.tasks.registry import Finding
from phpborg.tasks.states import StepState


class Thawing:
    """Of one run. `now` once, then `settle`."""

    def __init__(self, context: TaskContext, frozen: Frozen) -> None:
        self.is_over = False
        self._context = context
        self._frozen = frozen
        self._error: Exception | None = None

    def may_be_early(self, ended: Ended, report: Report, stopped_for: StoppedFor) -> bool:
        """Containers wait for their end: not for the proof, too, where no other attempt can follow.

        Borg has told what it made, or it was stopped on purpose. After a lost connection it may read once more.
        """
        told = (ended.code == 0 or is_warning(ended.code)) and bool(report.answer.strip())
        return self._frozen.keeps_waiting and not self.is_over and (told or stopped_for is not StoppedFor.NOTHING)

    def now(self, title: Any, known: Sequence[Finding]) -> list[Finding]:
        """Was it whole until the last byte was read? It is removed in every case; the findings that are not `known`."""
        self.is_over = True
        frozen, finding = self._frozen, None
        with self._context.step("thaw", title) as row:
            self._context.phase("thawing")
            try:
                finding = frozen.check()
            except SnapshotOverflowed as error:
                self._error = error
                row.update(state=StepState.WARNING, detail=str(error))
                return []
            except Exception as error:
                # That nobody could ask whether it lasted is said.
                self._error, finding = error, not_asked(self._context, error)
            finally:
                frozen.remove()
            found = [*frozen.notes(known), *filter(None, [finding])]
            row["detail"] = frozen.words if docker_record.still(frozen.facts) else ""
            if found:
                row.update(state=StepState.WARNING, detail="\n".join(note.message for note in found))
        return found

    def settle(self, verdict: Verdict, remove: Callable[[ArchiveFact, str], None], keep: Callable[[], None]) -> Verdict:
        """Only what was whole to the end is a restore point; what was proven stays when nobody could be asked."""
        if isinstance(self._error, SnapshotOverflowed):
            if verdict.archive is not None:
                remove(verdict.archive, "the snapshot did not last")
            return recording.failed(verdict, self._error)
        keep()
        return verdict if self._error is None else recording.ended_by(self._error, verdict)
