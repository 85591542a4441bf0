"""What stays of many proofs: the last ones, and those that a job's or an archive's stamp stands on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from backups.models import Archive, BackupJob
from phpborg.tasks.states import State as TaskState
from recovery.models import Depth, Proof
from recovery.services import proof_history, proof_schedules, proofs
from tests.proofs.test_proof_plans import archive, begun, ended, good, make_archive, nightly

__all__ = ["archive", "nightly"]
pytestmark = pytest.mark.django_db
State = Proof.State


def test_of_many_proofs_the_last_ones_stay_and_those_that_a_stamp_stands_on(nightly, archive, settings):
    settings.PROOFS_KEPT = 2
    gone = make_archive(nightly, 2, missing_at=timezone.now())
    stamped = make_archive(nightly, 3)

    def old(number: int, one: Archive, state: Proof.State, job: BackupJob | None = nightly) -> Proof:
        at = timezone.now() - timedelta(days=number)
        return Proof.objects.create(archive=one, job=job, depth=Depth.READ, state=state, created_at=at)

    kept = [old(1, archive, State.FAILED), old(2, archive, State.CANCELLED), old(9, stamped, State.PROVEN)]
    kept.append(old(8, archive, State.PROVEN))  # its archive's newest good one, and the job's
    kept.append(old(30, archive, State.RUNNING))
    kept += [old(40, archive, State.FAILED, None), old(41, archive, State.FAILED, None)]
    for number, one, state, job in [
        (10, stamped, State.PROVEN, nightly),
        (11, archive, State.PROVEN, nightly),
        (12, gone, State.PROVEN, nightly),
        (3, archive, State.FAILED, nightly),
        (42, archive, State.FAILED, None),
    ]:
        old(number, one, state, job)
    assert proof_history.forget() == 5
    assert set(Proof.objects.all()) == set(kept)
    assert proof_history.forget() == 0


def test_the_job_is_no_more_overdue_for_what_was_forgotten(nightly, archive, settings):
    settings.PROOFS_KEPT = 1
    proof_schedules.set_plan(job=nightly, cron="0 4 * * *", zone="UTC")
    proof = good(nightly)
    ended(begun(nightly), TaskState.FAILED, "PRF-10")
    Archive.objects.filter(pk=archive.pk).update(missing_at=timezone.now())
    proof_history.forget()
    assert proofs.standing_of(nightly).last_good == proof
