"""The restore wizard and the record of a restore."""

from __future__ import annotations

import os
import uuid

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from backups.models import Archive
from phpborg.accounts.rights import Right, permission
from phpborg.errors import PhpBorgError, describe
from phpborg.tasks import live
from phpborg.tasks.models import Task
from phpborg.ui import confirm
from phpborg.ui.confirm import Confirmation
from recovery import paths
from recovery.errors import ArchiveGone, NothingSelected
from recovery.forms import OptionsForm, PathsForm
from recovery.models import Restore
from recovery.services import physical, preview, restores, selection
from recovery.services.dumps import record_of
from recovery.services.next_commands import Command
from recovery.services.plan import RestorePlan
from recovery.views import loading

State = Restore.State


def _restore(pk: uuid.UUID) -> Restore:
    rows = Restore.objects.select_related("archive__repository__pool", "archive__job", "server", "requested_by")
    return get_object_or_404(rows, pk=pk)


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def restore_wizard(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The first step without browsing: the whole archive, or paths typed by hand."""
    archive = get_object_or_404(Archive.objects.select_related("repository", "job", "server"), pk=pk)
    if archive.missing_at or archive.trashed_at:
        raise ArchiveGone(name=archive.name)
    form = PathsForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        lines = form.cleaned_data["lines"]
        tokens = [""] if form.cleaned_data["whole"] else [paths.token(os.fsencode(line)) for line in lines]
        try:
            return redirect(selection.add(archive=archive, tokens=tokens, by=request.user))
        except PhpBorgError as error:
            form.add_error("paths", describe(error.code, error.facts).title)
    record = record_of(archive)
    context = {
        "archive": archive,
        "form": form,
        "draft": selection.draft_of(archive, request.user),
        "record": record,
        "has_files": record is not None and bool(physical.directories(record)),
    }
    return render(request, "recovery/pick.html", context, status=422 if form.errors else 200)


@require_GET
@permission(Right.VIEW)
def restores_page(request: HttpRequest) -> HttpResponse:
    """Every restore, newest first; own drafts on top."""
    rows = Restore.objects.exclude(state=State.DRAFT).select_related("archive", "server", "requested_by")
    drafts = Restore.objects.filter(state=State.DRAFT, requested_by_id=request.user.pk).select_related("archive")[:20]
    page = Paginator(rows, 50).get_page(request.GET.get("page"))
    tasks = Task.objects.in_bulk([row.task_ref for row in page.object_list if row.task_ref])
    rows_with_tasks = [(row, tasks.get(row.task_ref) if row.task_ref else None) for row in page.object_list]
    return render(request, "recovery/restores.html", {"page_obj": page, "rows": rows_with_tasks, "drafts": drafts})


@require_GET
@permission(Right.VIEW)
def restore(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """A draft's options, or what was done."""
    row = _restore(pk)
    if row.state == State.DRAFT:
        loads = row.kind == Restore.Kind.LOAD
        return loading.options_page(request, row) if loads else _options_page(request, row, OptionsForm(instance=row))
    task = Task.objects.filter(pk=row.task_ref).first() if row.task_ref else None
    items = [
        {
            "source": paths.shown(paths.parse(item["source"])) or "/",
            "final": "/" + paths.shown(paths.parse(item["final"])),
        }
        for item in row.plan.get("items", [])[: preview.SHOWN_PATHS]
        if row.kind == Restore.Kind.FILES
    ]
    snapshot = live.current([task])[0] if task else None
    context = {
        "restore": row,
        "task": snapshot,
        "row": task,
        "items": items,
        "next_commands": _next(row),
        "can_operate": request.user.may(Right.OPERATE),  # type: ignore[union-attr]
    }
    return render(request, "recovery/restore.html", context)


def _next(row: Restore) -> list[Command]:
    """What follows after files of a database server were put back; nothing when that cannot be said any more."""
    if row.kind != Restore.Kind.FILES or row.archive is None or row.server is None:
        return []
    try:
        return physical.commands_after(row, restores.plan_of(row))
    except PhpBorgError:
        return []


def _options_page(request: HttpRequest, row: Restore, form: OptionsForm, *, status: int = 200) -> HttpResponse:
    """Options and, as far as they are complete, the preview. Asking the server waits for a wish."""
    error = shown = None
    after: list[Command] = []
    unanswered = row.destination == Restore.Destination.OTHER_PATH and not row.target_path
    if row.archive is not None and row.server is not None and not form.errors and not unanswered:
        try:
            plan = restores.plan_of(row)
            after = physical.commands_after(row, plan)
            shown = preview.of(
                row, plan, ask_server=request.GET.get("check") == "1" or request.POST.get("check") == "1"
            )
        except PhpBorgError as problem:
            error = describe(problem.code, problem.facts)
    picked = [(text, paths.shown(paths.parse(text)) or "/") for text in row.selection[: preview.SHOWN_PATHS]]
    context = {"restore": row, "form": form, "preview": shown, "error": error, "picked": picked, "next_commands": after}
    return render(request, "recovery/options.html", context, status=status)


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def restore_options(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Keep the options of a draft and show what they lead to. Its address alone leads to the draft."""
    row = _restore(pk)
    if row.state != State.DRAFT or request.method == "GET":
        return redirect(row)
    form = OptionsForm(request.POST, instance=row)
    if not form.is_valid():
        return _options_page(request, row, form, status=422)
    form.save()
    return _options_page(request, _restore(pk), OptionsForm(instance=_restore(pk)))


@require_POST
@permission(Right.OPERATE)
def restore_remove(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Take items out of a draft's selection."""
    row = _restore(pk)
    if row.state == State.DRAFT:
        selection.remove(draft=row, tokens=request.POST.getlist("item"))
    return redirect(row)


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def restore_start(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Start the restore as shown; replacing files is confirmed first. Its address alone leads to the draft."""
    row = _restore(pk)
    if row.state != State.DRAFT or request.method == "GET":
        return redirect(row)
    form = OptionsForm(request.POST, instance=row)
    if not form.is_valid():
        return _options_page(request, row, form, status=422)
    form.save()
    if not row.selection:
        raise NothingSelected()
    plan = restores.plan_of(row)
    in_place = row.destination == Restore.Destination.IN_PLACE and row.archive is not None
    if in_place and physical.touches_data(row.archive, [item.source for item in plan.items]):  # type: ignore[arg-type]
        if answer := confirm.ask(request, _into_its_own_place(row, plan)):
            return answer
    elif row.conflict in (Restore.Conflict.REPLACE, Restore.Conflict.NEWER):
        answer = confirm.ask(
            request,
            Confirmation(
                title=_("Replace files on {server}?").format(server=plan.server),
                text=_(
                    "Files that exist below {target} are replaced by those of the archive. This cannot be undone."
                ).format(target=paths.shown(plan.target)),
                action=_("Restore and replace"),
                back=row.get_absolute_url(),
            ),
        )
        if answer:
            return answer
    restores.start(restore=row, by=request.user)
    return redirect(row)


def _into_its_own_place(row: Restore, plan: RestorePlan) -> Confirmation:
    text = _("The files go to the data directory itself, {target}: what is mixed there may never start again.")
    return Confirmation(
        title=_("Restore a database server in place on {server}?").format(server=plan.server),
        text=text.format(target=paths.shown(plan.target)),
        action=_("Restore in place"),
        back=row.get_absolute_url(),
        typed=plan.server,
    )


@require_POST
@permission(Right.OPERATE)
def restore_discard(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Throw a draft away."""
    Restore.objects.filter(pk=pk, state=State.DRAFT, requested_by_id=request.user.pk).delete()
    return redirect("restores")
