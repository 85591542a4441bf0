"""When what was frozen goes, and what that means for the archive; server and borg are fakes that keep the order."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any
from unittest.mock import MagicMock

import pytest

from backups import errors as e
from backups.borg.outcome import Ending, State, StoppedFor, Verdict
from backups.borg.report import Report
from backups.borg.results import ArchiveFact
from backups.services import backup_run, credentials, key_guard
from backups.services.backup_run import BackupRun
from backups.services.freezing import Frozen
from backups.services.thawing import Thawing
from backups.sources.base import Freeze
from phpborg.errors import PhpBorgError
from phpborg.tasks.context import Cancelled
from servers import errors as server_errors

PROOF = ArchiveFact(name="a", id="1" * 64, started_at=datetime(2026, 1, 1, tzinfo=UTC))


class FakeRun(BackupRun):
    """A run of which everything but the order is a fake: `order` is what was done."""

    def __init__(
        self,
        kind: str,
        *attempts: Ending | Exception,
        answer: bytes = b"{}",
        check: Exception | None = None,
        lasted: bool = True,
    ) -> None:
        self.order: list[str] = []
        self.removed: list[str] = []
        self.context = MagicMock()
        self.context.stop.is_set.return_value = False
        self.context.step = lambda code, _title: self._noted(code)
        self.job, self.plan, self.doubt, self.creation = MagicMock(), MagicMock(), MagicMock(), MagicMock()
        self.creation.streams.missing.return_value = []
        self.plan.archive, self.plan.source.paths = "a", ()
        self.hooks = MagicMock()
        self.plan.hook_before = False
        self.notes, self.attempts = [], 0
        self.facts = None
        self._ends, self._answer, self._check, self._lasted = list(attempts), answer, check, lasted
        self.host = MagicMock()
        self.host.call.side_effect = self._asked
        self.frozen = Frozen(self.context, self.job, self.host, Freeze(kind, {}, (), "", ""))
        self.frozen.make()
        self.thawing = Thawing(self.context, self.frozen)
        self.context.release = self._back

    def _back(self, _lease: object) -> bool:
        self.order.append("back")
        return True

    def _noted(self, code: str) -> Any:
        self.order.append(code)
        return nullcontext({})

    def _asked(self, _verb: str, args: dict[str, Any], **_more: Any) -> dict[str, Any]:
        if args["action"] == "state" and self._check is not None:
            raise self._check
        return {"valid": self._lasted}

    def _title(self, code: str) -> str:
        return code

    def _link(self) -> Any:
        return nullcontext()

    def _wait(self, seconds: float) -> None:
        self.order.append("wait")

    def _borg(self, way: Any, report: Report) -> Any:
        end = self._ends.pop(0)
        if isinstance(end, Exception):
            raise end
        report.answer = bytearray(self._answer)
        return end

    def _prove(self, stopped_for: StoppedFor) -> ArchiveFact | None:
        self.order.append("prove")
        return None if self._ends else PROOF

    def _remove(self, archive: ArchiveFact, reason: str) -> None:
        self.removed.append(archive.name)

    def _freeze(self, row: dict[str, Any]) -> None:
        """It was made already."""

    def _look(self, row: dict[str, Any]) -> None: ...

    def _grade(self, verdict: Any) -> Any:
        return verdict


def judged(*_args: Any, proof: ArchiveFact | None, stopped_for: StoppedFor, **_more: Any) -> Verdict:
    """As the real one for a run that ended well, or lost its connection."""
    if stopped_for is StoppedFor.CANCEL:
        return Verdict(state=State.CANCELLED, archive=proof)
    error = None if proof else e.ConnectionLost(host="x")
    return Verdict(state=State.FAILED if error else State.SUCCESS, archive=proof, error=error)


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "named", lambda _job, arguments: dict(arguments))
    monkeypatch.setattr(credentials, "for_tools", lambda _job: {})
    monkeypatch.setattr(key_guard, "check", lambda repository: None)
    monkeypatch.setattr(backup_run, "judge_create", judged)


LOST = server_errors.ConnectionLost(address="x")
ENDS = ["thaw", "back"]


@pytest.mark.parametrize(
    ("kind", "attempts", "answer", "order"),
    [
        ("docker", [Ending(0)], b"{}", ["create", *ENDS, "prove"]),
        ("docker", [Ending(1)], b"{}", ["create", *ENDS, "prove"]),
        # Nobody knows what it made, or it may be tried once more: for that everything keeps still.
        ("docker", [Ending(0)], b"", ["create", "prove", *ENDS]),
        ("docker", [Ending(2)], b"", ["create", "prove", *ENDS]),
        ("docker", [LOST, Ending(0)], b"{}", ["create", "prove", "wait", "create", *ENDS, "prove"]),
        ("lvm", [Ending(0)], b"{}", ["create", "prove", *ENDS]),
    ],
)
def test_with_fakes_containers_do_not_wait_for_the_proof(
    kind: str, attempts: list[Any], answer: bytes, order: list[str]
) -> None:
    run: Any = FakeRun(kind, *attempts, answer=answer)
    run._to_proof()
    assert [one for one in run.order if one not in ("look", "freeze")] == order
    assert run.doubt.end.call_count == 1


def test_with_fakes_containers_of_a_cancelled_run_do_not_wait_for_the_proof() -> None:
    run: Any = FakeRun("docker", Ending(None, signal=15), answer=b"")
    run.context.stop.is_set.return_value = True
    run.context.stop.reason = "cancel"
    assert run._to_proof().state == State.CANCELLED
    assert run.order[-4:] == ["create", *ENDS, "prove"]


@pytest.mark.parametrize("kind", ["docker", "lvm"])
@pytest.mark.parametrize(
    ("check", "state", "removed"),
    [
        (None, State.FAILED, ["a"]),
        (Cancelled(), State.CANCELLED, []),
        (ValueError("broken"), State.SUCCESS, []),
    ],
)
def test_with_fakes_what_did_not_last_is_no_restore_point_whenever_that_was_seen(
    kind: str, check: Exception | None, state: State, removed: list[str]
) -> None:
    run: Any = FakeRun(kind, Ending(0), check=check, lasted=check is not None)
    verdict = run._to_proof()
    assert (verdict.state, run.removed) == (state, removed)
    assert (verdict.archive is None) == bool(removed)
    assert isinstance(verdict.error, PhpBorgError) == bool(removed)
    assert run.order.count("back") == 1
    assert run.doubt.end.called == (not removed)
    assert ("freeze_unknown" in [note.kind for note in run.notes]) == (not removed)
