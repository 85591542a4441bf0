"""What this room does again and again."""

import logging

from django.db import transaction
from django.utils import timezone

from phpborg.errors import PhpBorgError
from phpborg.scheduling.clock import every
from recovery.services import browse, proof_history, proof_schedules, proofs, restores, sessions

log = logging.getLogger(__name__)


@every(30)
def notice_dead_mounts() -> None:
    """An archive whose mount has died is said to be closed within a minute."""
    browse.check_open()


@every(60)
def forget_unused_logins() -> None:
    """A login that was given for a load does not outlive it, also when it never ran."""
    restores.forget_unused_logins()


@every(10)
def notice_ended_sessions() -> None:
    """A database out of an archive whose task was killed says so; what it held is the reaper's."""
    sessions.notice_ends()


@every(10)
def notice_ended_proofs() -> None:
    """A proof whose task was killed says so; what it held is the reaper's."""
    proofs.notice_ends()


@every(3600)
def forget_old_proofs() -> None:
    """A job that is proven each night fills no database."""
    proof_history.forget()


@every(0)
def start_due_proofs() -> int:
    """Start each due proof once, missed ones included once. A row that cannot be read stops no other."""
    now = timezone.now()
    taken = 0
    for plan in proof_schedules.due(now):
        try:
            # Together, so that a crash in between neither loses the proof nor starts it twice.
            with transaction.atomic():
                if proof_schedules.claim(plan, now):
                    proofs.start_scheduled(plan)
                    taken += 1
        except PhpBorgError as error:
            log.warning("proofs of job %s: %s", plan.job_id, error)
            proof_schedules.put_aside(plan)
        except Exception:
            log.exception("proofs of job %s", plan.job_id)
    return taken
