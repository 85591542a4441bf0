"""Who is told of what: a failure at once, then at most once a day, and once that it works again."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from backups.models import BackupJob
from notifications.models import FailureNotice, MailSettings
from notifications.services.mailing import split
from phpborg.tasks.models import Task
from phpborg.tasks.queue import enqueue
from phpborg.tasks.states import BAD, State, Trigger

TOLD = ("backup", "restore", "proof")
# Told once and not every time, and told when it works again.
RECURRING = ("backup", "proof")
AGAIN_AFTER = timedelta(days=1)


def task_ended(task: Task) -> Task | None:
    """Decide whether a letter goes out for this task; answers the mail's own task."""
    if task.kind not in TOLD or not MailSettings.load().enabled:
        return None
    state = State(task.state)
    if state in BAD:
        told = task.kind not in RECURRING or _note_failure(_subject(task))
        return _queue(task, "failure") if told else None
    if state.is_good and task.kind in RECURRING and _note_success(_subject(task)):
        return _queue(task, "recovered")
    return None


def _subject(task: Task) -> uuid.UUID:
    """What fails and works again: a job's proofs do so apart from its backups."""
    subject = task.job_ref or task.archive_ref or task.pk
    return uuid.uuid5(subject, task.kind) if task.kind == "proof" else subject


def _note_failure(subject: uuid.UUID) -> bool:
    """Count it; True when people are to be told now."""
    now = timezone.now()
    with transaction.atomic():
        notice, _ = FailureNotice.objects.select_for_update().get_or_create(subject_ref=subject)
        due = notice.told_at is None or now - notice.told_at >= AGAIN_AFTER
        notice.failures += 1
        if due:
            notice.told_at = now
        notice.save()
    return due


def _note_success(subject: uuid.UUID) -> bool:
    """Forget the failure; True when people had been told of it."""
    deleted, _ = FailureNotice.objects.filter(subject_ref=subject, told_at__isnull=False).delete()
    return deleted > 0


def _queue(task: Task, letter: str) -> Task | None:
    if not recipients_of(task):
        return None
    return enqueue(
        "mail_send",
        params={"task": str(task.pk), "letter": letter},
        subject=task.subject,
        job=_Reference(task.job_ref) if task.job_ref else None,
        trigger=Trigger.SYSTEM,
    )


class _Reference:
    """A row by its id alone."""

    def __init__(self, pk: uuid.UUID) -> None:
        self.pk = pk


def recipients_of(task: Task) -> list[str]:
    """The job's own recipients, else the installation's."""
    job: Any = BackupJob.objects.filter(pk=task.job_ref).only("notify").first() if task.job_ref else None
    return split(job.notify if job and job.notify else MailSettings.load().recipients)
