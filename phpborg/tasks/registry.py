"""The kinds of task. An app registers its own in its `tasks` module; nothing else knows them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.dispatch import Signal
from django.utils.functional import Promise

from phpborg.tasks.states import State
from phpborg.tasks.text import printable

if TYPE_CHECKING:
    from phpborg.tasks.context import TaskContext
    from phpborg.tasks.models import Task

log = logging.getLogger(__name__)

# Sent with `task` after a task has reached its final state. A receiver never hurts the task.
task_finished = Signal()


def tell_finished(task: Task) -> None:
    """Send `task_finished`; what a receiver does wrong is logged and hurts nobody."""
    for receiver, answer in task_finished.send_robust(sender=type(task), task=task):
        if isinstance(answer, Exception):
            log.error("after task %s: %s failed", task.pk, receiver, exc_info=answer)


@dataclass(frozen=True)
class Finding:
    """A note or a warning inside an outcome: `kind` is a word, `path` may be empty, `message` verbatim."""

    kind: str
    message: str
    path: str = ""

    def as_json(self) -> dict[str, str]:
        return {
            "kind": self.kind,
            "message": printable(str(self.message))[:500],
            "path": printable(self.path)[:1000],
        }


@dataclass(frozen=True)
class Outcome:
    """How a task went, as graded by its kind. Failures are raised, not returned."""

    state: State = State.SUCCESS
    findings: tuple[Finding, ...] = ()
    findings_count: int | None = None  # when more were seen than kept
    result: dict[str, Any] = field(default_factory=dict)


Run = Callable[["TaskContext"], Outcome | None]


@dataclass(frozen=True)
class Kind:
    """One kind of task: its name, its words, its queue and what runs.

    `page`: the name of the address (it takes the task's id) of what the task keeps alive until it is stopped; such a
    task has no progress, and being told to stop is its good end.
    """

    name: str
    label: str | Promise
    queue: str
    run: Run
    is_system: bool = False
    retryable: bool = True
    page: str = ""


_kinds: dict[str, Kind] = {}
_lease_kinds: dict[str, Callable[[dict[str, Any]], None]] = {}


def kind(
    name: str, *, label: str | Promise, queue: str, is_system: bool = False, retryable: bool = True, page: str = ""
) -> Callable[[Run], Run]:
    """Register the function below as what runs for tasks of this kind."""
    if queue not in settings.QUEUES:
        raise ValueError(f"no worker listens to queue {queue}")

    def register(run: Run) -> Run:
        if name in _kinds:
            raise ValueError(f"task kind {name} is registered twice")
        _kinds[name] = Kind(name, label, queue, run, is_system, retryable, page)
        return run

    return register


def get(name: str) -> Kind:
    """The kind of this name. Raises LookupError: an unknown kind is never run as something else."""
    try:
        return _kinds[name]
    except KeyError:
        raise LookupError(f"unknown kind of task: {name}") from None


def label(name: str) -> str:
    """The words for a kind, also for one that this version no longer knows."""
    known = _kinds.get(name)
    return str(known.label) if known else name


def is_retryable(name: str) -> bool:
    """May an ended task of this kind be queued again? Never one that this version does not know."""
    return name in _kinds and _kinds[name].retryable


def page_of(name: str) -> str:
    """The name of the address of what tasks of this kind keep alive; empty for one that ends by itself."""
    return _kinds[name].page if name in _kinds else ""


def all_kinds() -> list[Kind]:
    """Every kind, by name."""
    return [_kinds[name] for name in sorted(_kinds)]


def lease_kind(name: str) -> Callable[[Callable[[dict[str, Any]], None]], Callable[[dict[str, Any]], None]]:
    """Register how a lease of this kind is removed: idempotent, raises when something is left."""

    def register(remove: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        if name in _lease_kinds:
            raise ValueError(f"lease kind {name} is registered twice")
        _lease_kinds[name] = remove
        return remove

    return register


def lease_remover(name: str) -> Callable[[dict[str, Any]], None]:
    """How to remove a lease of this kind. Raises LookupError."""
    try:
        return _lease_kinds[name]
    except KeyError:
        raise LookupError(f"unknown kind of lease: {name}") from None
