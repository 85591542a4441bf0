"""The job wizard: one address a step, a draft behind it; every button works without JavaScript."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from backups import sources
from backups.forms.wizard import OptionsForm, ReviewForm, ScheduleForm, ServerForm, WhereForm
from backups.models import BackupJob, JobDraft, Repository
from backups.services import drafts, looking, runs
from backups.services.plan import plan_backup
from backups.sources.base import SourceFacts
from backups.views.wizard_frame import forward, frame, stations, to_step
from backups.views.wizard_kind import kind_step, what_step
from phpborg.accounts.rights import Right, permission
from phpborg.errors import PhpBorgError, describe
from phpborg.ui.answers import page, say, see_other
from phpborg.ui.context import reverse_or_none
from phpborg.ui.models import Installation
from servers.models import Server

SERVERS_OFFERED, OTHERS_SHOWN = 60, 20


@require_http_methods(["GET", "POST"])
@permission(Right.ADMINISTER)
def job_wizard(request: HttpRequest) -> HttpResponse:
    """The first step of a new job: which server. The draft begins with the answer."""
    form = ServerForm(request.POST or None, initial={"server": request.GET.get("server", "")})
    if request.method == "POST" and form.is_valid():
        draft = drafts.begin(owner=request.user, server=form.cleaned_data["server"])
        return to_step(draft, "kind")
    return _server_page(request, form, None)


def _server_page(request: HttpRequest, form: ServerForm, draft: JobDraft | None) -> HttpResponse:
    """Of a large fleet only a part is offered at once: the search finds the others."""
    servers = Server.objects.order_by("name")
    text, chosen = request.GET.get("q", "").strip()[:80], str(form["server"].value() or "")
    found = servers.ready().filter(Q(name__icontains=text) | Q(address__icontains=text)) if text else servers.ready()
    ready = list(found[: SERVERS_OFFERED + 1])
    if chosen and not any(str(server.pk) == chosen for server in ready):
        ready = [*_one(servers, chosen), *ready]
    context = {
        "form": form,
        "draft": draft,
        "stations": stations(draft, "server"),
        "step": "server",
        "ready": ready[:SERVERS_OFFERED],
        "are_many": bool(text) or len(ready) > SERVERS_OFFERED,
        "text": text,
        "others": servers.exclude(state=Server.State.READY)[:OTHERS_SHOWN],
        "chosen": chosen,
        "drafts": drafts.drafts_of(request.user)[:20] if draft is None else [],
        "server_add_url": reverse_or_none("server-add"),
    }
    return page(request, "backups/wizard/server.html", context, status=422 if form.is_bound else 200)


def _one(servers: QuerySet[Server], pk: str) -> list[Server]:
    try:
        return list(servers.filter(pk=UUID(pk), state=Server.State.READY))
    except ValueError:
        return []


@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
@permission(Right.ADMINISTER)
def job_wizard_step(request: HttpRequest, pk: UUID, step: str) -> HttpResponse:
    """One step of a draft of one's own."""
    draft = get_object_or_404(drafts.drafts_of(request.user), pk=pk)
    if step not in drafts.STEPS:
        raise Http404
    return _STEPS[step](request, draft)


def _next(request: HttpRequest, draft: JobDraft, step: str, answers: dict[str, Any]) -> HttpResponse:
    """Keep the answers and go on; “Save and leave” goes to the jobs instead."""
    following = drafts.STEPS[drafts.STEPS.index(step) + 1]
    drafts.save_step(draft=draft, step=step, answers=answers, following=following)
    return forward(request, draft, following)


def server_step(request: HttpRequest, draft: JobDraft) -> HttpResponse:
    """Another server for a draft that was begun."""
    form = ServerForm(request.POST or None, initial=draft.answers.get("server", {}))
    if request.method == "POST" and form.is_valid():
        drafts.choose_server(draft=draft, server=form.cleaned_data["server"])
        return forward(request, draft, "kind")
    return _server_page(request, form, draft)


def where_step(request: HttpRequest, draft: JobDraft) -> HttpResponse:
    """Which repository."""
    form = WhereForm(request.POST or None, initial=draft.answers.get("where", {}))
    if request.method == "POST" and form.is_valid():
        chosen = {
            "repository": str(form.cleaned_data["repository"].pk),
            "compression": form.cleaned_data["compression"],
        }
        return _next(request, draft, "where", chosen)
    context = frame(
        draft,
        "where",
        form=form,
        repositories=Repository.objects.live().select_related("pool"),
        chosen=str(form["repository"].value() or ""),
        repository_new_url=reverse_or_none("repository-new"),
    )
    return page(request, "backups/wizard/where.html", context, status=422 if form.is_bound else 200)


def options_step(request: HttpRequest, draft: JobDraft) -> HttpResponse:
    """Limits, hooks, recipients."""
    server = drafts.server_of(draft)
    known = looking.hooks_of(server) if server else looking.Hooks(problem=_("Choose a server first."))
    initial = {"nice": 10, "time_limit_minutes": 0, "hook_seconds": 300, **draft.answers.get("options", {})}
    initial["time_limit_minutes"] = -(-initial.pop("time_limit_seconds", 0) // 60)
    form = OptionsForm(request.POST or None, initial=initial, hooks=None if known.problem else known.names)
    if request.method == "POST" and form.is_valid():
        return _next(request, draft, "options", form.answers())
    context = frame(draft, "options", form=form, hooks=known)
    return page(request, "backups/wizard/options.html", context, status=422 if form.is_bound else 200)


def schedule_step(request: HttpRequest, draft: JobDraft) -> HttpResponse:
    """When. “Show the next runs” keeps the answer and stays."""
    form = _schedule_form(draft, request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        answers = {"cron": form.cleaned_data["text"], "zone": form.cleaned_data["zone"]}
        if "preview" in request.POST:
            drafts.save_step(draft=draft, step="schedule", answers=answers)
            return to_step(draft, "schedule")
        return _next(request, draft, "schedule", answers)
    preview = getattr(form, "preview", None) if form.is_bound else _saved_preview(draft)
    context = frame(draft, "schedule", form=form, preview=preview)
    return page(request, "backups/wizard/schedule.html", context, status=422 if form.is_bound else 200)


def _schedule_form(draft: JobDraft, data: Any) -> ScheduleForm:
    initial = ScheduleForm.initial_of(draft.answers.get("schedule", {}), Installation.load().zone_name)
    return ScheduleForm(data, initial=initial, seed=str(draft.job_id or draft.pk))


def _saved_preview(draft: JobDraft) -> Any:
    """The runs of what the form shows at first."""
    shown = _schedule_form(draft, None).initial
    form = _schedule_form(draft, {name: _as_text(value) for name, value in shown.items()})
    return getattr(form, "preview", None) if form.is_valid() else None


def _as_text(value: Any) -> Any:
    return [str(item) for item in value] if isinstance(value, list) else str(value)


@require_GET
@permission(Right.ADMINISTER)
def job_wizard_runs(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The fragment that follows the schedule while it is chosen or typed."""
    draft = get_object_or_404(drafts.drafts_of(request.user), pk=pk)
    form = _schedule_form(draft, request.GET)
    form.is_valid()
    context = {"form": form, "preview": getattr(form, "preview", None), "draft": draft}
    return page(request, "backups/wizard/_runs.html", context)


def review_step(request: HttpRequest, draft: JobDraft) -> HttpResponse:
    """The plan: what will happen, step by step, with the very commands."""
    name = draft.answers.get("review", {}).get("name") or drafts.suggested_name(draft)
    form = ReviewForm(request.POST or None, initial={"name": name}, job=draft.job)
    if request.method == "POST" and form.is_valid():
        drafts.save_step(draft=draft, step="review", answers={"name": form.cleaned_data["name"]})
        if "leave" in request.POST:
            return forward(request, draft, "review")
        try:
            return _finish(request, draft, run_now=form.cleaned_data["run_now"])
        except PhpBorgError as error:
            say(request, error)
    problems = drafts.problems(draft)
    context = frame(
        draft,
        "review",
        form=form,
        **(_plan(draft) if not problems else {}),
        problems=[(reverse("job-wizard-step", args=[draft.pk, step]), str(error)) for step, error in problems.items()],
        preview=_saved_preview(draft) if "schedule" in draft.answers else None,
        options=draft.answers.get("options", {}),
        source_summary=drafts.source_summary(draft),
        repository=drafts.repository_of(draft),
    )
    return page(request, "backups/wizard/review.html", context, status=422 if form.is_bound else 200)


def _plan(draft: JobDraft) -> dict[str, Any]:
    """The plan with what the server says now; when it does not answer, the plan without it and the reason."""
    shown: dict[str, Any] = {}
    try:
        job = drafts.unsaved_job(draft)
        facts, problem = _facts(job)
        shown = _note(problem) if problem else {}
        return {**shown, "plan": plan_backup(job=job, facts=facts)}
    except PhpBorgError as error:
        return {**shown, **_note(error)}


def _facts(job: BackupJob) -> tuple[SourceFacts, PhpBorgError | None]:
    """What the server says of the paths of this job; of a database server the kept report says it."""
    source = sources.get(job.source_kind)
    return looking.facts_of(job) if source.asks(source.parse(job.source)) else (SourceFacts(), None)


def _note(error: PhpBorgError) -> dict[str, Any]:
    return {"note": describe(error.code, error.facts), "note_detail": error.detail}


def _finish(request: HttpRequest, draft: JobDraft, *, run_now: bool) -> HttpResponse:
    is_edit = draft.job is not None
    job = drafts.finish(draft=draft, by=request.user)
    messages.success(request, _("The job was changed.") if is_edit else _("The job was created."))
    if run_now:
        try:
            return see_other(runs.start_backup(job=job, by=request.user).get_absolute_url())
        except PhpBorgError as error:
            say(request, error)
    return see_other(job.get_absolute_url())


@require_POST
@permission(Right.ADMINISTER)
def job_edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Open the wizard with the values of a job."""
    draft = drafts.edit(owner=request.user, job=get_object_or_404(BackupJob, pk=pk))
    return to_step(draft, "what")


@require_POST
@permission(Right.ADMINISTER)
def job_draft_delete(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Throw a draft of one's own away; the job that it would change stays as it is."""
    get_object_or_404(drafts.drafts_of(request.user), pk=pk).delete()
    messages.info(request, _("The draft was discarded."))
    return see_other(reverse("jobs"))


_STEPS = {
    "server": server_step,
    "kind": kind_step,
    "what": what_step,
    "where": where_step,
    "options": options_step,
    "schedule": schedule_step,
    "review": review_step,
}
