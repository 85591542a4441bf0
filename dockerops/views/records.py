"""The list of Docker restores, the record of one with its live steps, and what can be done with it."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dockerops.choice import Choice
from dockerops.models import DockerRestore
from dockerops.options import Options
from dockerops.plan import DockerPlan
from dockerops.services import drafts, protection, rollback, safety_end
from dockerops.services.safety import safety_of
from dockerops.views.frame import LABELS, Step, address, restores, task_context
from phpborg.accounts.rights import Right, permission
from phpborg.tasks.models import Task
from phpborg.ui import confirm
from phpborg.ui.answers import page, see_other
from phpborg.ui.confirm import Confirmation
from phpborg.ui.format import byte_size

State = DockerRestore.State
PAGE_ROWS, DRAFTS_SHOWN = 50, 20


@require_GET
@permission(Right.VIEW)
def docker_restores(request: HttpRequest) -> HttpResponse:
    """Every Docker restore, newest first; one's own drafts above."""
    rows = restores(request)
    shown = Paginator(rows.exclude(state=State.DRAFT), PAGE_ROWS).get_page(request.GET.get("page"))
    tasks = Task.objects.in_bulk([row.task_ref for row in shown.object_list if row.task_ref])
    context = {
        "page_obj": shown,
        "rows": [(row, tasks.get(row.task_ref) if row.task_ref else None) for row in shown.object_list],
        "drafts": _drafts(request, rows),
    }
    return page(request, "dockerops/restores.html", context)


def _drafts(request: HttpRequest, rows: Any) -> list[tuple[DockerRestore, str, Any]]:
    """One's own with the step that each has reached; none for who may not operate (any more)."""
    user: Any = request.user
    if not user.may(Right.OPERATE):
        return []
    found = rows.filter(state=State.DRAFT)[:DRAFTS_SHOWN]
    return [(row, address(row, Step(row.step)), LABELS[Step(row.step)]) for row in found]


@require_GET
@permission(Right.VIEW)
def docker_restore(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The record; the address of a draft leads to the step that it has reached."""
    row = get_object_or_404(restores(request), pk=pk)
    if row.is_draft:
        return see_other(address(row, Step(row.step)))
    plan = DockerPlan.from_json(row.plan) if row.plan else None
    undoing, forgetting = task_context(row.rollback_task), _forgetting(row)
    context = {
        "restore": row,
        "plan": plan,
        "steps": plan.steps if plan else (),
        "choice": Choice.from_json(row.choice),
        "options": Options.from_json(row.options),
        "undoing": undoing,
        "forgetting": forgetting,
        "rollback_question": rollback_question(row),
        "forget_question": forget_question(row),
        "kept": plan.protected if plan and row.is_protected else (),
        "has_kept_containers": any(one.what == "container" for one in plan.protected) if plan else False,
        **_safety(row),
        **task_context(row.task_ref),
    }
    context["is_busy"] = bool(context["is_waiting"] or undoing["is_waiting"] or forgetting)
    return page(request, "dockerops/restore.html", context)


def _safety(row: DockerRestore) -> dict[str, Any]:
    """The archive of what was replaced, until when it stays, and why longer."""
    found = safety_of(row)
    if found is None:
        return {"safety": None}
    leases = safety_end.held(row)
    return {
        "safety": found,
        "safety_until": leases[0].keep_until if leases else None,
        "safety_stays": safety_end.why_it_stays(found),
    }


def _forgetting(row: DockerRestore) -> Task | None:
    """The task that lets go what is kept, while it waits or runs."""
    if not row.is_protected:
        return None
    found = Task.objects.active().filter(kind=protection.KIND, server_ref=row.server_id)
    return next((task for task in found if task.params.get("docker_restore") == str(row.pk)), None)


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def docker_rollback(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Bring the former state back, after a question that says what that means. Its address leads to the record."""
    row = get_object_or_404(restores(request), pk=pk)
    if request.method == "GET" or row.is_draft:
        return redirect(row)
    may = row.is_protected or row.is_half_undone
    if may and (answer := confirm.ask(request, rollback_question(row))):
        return answer
    rollback.start(restore=row, by=request.user)
    return redirect(row)


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def docker_forget(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Let go what is kept of the former state, after a question. The address alone leads to the record."""
    row = get_object_or_404(restores(request), pk=pk)
    if request.method == "GET" or row.is_draft:
        return redirect(row)
    if row.is_protected and (answer := confirm.ask(request, forget_question(row))):
        return answer
    protection.start_forget(restore=row, by=request.user)
    messages.info(request, _("What was kept of the former state is being removed."))
    return redirect(row)


@require_POST
@permission(Right.OPERATE)
def docker_discard(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Throw a draft of one's own away; anything else stays."""
    row = get_object_or_404(restores(request), pk=pk)
    if row.is_draft:
        drafts.discard(restore=row)
        messages.info(request, _("The draft was discarded."))
    return redirect("docker-restores")


def rollback_question(row: DockerRestore) -> Confirmation:
    """What one click does."""
    text = _(
        "What the restore put in place on {server} goes, and what was there before comes back: containers under "
        "their names and in their state of then, volumes and directories with their content of then. What was "
        "written there since the restore is lost."
    )
    return Confirmation(
        title=_("Roll back this restore?"),
        text=text.format(server=row.server_name),
        action=_("Roll back"),
        back=row.get_absolute_url(),
        tone="bad",
    )


def forget_question(row: DockerRestore) -> Confirmation:
    """What is given up."""
    size: Any = row.report.get("kept_bytes")
    text = _("The former state that is kept aside on {server} is removed. Then the restore cannot be rolled back.")
    words = [text.format(server=row.server_name)]
    if isinstance(size, int):
        words.append(_("That frees {size}.").format(size=byte_size(size)))
    archive = safety_of(row)
    if archive is not None and safety_end.held(row) and not safety_end.why_it_stays(archive):
        words.append(_("The archive {name} is deleted as well; pin it first to keep it.").format(name=archive.name))
    return Confirmation(
        title=_("Remove the protection?"),
        text=" ".join(words),
        action=_("Remove the protection"),
        back=row.get_absolute_url(),
        tone="warn",
    )
