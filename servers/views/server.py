"""The page of one server, and what can be done there."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from phpborg.accounts.rights import Right, permission
from phpborg.errors import InvalidInput, PhpBorgError
from phpborg.ui.answers import page, put_on_form, say, see_other
from recovery.models import BrowseSession, Session
from servers.forms import EditForm, ModeForm, SetupForm
from servers.models import Server
from servers.services import bulk, capabilities, enrol, identity, labels, mode, overview, setup
from servers.views.fleet import say_started


@require_GET
@permission(Right.VIEW)
def server(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Health, jobs, last archives, running tasks, facts, way of the data; and what can be done."""
    try:
        seen = overview.overview(pk)
    except Server.DoesNotExist:
        raise Http404 from None
    last_setup = setup.last_setup(seen.server)
    context = {
        "server": seen.server,
        "seen": seen,
        "sessions": _open_sessions(seen.server),
        "databases": Session.objects.active().filter(server=seen.server)[:20],
        "offered": identity.offered(seen.server),
        "capabilities_at": capabilities.latest_at(seen.server),
        "setup_task": last_setup,
        "setup_is_active": bool(last_setup and last_setup.is_active),
        "mode_form": ModeForm(initial={"mode": seen.server.mode}),
        "setup_form": SetupForm(),
    }
    return page(request, "servers/server.html", context)


def _open_sessions(server: Server) -> list[BrowseSession]:
    states = (BrowseSession.State.OPENING, BrowseSession.State.OPEN)
    sessions = BrowseSession.objects.filter(archive__server=server, state__in=states)
    return list(sessions.select_related("archive").order_by("-last_used_at")[:20])


@require_POST
@permission(Right.ADMINISTER)
def server_setup(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Queue the set-up task."""
    server = get_object_or_404(Server, pk=pk)
    form = SetupForm(request.POST)
    install = form.is_valid() and form.cleaned_data["install"]
    try:
        setup.enqueue_setup(server=server, install=install, by=request.user)
    except PhpBorgError as error:
        say(request, error)
    return see_other(f"{reverse('server-enrol', args=[server.pk])}?step=setup")


@require_http_methods(["GET", "POST"])
@permission(Right.ADMINISTER)
def server_edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Name, address, account, labels, notes."""
    server = get_object_or_404(Server, pk=pk)
    form = EditForm(request.POST or None, server=server)
    if request.method == "POST" and form.is_valid():
        values = dict(form.cleaned_data)
        try:
            enrol.update_server(server=server, **{**values, "labels": labels.parse(values["labels"])})
        except InvalidInput as error:
            put_on_form(form, error, str(error.facts.get("name", "")))
        except PhpBorgError as error:
            put_on_form(form, error, "address")
        else:
            messages.success(request, _("Saved."))
            return see_other(server.get_absolute_url())
    context = {"form": form, "server": server}
    return page(request, "servers/edit.html", context, status=422 if form.errors else 200)


@require_POST
@permission(Right.ADMINISTER)
def server_mode(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Choose the way of the data; set-up prepares and tests it."""
    server = get_object_or_404(Server, pk=pk)
    form = ModeForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Choose one of the two ways."))
        return see_other(server.get_absolute_url())
    try:
        task = mode.set_mode(server=server, mode=form.cleaned_data["mode"], by=request.user)
    except PhpBorgError as error:
        say(request, error)
        return see_other(server.get_absolute_url())
    if task is None:
        messages.info(request, _("This is already its way."))
        return see_other(server.get_absolute_url())
    return see_other(f"{reverse('server-enrol', args=[server.pk])}?step=setup")


@require_POST
@permission(Right.OPERATE)
def server_run_all(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Run every active job of this server now."""
    server = get_object_or_404(Server, pk=pk)
    say_started(request, bulk.run_all_jobs(servers=[server], by=request.user))
    return see_other(server.get_absolute_url())
