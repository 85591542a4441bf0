"""The page of what a server is, has and runs; and looking again."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from phpborg.accounts.rights import Right, permission
from phpborg.errors import PhpBorgError
from phpborg.tasks import live
from phpborg.ui.answers import page, say, see_other
from servers.capabilities import cards
from servers.capabilities.report import from_json
from servers.models import Server
from servers.services import capabilities


@require_GET
@permission(Right.VIEW)
def server_capabilities(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The newest report with its age, and the look that runs, or how the last one failed."""
    server = get_object_or_404(Server.objects.defer("private_key"), pk=pk)
    taken = capabilities.latest(server)
    report = from_json(taken.data) if taken else None
    task = capabilities.last_look(server)
    context = {
        "server": server,
        "taken": taken,
        "report": report,
        "databases": cards.cards(report) if report else [],
        "databases_are_known": bool(report and cards.is_complete(report)),
        "databases_left_out": cards.left_out(report) if report else 0,
        "unanswered": cards.unanswered(report) if report else [],
        "task": live.current([task])[0] if task else None,
        "is_looking": bool(task and task.is_active),
    }
    return page(request, "servers/capabilities.html", context)


@require_POST
@permission(Right.OPERATE)
def server_capabilities_reload(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Look again. The page shows the task and is fresh when it has ended; a plain form is led to the task itself."""
    server = get_object_or_404(Server, pk=pk)
    here = reverse("server-capabilities", args=[server.pk])
    try:
        task = capabilities.reload(server=server, by=request.user)
    except PhpBorgError as error:
        say(request, error)
        return see_other(here)
    return see_other(here if request.headers.get("HX-Request") else task.get_absolute_url())
