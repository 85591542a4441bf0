"""The fleet page: every server on one screen, and actions on many of them."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from phpborg.accounts.rights import Right, permission, require
from phpborg.errors import InvalidInput
from phpborg.ui.answers import back, page
from servers.forms import FleetFilterForm
from servers.models import Label, Server
from servers.services import bulk, fleet, labels

PAGE_ROWS = 100
MOST_SERVERS = 1000


def filters_of(request: HttpRequest) -> fleet.Filters:
    """The filters of the address; a wrong word filters nothing."""
    form = FleetFilterForm(request.GET)
    form.is_valid()
    known = form.cleaned_data
    return fleet.Filters(known.get("q", "").strip(), known.get("label", ""), known.get("health", ""))


@require_GET
@permission(Right.VIEW)
def servers(request: HttpRequest) -> HttpResponse:
    """Name, labels, health, last good archive, next run, oldest point, running task."""
    filters = filters_of(request)
    shown = Paginator(fleet.rows(filters), PAGE_ROWS).get_page(request.GET.get("page"))
    running = fleet.running_tasks(shown.object_list)
    counts = fleet.counts()
    context = {
        "page_obj": shown,
        "rows": [{"server": server, "task": running.get(server.pk)} for server in shown.object_list],
        "filters": filters,
        "counts": counts,
        "all_count": sum(number for _health, number in counts),
        "labels": list(Label.objects.values_list("name", flat=True)),
        "has_local": Server.objects.filter(kind=Server.Kind.LOCAL).exists(),
    }
    return page(request, "servers/fleet.html", context)


@require_POST
@permission(Right.OPERATE)
def servers_bulk(request: HttpRequest) -> HttpResponse:
    """Run all jobs now, set up again, add or remove a label: on the servers that were ticked."""
    chosen = _chosen(request)
    if not chosen:
        messages.warning(request, _("No server was chosen."))
        return back(request, reverse("servers"))
    action = request.POST.get("action", "")
    if action == "run":
        say_started(request, bulk.run_all_jobs(servers=chosen, by=request.user))
    elif action == "setup":
        require(request.user, Right.ADMINISTER)
        say_started(request, bulk.set_up_again(servers=chosen, by=request.user))
    elif action in ("label", "unlabel"):
        require(request.user, Right.ADMINISTER)
        _change_label(request, chosen, add=action == "label")
    else:
        messages.error(request, _("This action is not known."))
    return back(request, reverse("servers"))


def _chosen(request: HttpRequest) -> list[Server]:
    ids = []
    for text in request.POST.getlist("server")[:MOST_SERVERS]:
        try:
            ids.append(UUID(text))
        except ValueError:
            continue
    return list(Server.objects.filter(pk__in=ids))


def say_started(request: HttpRequest, result: bulk.Started) -> None:
    """What was queued, what was left out, and why."""
    if result.started:
        words = ngettext("{count} task was queued.", "{count} tasks were queued.", result.started)
        messages.success(request, words.format(count=result.started))
    if result.already:
        words = ngettext(
            "{count} was left out: it waits or runs already.",
            "{count} were left out: they wait or run already.",
            result.already,
        )
        messages.info(request, words.format(count=result.already))
    if result.not_ready:
        names = ", ".join(result.not_ready[:5]) + (" …" if len(result.not_ready) > 5 else "")
        messages.warning(request, _("Left out, because they are not ready: {names}").format(names=names))
    if not (result.started or result.already or result.not_ready):
        messages.info(request, _("There was nothing to do."))


def _change_label(request: HttpRequest, chosen: list[Server], *, add: bool) -> None:
    name = request.POST.get("label", "")
    try:
        change = labels.add_label if add else labels.remove_label
        count = change(servers=chosen, name=name)
    except InvalidInput as error:
        messages.error(request, str(error))
        return
    messages.success(
        request,
        ngettext("{count} server was changed.", "{count} servers were changed.", count).format(count=count),
    )
