"""The way to an Instant Recovery: what is in the archive, what is chosen, the plan, the start."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from backups.models import Archive
from phpborg.accounts.rights import Right, permission
from phpborg.errors import PhpBorgError, describe
from recovery.engines.base import Found
from recovery.errors import ArchiveGone
from recovery.forms_session import StartForm
from recovery.models import Session
from recovery.paths import shown
from recovery.services import looking, session_plan, sessions, startable
from servers.models import Server
from servers.services.capabilities import latest_report


def _archive(pk: uuid.UUID) -> Archive:
    archive = get_object_or_404(Archive.objects.select_related("repository__pool", "job", "server"), pk=pk)
    if archive.missing_at or archive.trashed_at:
        raise ArchiveGone(name=archive.name)
    return archive


@require_GET
@permission(Right.OPERATE)
def instant(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """What can be started from an archive; before that is known, the look into it."""
    archive = _archive(pk)
    found = looking.answer_of(archive)
    if found is None:
        return render(request, "recovery/instant_look.html", {"archive": archive, "task": looking.newest(archive)})
    return _page(request, archive, found, StartForm(archive=archive, found=found))


@require_POST
@permission(Right.OPERATE)
def instant_look(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Look into the archive. One that looks already, or has found something, is enough."""
    archive = _archive(pk)
    task = looking.newest(archive)
    if looking.answer_of(archive) is None and not (task is not None and task.is_active):
        looking.ask(archive=archive, by=request.user)
    return redirect("instant", archive.pk)


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def instant_start(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show what the answers lead to, or start what was shown. Its address alone leads to the questions.

    Answers that have changed since lead to another plan, which is shown first.
    """
    archive = _archive(pk)
    found = looking.answer_of(archive)
    if found is None or request.method == "GET":
        return redirect("instant", archive.pk)
    form = StartForm(request.POST, archive=archive, found=found)
    if not form.is_valid() or "start" not in request.POST:
        return _page(request, archive, found, form)
    try:
        session = sessions.draft(archive=archive, by=request.user, **form.draft_arguments())
    except PhpBorgError:
        return _page(request, archive, found, form)
    if request.POST.get("shown") != session_plan.digest(session):
        return _page(request, archive, found, form, has_changed=True)
    session.save()
    sessions.start(session=session, hours=form.cleaned_data["hours"], by=request.user)
    return redirect(session)


def _page(
    request: HttpRequest, archive: Archive, found: tuple[Found, ...], form: StartForm, *, has_changed: bool = False
) -> HttpResponse:
    """The questions, and the plan of their answers or why there is none."""
    session, error, reason = None, None, ""
    if form.values:
        try:
            session = sessions.draft(archive=archive, **form.draft_arguments())
        except PhpBorgError as problem:
            error = describe(problem.code, problem.facts)
            hindrance = startable.hindrance(form.draft_arguments()["found"])
            reason = hindrance.sentence if hindrance else ""
    context = {
        "archive": archive,
        "form": form,
        "databases": [_row(one) for one in found],
        "open": Session.objects.active().filter(archive=archive),
        "session": session,
        "shown": session_plan.digest(session) if session else "",
        "has_changed": has_changed,
        "steps": session_plan.steps(session) if session else (),
        "docker_problem": session is not None and _lacks_docker(session.server),
        "error": error,
        "reason": reason,
    }
    bad = bool(form.errors or error or has_changed) and request.method == "POST"
    return render(request, "recovery/instant.html", context, status=422 if bad else 200)


def _row(one: Found) -> dict[str, Any]:
    return {
        "product": one.product.label,
        "version": one.version,
        "directory": shown(one.path) or "/",
        "consistency": str(one.consistency),
        "size": one.size.total_bytes if one.size else None,
        "notes": [*(note.sentence for note in one.notes), startable.doubt(one)],
        "hindrance": startable.hindrance(one),
    }


def _lacks_docker(server: Server | None) -> bool:
    """As far as was seen when somebody looked last; a server that nobody has looked at may have it."""
    report = latest_report(server) if server is not None else None
    return report is not None and (report.docker is None or not report.docker.socket)
