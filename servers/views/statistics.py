"""The page of one server's statistics."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from phpborg.accounts.rights import Right, permission
from phpborg.ui.answers import page
from servers.models import Server
from servers.services import statistics_history, statistics_rows
from servers.services.statistics_history import Span
from servers.views import statistics_charts


@require_GET
@permission(Right.VIEW)
def server_statistics(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The figures of now, and charts of the last day, week, quarter or year."""
    server = get_object_or_404(Server.objects.defer("private_key"), pk=pk)
    sampling = statistics_history.sampling_of(server)
    last = statistics_rows.last_reading(sampling)
    span = statistics_history.span_of(request.GET.get("span", ""))
    has_samples = sampling is not None and sampling.sampled_at is not None
    history = statistics_history.history(server, span, sampling) if has_samples else None
    context = {
        "server": server,
        "sampling": sampling,
        "has_samples": has_samples,
        "last": last,
        "newest": statistics_history.newest(server) if has_samples else None,
        "span": span,
        "spans": Span.choices,
        "charts": statistics_charts.overview(history, last) if history else [],
        "filesystems": statistics_charts.filesystems(history, last) if history else [],
    }
    return page(request, "servers/statistics.html", context)
