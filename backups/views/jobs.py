"""Pages of backup jobs: the list, one job, run, switch, remove."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from backups import sources
from backups.forms.filters import JobFilterForm, known
from backups.models import BackupJob, Schedule
from backups.services import docker_record, drafts, job_lists, jobs, runs, schedules
from backups.services.plan import plan_backup
from backups.sources.databases import DatabaseSource
from phpborg.accounts.rights import Right, permission, require
from phpborg.errors import PhpBorgError, describe
from phpborg.tasks import live
from phpborg.ui.answers import back, page, say, see_other
from phpborg.ui.confirm import Confirmation, ask
from phpborg.ui.offers import named
from servers.models import Server

PAGE_ROWS = 50
MOST_JOBS = 1000
RECENT = 10


@require_GET
@permission(Right.VIEW)
def jobs_page(request: HttpRequest) -> HttpResponse:
    """Every job with its last outcome, last good archive, next run, and what runs."""
    form = JobFilterForm(request.GET)
    values = known(form)
    wanted = job_lists.JobFilter(values["q"].strip(), values["server"], values["state"], values["enabled"])
    shown = Paginator(job_lists.listing(wanted), PAGE_ROWS).get_page(request.GET.get("page"))
    context = {
        "page_obj": shown,
        "rows": job_lists.rows_of(shown.object_list),
        "filters": values,
        "is_filtered": any(values.values()),
        "states": form.fields["state"].choices,  # type: ignore[attr-defined]
        "switches": form.fields["enabled"].choices,  # type: ignore[attr-defined]
        "servers": named(Server.objects.filter(jobs__isnull=False).distinct().order_by("name"), values["server"]),
        "drafts": drafts.drafts_of(request.user)[:20],
    }
    return page(request, "backups/jobs/jobs.html", context)


@require_GET
@permission(Right.VIEW)
def job_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One job: its definition in words, its schedule, its runs, its archives."""
    job = get_object_or_404(BackupJob.objects.select_related("server", "repository", "created_by"), pk=pk)
    (row,) = job_lists.rows_of([job])
    context = {
        "job": job,
        "row": row,
        "active": live.current([row.status.active])[0] if row.status.active else None,
        "runs": runs.runs_of(job).order_by("-created_at")[:RECENT],
        "archives": job.archives.present().order_by("-started_at")[:RECENT],  # type: ignore[attr-defined]
        "archives_count": job.archives.present().count(),  # type: ignore[attr-defined]
        "quiet_seconds": docker_record.last_quiet_seconds(job),
        **_definition(job),
        **_schedule(row.schedule),
    }
    return page(request, "backups/jobs/job.html", context)


def _definition(job: BackupJob) -> dict[str, object]:
    """The job in words; what keeps its plan from being made is said beside what is known."""
    known: dict[str, object] = {}
    try:
        source = sources.get(job.source_kind)
        config = source.parse(job.source)
        known = {"source_label": source.label, "config": config}
        if isinstance(source, DatabaseSource):
            known["method"] = source.method(config.method)
        return {**known, "plan": plan_backup(job=job)}
    except PhpBorgError as error:
        return {**known, "definition_error": describe(error.code, error.facts), "definition_detail": error.detail}


def _schedule(schedule: Schedule | None) -> dict[str, object]:
    if schedule is None:
        return {"preview": None}
    try:
        preview = schedules.preview(cron=schedule.cron, zone=schedule.zone, seed=str(schedule.job_id), count=5)
        return {"preview": preview}
    except PhpBorgError as error:
        return {"preview": None, "schedule_error": describe(error.code, error.facts)}


@require_POST
@permission(Right.OPERATE)
def job_run(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Queue a backup now and show its task."""
    job = get_object_or_404(BackupJob.objects.select_related("server", "repository"), pk=pk)
    try:
        task = runs.start_backup(job=job, by=request.user)
    except PhpBorgError as error:
        say(request, error)
        return back(request, job.get_absolute_url())
    messages.success(request, _("The backup “{job}” was queued.").format(job=job.name))
    return back(request, task.get_absolute_url())


@require_POST
@permission(Right.ADMINISTER)
def job_enable(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Switch the schedule on or off."""
    job = get_object_or_404(BackupJob, pk=pk)
    enabled = request.POST.get("enabled") == "1"
    jobs.set_enabled(job=job, enabled=enabled)
    messages.success(request, _("The job was enabled.") if enabled else _("The job was disabled."))
    return back(request, job.get_absolute_url())


@require_POST
@permission(Right.ADMINISTER)
def job_delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Remove the definition after saying what stays."""
    job = get_object_or_404(BackupJob.objects.select_related("repository"), pk=pk)
    removal = jobs.removal_of(job)
    question = Confirmation(
        title=_("Remove the job “{job}”?").format(job=job.name),
        text=ngettext(
            "Its schedule ends. Its {count} archive stays in the repository “{repository}” and can be restored.",
            "Its schedule ends. Its {count} archives stay in the repository “{repository}” and can be restored.",
            removal.archives,
        ).format(count=removal.archives, repository=removal.repository),
        action=_("Remove the job"),
        back=job.get_absolute_url(),
    )
    if answer := ask(request, question):
        return answer
    try:
        jobs.delete_job(job=job)
    except PhpBorgError as error:
        say(request, error)
        return see_other(job.get_absolute_url())
    messages.success(request, _("The job “{job}” was removed; its archives stay.").format(job=job.name))
    return see_other(reverse("jobs"))


@require_POST
@permission(Right.OPERATE)
def jobs_bulk(request: HttpRequest) -> HttpResponse:
    """Run, enable or disable the jobs that were ticked."""
    chosen = _chosen(request)
    action = request.POST.get("action", "")
    if not chosen:
        messages.warning(request, _("No job was chosen."))
    elif action == "run":
        _run_all(request, chosen)
    elif action in ("enable", "disable"):
        require(request.user, Right.ADMINISTER)
        for job in chosen:
            jobs.set_enabled(job=job, enabled=action == "enable")
        count = len(chosen)
        messages.success(
            request, ngettext("{count} job was changed.", "{count} jobs were changed.", count).format(count=count)
        )
    else:
        messages.error(request, _("This action is not known."))
    return back(request, reverse("jobs"))


def _run_all(request: HttpRequest, chosen: list[BackupJob]) -> None:
    started = 0
    for job in chosen:
        try:
            runs.start_backup(job=job, by=request.user)
            started += 1
        except PhpBorgError as error:
            messages.warning(request, f"{job.name}: {error}")
    if started:
        messages.success(
            request,
            ngettext("{count} backup was queued.", "{count} backups were queued.", started).format(count=started),
        )


def _chosen(request: HttpRequest) -> list[BackupJob]:
    ids = []
    for text in request.POST.getlist("job")[:MOST_JOBS]:
        try:
            ids.append(UUID(text))
        except ValueError:
            continue
    return list(BackupJob.objects.select_related("server", "repository").filter(pk__in=ids).order_by("name"))
