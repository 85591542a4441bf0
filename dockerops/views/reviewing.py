"""The last step: the plan as it will be carried out, its script, and the start."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods

from dockerops import script
from dockerops.choice import Choice
from dockerops.conflict import Conflict
from dockerops.errors import NotPlanned
from dockerops.models import DockerRestore
from dockerops.options import Options
from dockerops.plan import DockerPlan
from dockerops.services import planning, starting
from dockerops.templatetags.docker_tags import shown
from dockerops.views.frame import Step, draft_of, frame, missing_before, restores, to_step
from phpborg.accounts.rights import Right, permission
from phpborg.errors import PhpBorgError, describe
from phpborg.ui import confirm
from phpborg.ui.answers import page
from phpborg.ui.confirm import Confirmation
from recovery.download_names import disposition

FORMS = ("simple", "advanced")


@require_GET
@permission(Right.OPERATE)
def docker_review(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The steps in order, each with what it touches and its undo; and the same as a script."""
    row = draft_of(request, pk)
    if (missing := missing_before(row, Step.REVIEW)) is not None:
        return to_step(row, missing)
    return _page(request, row)


def _page(request: HttpRequest, row: DockerRestore, *, has_changed: bool = False, status: int = 200) -> HttpResponse:
    plan, error, detail = None, None, ""
    open_conflicts: tuple[Conflict, ...] = ()
    try:
        plan = planning.plan_of(row)
    except NotPlanned as problem:
        error, open_conflicts = describe(problem.code, problem.facts), problem.conflicts
    except PhpBorgError as problem:
        error, detail = describe(problem.code, problem.facts), problem.detail
    form = _form(request)
    context = frame(
        request,
        row,
        Step.REVIEW,
        plan=plan,
        shown=plan.hash if plan else "",
        question=question(row, plan) if plan else None,
        steps=plan.steps if plan else (),
        choice=Choice.from_json(row.choice),
        options=Options.from_json(row.options),
        has_changed=has_changed,
        error=error,
        detail=detail,
        open_conflicts=open_conflicts,
        **_script(plan, form),
    )
    return page(request, "dockerops/review.html", context, status=422 if error and status == 200 else status)


def _form(request: HttpRequest) -> str:
    wanted = request.GET.get("form", "")
    return wanted if wanted in FORMS else FORMS[0]


def _script(plan: DockerPlan | None, form: str) -> dict[str, Any]:
    """The script for the page; a reason instead where there is none."""
    text, problem = "", None
    if plan is not None:
        try:
            text = script.script(plan, form)
        except PhpBorgError as error:
            problem = describe(error.code, error.facts)
    return {"script": text, "script_form": form, "script_problem": problem}


@require_GET
@permission(Right.OPERATE)
def docker_script(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The script as a file: of a draft as it stands, of a record as it was carried out."""
    row = get_object_or_404(restores(request), pk=pk)
    if row.is_draft and (missing := missing_before(row, Step.REVIEW)) is not None:
        return to_step(row, missing)
    form = _form(request)
    plan = planning.plan_of(row) if row.is_draft else planning.stored_plan(row)
    answer = HttpResponse(script.script(plan, form).encode(), content_type="text/x-shellscript; charset=utf-8")
    answer["Content-Disposition"] = disposition(f"docker-restore-{form}-{row.pk.hex[:8]}.sh".encode())
    answer["Cache-Control"] = "no-store"
    return answer


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def docker_start(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Carry out what was shown; a plan that has become another is shown first. Its address alone leads to the plan."""
    row = get_object_or_404(restores(request), pk=pk)
    if not row.is_draft:
        return redirect(row)
    if (missing := missing_before(row, Step.REVIEW)) is not None:
        return to_step(row, missing)
    if request.method == "GET":
        return to_step(row, Step.REVIEW)
    try:
        plan = planning.plan_of(row)
    except PhpBorgError:
        return _page(request, row, status=422)
    if request.POST.get("shown") != plan.hash:
        return _page(request, row, has_changed=True, status=422)
    if answer := confirm.ask(request, question(row, plan)):
        return answer
    starting.start(restore=row, plan_hash=plan.hash, by=request.user)
    return redirect(row)


def question(row: DockerRestore, plan: DockerPlan) -> Confirmation:
    """What is about to happen, in numbers. Where nothing is kept of what is replaced, the server's name is typed."""
    stopped = [shown(step.params.get("container", "")) for step in plan.steps if step.op == "stop_container"]
    steps = len(plan.steps)
    words = [ngettext("{count} step is carried out.", "{count} steps are carried out.", steps).format(count=steps)]
    if stopped:
        words.append(_("These containers stop: {names}.").format(names=", ".join(stopped)))
    if not plan.protected:
        words.append(_("Nothing that is there now is replaced."))
    elif plan.protect != "none":
        hours = plan.window_hours
        kept = ngettext(
            "What is replaced is kept for {count} hour and can be brought back until then.",
            "What is replaced is kept for {count} hours and can be brought back until then.",
            hours,
        )
        words.append(kept.format(count=hours))
        if safety := next((step.params["archive"] for step in plan.steps if step.op == "archive_former"), ""):
            text = _(
                "Its files are put into the archive {name} first, which goes at the same time unless it is pinned."
            )
            words.append(text.format(name=safety))
    else:
        words.append(_("What is replaced is gone after success: this cannot be undone."))
    is_lossy = bool(plan.protected) and plan.protect == "none"
    return Confirmation(
        title=_("Restore to {server}?").format(server=plan.server_name),
        text=" ".join(words),
        action=_("Restore"),
        back=row.get_absolute_url(),
        typed=plan.server_name if is_lossy else "",
        tone="bad" if is_lossy else "warn" if plan.protected or stopped else "info",
    )
