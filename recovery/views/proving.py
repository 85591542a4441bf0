"""Pages of proofs: how the jobs stand, the plan of one job, one proof with its evidence."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from backups.models import Archive, BackupJob
from phpborg.accounts.rights import Right, permission
from phpborg.errors import PhpBorgError, describe
from phpborg.tasks import live
from phpborg.tasks.models import Task
from phpborg.ui.answers import back, page, put_on_form, say, see_other
from phpborg.ui.confirm import Confirmation, ask
from phpborg.ui.models import Installation
from recovery.forms_proof import ProofPlanForm
from recovery.models import Proof, ProofPlan
from recovery.services import drills, proof_plan, proof_schedules, proofs

RECENT = 20


@require_GET
@permission(Right.VIEW)
def proofs_page(request: HttpRequest) -> HttpResponse:
    """How every job with a plan stands, and the last proofs of all."""
    recent = Proof.objects.select_related("job", "archive").defer("evidence")[:RECENT]
    context = {"standings": proofs.standings(), "proofs": recent}
    return page(request, "recovery/proofs/proofs.html", context)


@require_GET
@permission(Right.VIEW)
def job_proofs(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The proofs of one job, and what the next one will do."""
    job = get_object_or_404(BackupJob.objects.select_related("server", "repository"), pk=pk)
    standing = proofs.standing_of(job)
    steps: Any = ()
    problem = None
    try:
        steps = proof_plan.steps(proofs.draft(job=job))
    except PhpBorgError as error:
        problem = describe(error.code, error.facts)
    context = {
        "job": job,
        "standing": standing,
        "proofs": Proof.objects.filter(job=job).select_related("archive").defer("evidence")[:RECENT],
        "steps": steps,
        "problem": problem,
    }
    return page(request, "recovery/proofs/job.html", context)


@require_http_methods(["GET", "POST"])
@permission(Right.ADMINISTER)
def job_proof_plan(request: HttpRequest, pk: UUID) -> HttpResponse:
    """When and how deep the archives of a job are proven. “Show the next runs” stays."""
    job = get_object_or_404(BackupJob, pk=pk)
    form = _form(job, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and "preview" not in request.POST:
        try:
            form.save()
            messages.success(request, _("The proofs of “{job}” were set.").format(job=job.name))
            return see_other(reverse("job-proofs", args=[job.pk]))
        except PhpBorgError as error:
            put_on_form(form, error)
    status = 422 if form.is_bound and form.errors else 200
    context = {"job": job, "form": form, "preview": _preview(job, form), "plan": _plan(job)}
    return page(request, "recovery/proofs/plan.html", context, status=status)


def _plan(job: BackupJob) -> ProofPlan | None:
    return ProofPlan.objects.select_related("server").filter(job=job).first()


def _form(job: BackupJob, data: Any) -> ProofPlanForm:
    return ProofPlanForm.of(job, _plan(job), Installation.load().zone_name, data)


def _preview(job: BackupJob, form: ProofPlanForm) -> Any:
    """The runs of what the form shows."""
    if form.is_bound:
        return getattr(form, "preview", None)
    plan = _plan(job)
    cron, zone = (plan.cron, plan.zone) if plan else ("0 4 1 * *", Installation.load().zone_name)
    try:
        return proof_schedules.preview(cron=cron, zone=zone, job=job) if cron else None
    except PhpBorgError:
        return None


@require_GET
@permission(Right.ADMINISTER)
def job_proof_runs(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The fragment that follows the schedule while it is chosen or typed."""
    job = get_object_or_404(BackupJob, pk=pk)
    form = _form(job, request.GET)
    form.is_valid()
    context = {"form": form, "preview": getattr(form, "preview", None)}
    return page(request, "backups/wizard/_runs.html", context)


@require_POST
@permission(Right.ADMINISTER)
def job_proof_remove(request: HttpRequest, pk: UUID) -> HttpResponse:
    """No proofs of this job from now on."""
    job = get_object_or_404(BackupJob, pk=pk)
    question = Confirmation(
        title=_("No more proofs of “{job}”?").format(job=job.name),
        text=_("Its archives are not proven by schedule any more. What was proven stays."),
        action=_("Remove the plan"),
        back=reverse("job-proofs", args=[job.pk]),
    )
    if answer := ask(request, question):
        return answer
    proof_schedules.remove(job)
    messages.success(request, _("The plan was removed; the proofs that were made stay."))
    return see_other(reverse("job-proofs", args=[job.pk]))


@require_POST
@permission(Right.OPERATE)
def job_prove(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Prove the newest good archive of a job now."""
    job = get_object_or_404(BackupJob, pk=pk)
    return _begin(request, reverse("job-proofs", args=[job.pk]), job=job)


@require_POST
@permission(Right.OPERATE)
def archive_prove(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Prove this archive now, as its job's plan says."""
    archive = get_object_or_404(Archive.objects.select_related("repository__pool", "job", "server"), pk=pk)
    return _begin(request, archive.get_absolute_url(), archive=archive)


def _begin(request: HttpRequest, address: str, **what: Any) -> HttpResponse:
    try:
        proof = proofs.draft(**what, by=request.user)
        proofs.start(proof=proof)
    except PhpBorgError as error:
        say(request, error)
        return back(request, address)
    return see_other(proof.get_absolute_url())


@require_GET
@permission(Right.VIEW)
def proof_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One proof: what it does now, and what it has seen."""
    rows = Proof.objects.select_related("archive", "job", "server", "requested_by")
    proof = get_object_or_404(rows, pk=pk)
    task = Task.objects.filter(pk=proof.task_ref).first() if proof.task_ref else None
    context = {
        "proof": proof,
        "row": task,
        "task": live.current([task])[0] if task else None,
        "databases": proof.evidence.get("databases", []),
        "drill_template": drills.evidence_template(proof.evidence),
    }
    return page(request, "recovery/proofs/proof.html", context)
