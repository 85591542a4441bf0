"""Instant Recovery sessions: the page of all, the page of one, and what can be done with it."""

from __future__ import annotations

import uuid

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from phpborg.accounts.rights import Right, permission
from phpborg.errors import describe
from phpborg.tasks import live, questions
from phpborg.tasks.models import Task
from phpborg.ui import confirm
from phpborg.ui.offers import named
from recovery.engines.base import Product
from recovery.forms_session import ExtendForm
from recovery.models import Session
from recovery.services import session_listing, session_plan, sessions
from recovery.services.connecting import connection_of
from servers.models import Server

State = Session.State


def _session(pk: uuid.UUID) -> Session:
    return get_object_or_404(session_listing.rows(), pk=pk)


@require_GET
@permission(Right.VIEW)
def sessions_page(request: HttpRequest) -> HttpResponse:
    """Those that live, all of them; then those that did, filtered and paged."""
    filters = session_listing.Filters.read(request.GET)
    page = Paginator(session_listing.ended(filters), 50).get_page(request.GET.get("page"))
    context = {
        "living": session_listing.rows().active(),
        "page_obj": page,
        "filters": filters,
        "products": [(str(one), one.label) for one in Product],
        "ends": [(end.value, end.label) for end in session_listing.ENDS],
        "servers": named(Server.objects.order_by("name"), filters.server),
        "can_operate": request.user.may(Right.OPERATE),  # type: ignore[union-attr]
    }
    return render(request, "recovery/sessions.html", context)


@require_GET
@permission(Right.VIEW)
def session_page(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """How it is reached, how it is, what was done; live."""
    return _page(request, _session(pk))


@require_GET
@permission(Right.VIEW)
def session_of_task(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The page of the session that this task keeps; the task's own when the record is gone."""
    session = Session.objects.filter(task_ref=pk).first()
    return redirect(session) if session is not None else redirect("task", pk)


@require_POST
@permission(Right.OPERATE)
def session_extend(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """It lives so many hours from now on."""
    session = _session(pk)
    form = ExtendForm(request.POST)
    if not form.is_valid():
        return _page(request, session, form=form, status=422)
    sessions.extend(session=session, hours=form.cleaned_data["hours"])
    return redirect(session)


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def session_stop(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Ask for its end; asked twice, or of one that has ended, is fine."""
    session = _session(pk)
    if session.is_active:
        if answer := confirm.ask(request, questions.stop_session(session.get_absolute_url())):
            return answer
        sessions.stop(session=session, by=request.user)
    return redirect(session)


@never_cache
@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def session_password(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The page with the password of the database. Its address alone shows it without."""
    session = _session(pk)
    if request.method == "GET":
        return redirect(session)
    if not session.is_active:
        return _page(request, session)
    return _page(request, session, password=sessions.reveal_password(session=session, by=request.user))


def _page(
    request: HttpRequest, session: Session, *, form: ExtendForm | None = None, password: str = "", status: int = 200
) -> HttpResponse:
    task = Task.objects.filter(pk=session.task_ref).first() if session.task_ref else None
    # A task that the history has forgotten leaves what the session itself remembers.
    error = describe(session.error_code, session.error_facts) if session.error_code and task is None else None
    context = {
        "session": session,
        "task": live.current([task])[0] if task else None,
        "row": task,
        "connection": connection_of(session) if session.state == State.READY else None,
        "password": password,
        "view_bytes": sessions.view_bytes(session),
        "form": form or ExtendForm(),
        "error": error,
        "steps": session_plan.steps_kept(session),
        "can_operate": request.user.may(Right.OPERATE),  # type: ignore[union-attr]
    }
    return render(request, "recovery/session.html", context, status=status)
