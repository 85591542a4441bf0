"""Proofs of restore: asked for, started by their schedule, ended as their task ends, and how a job stands."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from backups.models import Archive, BackupJob
from phpborg.errors import PhpBorgError
from phpborg.tasks import queue
from phpborg.tasks.errors import AlreadyActive, TaskLost
from phpborg.tasks.models import Task
from phpborg.tasks.states import State as TaskState
from phpborg.tasks.states import Trigger
from recovery.errors import ArchiveGone
from recovery.models import Depth, Proof, ProofPlan
from recovery.proof_errors import DISPROVED, NothingToProve
from recovery.services import drills, proof_schedules
from servers.models import Server

KIND = "proof"
State = Proof.State


@dataclass(frozen=True)
class Choices:
    """How a proof is made, as a plan or a person says it."""

    depth: int = Depth.READ
    sample_percent: int = 100
    server: Server | None = None
    docker: str = ""
    image: str = ""
    queries: tuple[dict[str, Any], ...] = ()


def choices_of(job: BackupJob | None) -> Choices:
    """Those of the job's plan; the usual ones without a plan."""
    plan = ProofPlan.objects.select_related("server").filter(job=job).first() if job else None
    if plan is None:
        return Choices()
    return Choices(plan.depth, plan.sample_percent, plan.server, plan.docker, plan.image, tuple(plan.queries))


def newest_good(job: BackupJob) -> Archive | None:
    """What a proof of the job proves."""
    rows = Archive.objects.good().filter(job=job, repository__trashed_at__isnull=True)
    return rows.select_related("repository__pool", "job", "server").order_by("-started_at").first()


def draft(
    *,
    archive: Archive | None = None,
    job: BackupJob | None = None,
    choices: Choices | None = None,
    by: Any = None,
    trigger: Trigger = Trigger.MANUAL,
) -> Proof:
    """A proof that has not begun, of an archive or of a job's newest good one. Raises ArchiveGone, NothingToProve."""
    if archive is None:
        assert job is not None
        archive = newest_good(job)
        if archive is None:
            raise NothingToProve(job=job.name)
    if archive.missing_at or archive.trashed_at or archive.repository.trashed_at:
        raise ArchiveGone(name=archive.name)
    return _row(archive, archive.job, choices or choices_of(archive.job), by, trigger)


def _row(archive: Archive | None, job: BackupJob | None, choices: Choices, by: Any, trigger: Trigger) -> Proof:
    return Proof(
        archive=archive,
        archive_name=archive.name if archive else "",
        job=job,
        job_name=job.name if job else archive.job_name if archive else "",
        depth=choices.depth,
        sample_percent=choices.sample_percent,
        seed=secrets.token_hex(8),
        server=choices.server,
        docker=choices.docker,
        image=choices.image,
        queries=list(choices.queries) if choices.depth == Depth.START else [],
        trigger=trigger,
        requested_by=by if getattr(by, "pk", None) else None,
    )


def start(*, proof: Proof) -> Task:
    """Save it and queue its task. Raises AlreadyActive while another proof of the same job waits or runs."""
    archive, job = proof.archive, proof.job
    try:
        with transaction.atomic():
            proof.save(force_insert=True)
            task = queue.enqueue(
                KIND,
                params={"proof": str(proof.pk)},
                subject=proof.job_name or proof.archive_name,
                server=proof.server,
                job=job,
                repository=archive.repository if archive else None,
                archive=archive,
                by=proof.requested_by,
                trigger=Trigger(proof.trigger),
            )
            proof.task_ref = task.pk
            Proof.objects.filter(pk=proof.pk).update(task_ref=task.pk)
    except IntegrityError:
        raise AlreadyActive() from None
    return task


def start_scheduled(plan: ProofPlan) -> Task | None:
    """What a schedule asks for. Nothing to prove is the task's failure, so that somebody hears of it.

    None when a proof of this job goes on: it says what there is to say.
    """
    proof = _row(newest_good(plan.job), plan.job, choices_of(plan.job), None, Trigger.SCHEDULE)
    try:
        return start(proof=proof)
    except AlreadyActive:
        return None


# --- what its run writes ---------------------------------------------------------------------------


def begins(proof: Proof) -> None:
    """Its worker has taken it."""
    proof.started_at = timezone.now()
    Proof.objects.filter(pk=proof.pk, state=State.WAITING).update(state=State.RUNNING, started_at=proof.started_at)


def keep(proof: Proof, reached: int | None = None) -> None:
    """What was seen so far, also when it goes no further."""
    if reached is not None:
        proof.reached = reached
    Proof.objects.filter(pk=proof.pk).update(evidence=proof.evidence, reached=proof.reached)


def stamp(proof: Proof) -> None:
    """It is proven: the record and the archive's stamp, together."""
    assert proof.archive is not None
    now = timezone.now()
    seconds = (now - (proof.started_at or now)).total_seconds()
    with transaction.atomic():
        Proof.objects.filter(pk=proof.pk).update(state=State.PROVEN, ended_at=now, duration_seconds=seconds)
        Archive.objects.filter(pk=proof.archive.pk).update(
            proven_at=now, proven_depth=proof.reached, proven_seconds=seconds
        )
    proof.state, proof.ended_at, proof.duration_seconds = State.PROVEN, now, seconds


def follow(proof: Proof, task: Task | None) -> bool:
    """Write the end of a proof, once, from that of its task; None is one that is gone. False while it goes on.

    What was disproven loses its stamp; a proof that could not be made says nothing about the archive.
    """
    if task is not None and task.is_active:
        return False
    now = timezone.now()
    fields: dict[str, Any] = {"state": State.FAILED, "error_code": TaskLost.code}
    if task is not None:
        told = {"error_code": task.error_code, "error_facts": task.error_facts, "error_detail": task.error_detail}
        fields = {"state": State.CANCELLED if task.state == TaskState.CANCELLED else State.FAILED, **told}
    if proof.started_at is not None:
        fields["duration_seconds"] = (now - proof.started_at).total_seconds()
    kinds: tuple[type[PhpBorgError], ...] = (*DISPROVED, *drills.disproved())
    disproved = fields["error_code"] in {kind.code for kind in kinds}
    with transaction.atomic():
        ended = Proof.objects.active().filter(pk=proof.pk).update(**fields, ended_at=now)
        if ended and proof.archive_id and disproved:
            Archive.objects.filter(pk=proof.archive_id).update(proven_at=None, proven_depth=None, proven_seconds=None)
    return True


def notice_ends() -> int:
    """For the clock: ends of which nobody told us; answers how many there were."""
    proofs = list(Proof.objects.active())
    tasks = Task.objects.in_bulk([proof.task_ref for proof in proofs if proof.task_ref])
    return sum(follow(proof, tasks.get(proof.task_ref) if proof.task_ref else None) for proof in proofs)


# --- how a job stands ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """What a page shows of a job's proofs."""

    plan: ProofPlan
    last: Proof | None
    last_good: Proof | None
    is_overdue: bool

    @property
    def is_failing(self) -> bool:
        return self.last is not None and self.last.state == State.FAILED


def standings(jobs: Iterable[uuid.UUID] | None = None) -> list[Standing]:
    """Of the jobs that have a plan, in three queries however many they are; by name."""
    ended = Proof.objects.ended().filter(job=OuterRef("job")).order_by("-created_at")
    rows = ProofPlan.objects.select_related("job", "server").annotate(
        last_pk=Subquery(ended.values("pk")[:1]),
        good_pk=Subquery(ended.filter(state=State.PROVEN).values("pk")[:1]),
    )
    if jobs is not None:
        rows = rows.filter(job__in=list(jobs))
    plans = list(rows.order_by("job__name"))
    wanted = [pk for plan in plans for pk in (plan.last_pk, plan.good_pk) if pk]
    proofs = {proof.pk: proof for proof in Proof.objects.defer("evidence").filter(pk__in=wanted)}
    now = timezone.now()
    return [_standing(plan, proofs.get(plan.last_pk), proofs.get(plan.good_pk), now) for plan in plans]


def _standing(plan: ProofPlan, last: Proof | None, good: Proof | None, now: Any) -> Standing:
    before = proof_schedules.overdue_before(plan, now)
    # A plan that was just made is not overdue before its first time.
    since = (good.ended_at if good else None) or plan.created_at
    return Standing(plan, last, good, before is not None and since < before)


def standing_of(job: BackupJob) -> Standing | None:
    """None without a plan."""
    found = standings([job.pk])
    return found[0] if found else None
