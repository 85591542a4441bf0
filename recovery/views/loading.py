"""Loading dumps into a running server: the page of a draft, and its start."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from backups.models import Archive
from phpborg.accounts.rights import Right, permission
from phpborg.errors import PhpBorgError, describe
from phpborg.ui import confirm
from phpborg.ui.confirm import Confirmation
from recovery.forms_load import LoadForm
from recovery.models import Restore
from recovery.services import physical, restores, selection
from recovery.services.load_plan import LoadPlan

State = Restore.State


def find(pk: uuid.UUID) -> Restore:
    """The restore, with what its pages show."""
    rows = Restore.objects.select_related("archive__repository__pool", "archive__job", "server", "requested_by")
    return get_object_or_404(rows, pk=pk)


@require_POST
@permission(Right.OPERATE)
def load_begin(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Take up the draft of a load of this archive, or make one."""
    archive = get_object_or_404(Archive.objects.select_related("server"), pk=pk)
    return redirect(restores.load_draft(archive=archive, by=request.user))


@require_POST
@permission(Right.OPERATE)
def files_begin(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """A draft with the data directory and all that belongs to it."""
    archive = get_object_or_404(Archive.objects.select_related("server"), pk=pk)
    return redirect(selection.add(archive=archive, tokens=physical.tokens(archive), by=request.user))


def options_page(
    request: HttpRequest, row: Restore, form: LoadForm | None = None, *, status: int = 200
) -> HttpResponse:
    """What can be chosen and, as far as it is complete, what will happen."""
    if row.archive is None:
        return render(request, "recovery/load.html", {"restore": row})
    form = form or LoadForm(restore=row)
    plan: LoadPlan | None = None
    error = None
    if row.dumps and row.instance and not form.errors:
        try:
            plan = restores.load_plan_of(row)
        except PhpBorgError as problem:
            error = describe(problem.code, problem.facts)
    context = {"restore": row, "form": form, "plan": plan, "error": error}
    return render(request, "recovery/load.html", context, status=status)


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def load_options(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Keep what was chosen and show what it leads to. Its address alone leads to the draft."""
    row = find(pk)
    if row.state != State.DRAFT or row.archive is None or request.method == "GET":
        return redirect(row)
    form = LoadForm(request.POST, restore=row)
    if not form.is_valid():
        return options_page(request, row, form, status=422)
    form.save()
    return redirect(row)


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def load_start(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Start as shown; what is replaced is typed first. Its address alone leads to the draft."""
    row = find(pk)
    if row.state != State.DRAFT or row.archive is None or request.method == "GET":
        return redirect(row)
    if "confirmed" not in request.POST or row.server is None:
        form = LoadForm(request.POST, restore=row)
        if not form.is_valid():
            return options_page(request, row, form, status=422)
        form.save()
        # Everything is kept in the draft; a password must not travel through the page that asks.
        request.POST = QueryDict()  # type: ignore[assignment]
    try:
        plan = restores.load_plan_of(row)
    except PhpBorgError:
        return options_page(request, row, status=422)
    if plan.endangered and (answer := confirm.ask(request, _question(row, plan))):
        return answer
    restores.start(restore=row, by=request.user)
    return redirect(row)


def _question(row: Restore, plan: LoadPlan) -> Confirmation:
    names = ", ".join(plan.endangered)
    return Confirmation(
        title=_("Replace {names} on {server}?").format(names=names, server=plan.server),
        text=_("What is in it now is lost, and whoever is working in it is sent away. This cannot be undone."),
        action=_("Load and replace"),
        back=row.get_absolute_url(),
        typed=names,
    )
