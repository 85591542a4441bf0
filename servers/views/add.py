"""Adding a server: address → identity → key → set-up → ready. It can be left and taken up at any step."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from phpborg.accounts.rights import Right, permission
from phpborg.errors import InvalidInput, PhpBorgError
from phpborg.tasks import live
from phpborg.ui.answers import page, put_on_form, say, see_other
from servers.forms import PasswordForm, ServerForm, SetupForm
from servers.models import Server
from servers.services import enrol, identity, labels, setup

STATIONS = ("address", "identity", "key", "setup", "ready")


def stations(server: Server | None) -> list[dict[str, Any]]:
    """The wizard's stations; those that can be opened have an address."""
    words = {
        "address": _("Address"),
        "identity": _("Identity"),
        "key": _("Access"),
        "setup": _("Set-up"),
        "ready": _("Ready"),
    }
    rows: list[dict[str, Any]] = []
    for key in STATIONS:
        row: dict[str, Any] = {"key": key, "label": words[key]}
        if server and key in ("key", "setup") and server.host_key:
            row["url"] = f"{reverse('server-enrol', args=[server.pk])}?step={key}"
        if server:
            row["done"] = STATIONS.index(key) < STATIONS.index(station_of(server))
        rows.append(row)
    return rows


def station_of(server: Server) -> str:
    """Where the enrolment of this server stands."""
    if not server.is_local and (not server.host_key or server.offered_host_key):
        return "identity"
    if server.is_ready:
        return "ready"
    if server.is_local or server.state == Server.State.FAILED or setup.last_setup(server):
        return "setup"
    return "key"


@require_http_methods(["GET", "POST"])
@permission(Right.ADMINISTER)
def server_add(request: HttpRequest) -> HttpResponse:
    """Name, address, port, account; the server's host key is fetched before anything is saved."""
    form = ServerForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        values = dict(form.cleaned_data)
        try:
            server = enrol.add_server(**{**values, "labels": labels.parse(values["labels"])})
        except InvalidInput as error:
            put_on_form(form, error, str(error.facts.get("name", "")))
        except PhpBorgError as error:
            put_on_form(form, error, "address")
        else:
            return see_other(reverse("server-enrol", args=[server.pk]))
    context = {
        "form": form,
        "stations": stations(None),
        "has_local": Server.objects.filter(kind=Server.Kind.LOCAL).exists(),
    }
    return page(request, "servers/add.html", context, status=422 if form.errors else 200)


@require_POST
@permission(Right.ADMINISTER)
def server_add_local(request: HttpRequest) -> HttpResponse:
    """This machine as a server; nothing else is needed. Set-up starts at once."""
    server = enrol.add_localhost()
    if not server.is_ready and not setup.active_setup(server):
        setup.enqueue_setup(server=server, by=request.user)
    return see_other(reverse("server-enrol", args=[server.pk]))


@require_GET
@permission(Right.ADMINISTER)
def server_enrol(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The step where the enrolment stands, or a step that was passed and is asked for again."""
    server = get_object_or_404(Server, pk=pk)
    return _station(request, server, _asked(request, server))


def _asked(request: HttpRequest, server: Server) -> str:
    stands = station_of(server)
    asked = request.GET.get("step", "")
    allowed = asked in ("key", "setup") and bool(server.host_key) and not server.offered_host_key
    return asked if allowed else stands


def _station(
    request: HttpRequest, server: Server, station: str, *, password: PasswordForm | None = None, problem: str = ""
) -> HttpResponse:
    task = setup.last_setup(server)
    context = {
        "server": server,
        "station": station,
        "stations": stations(server),
        "template": f"servers/enrol/_{station}.html",
        "offered": identity.offered(server),
        "pinned": server.host_key_fingerprint,
        "password_form": password or PasswordForm(),
        "setup_form": SetupForm(),
        "task": live.current([task])[0] if task else None,
        "task_is_active": bool(task and task.is_active),
        "problem": problem,
    }
    bad = bool(problem or (password and password.errors))
    return page(request, "servers/enrol.html", context, status=422 if bad else 200)


@require_POST
@permission(Right.ADMINISTER)
def server_host_key(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask the server for its host key again."""
    server = get_object_or_404(Server, pk=pk)
    try:
        changed = identity.fetch_host_key(server=server)
    except PhpBorgError as error:
        say(request, error)
    else:
        if server.host_key and not changed:
            messages.success(request, _("The server still has the identity that was approved."))
    target = "server-enrol" if server.offered_host_key or not server.host_key else "server"
    return see_other(reverse(target, args=[server.pk]))


@require_POST
@permission(Right.ADMINISTER)
def server_approve(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Pin the offered host key. The form carries the fingerprint that the person saw."""
    server = get_object_or_404(Server, pk=pk)
    try:
        identity.approve_host_key(server=server, fingerprint=request.POST.get("fingerprint", ""), by=request.user)
    except PhpBorgError as error:
        return _station(request, server, station_of(server), problem=str(error))
    return see_other(reverse("server-enrol", args=[server.pk]))


@sensitive_post_parameters("password")
@require_POST
@permission(Right.ADMINISTER)
def server_password(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Install our key with the account's password: used here, now, and forgotten."""
    server = get_object_or_404(Server, pk=pk)
    form = PasswordForm(request.POST)
    if form.is_valid():
        try:
            enrol.install_key_with_password(server=server, password=form.cleaned_data["password"])
        except PhpBorgError as error:
            put_on_form(form, error, "password")
        else:
            messages.success(request, _("The key was installed. The password was not kept."))
            return see_other(f"{reverse('server-enrol', args=[server.pk])}?step=setup")
    return _station(request, server, "key", password=form)
