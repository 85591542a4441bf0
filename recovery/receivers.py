"""What this app does when something happens elsewhere: a task ended."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from phpborg.tasks.models import Task
from phpborg.tasks.registry import task_finished
from recovery.models import Proof, Session
from recovery.services import proofs, sessions


@receiver(task_finished, dispatch_uid="recovery.session_ended")
def end_session(task: Task, **_kwargs: Any) -> None:
    """Stopped, failed, killed, cancelled before its turn: the session of a task ends as the task does."""
    for session in Session.objects.active().filter(task_ref=task.pk):
        sessions.follow(session, task)


@receiver(task_finished, dispatch_uid="recovery.proof_ended")
def end_proof(task: Task, **_kwargs: Any) -> None:
    """As its task ends, a proof does."""
    for proof in Proof.objects.active().filter(task_ref=task.pk):
        proofs.follow(proof, task)
