"""Removing a server: what hangs on it, then its typed name."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods

from phpborg.accounts.rights import Right, permission
from phpborg.errors import PhpBorgError
from phpborg.ui.answers import page, put_on_form, see_other
from servers.forms import RemovalForm
from servers.models import Server
from servers.services import removal
from servers.services.errors import NameNotTyped


@require_http_methods(["GET", "POST"])
@permission(Right.ADMINISTER)
def server_remove(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The plan, then the task that carries it out."""
    server = get_object_or_404(Server, pk=pk)
    form = RemovalForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            task = removal.request_removal(
                server=server,
                typed=values["typed"],
                archives=values["archives"],
                clean=values["take_off"],
                by=request.user,
            )
        except NameNotTyped as error:
            put_on_form(form, error, "typed")
        except PhpBorgError as error:
            put_on_form(form, error)
        else:
            return see_other(task.get_absolute_url())
    context = {"server": server, "form": form, "plan": removal.removal_plan(server)}
    return page(request, "servers/remove.html", context, status=422 if form.errors else 200)
