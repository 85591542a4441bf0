"""Storage on one page: pools with their usage, their repositories, and the trash."""

from __future__ import annotations

from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET

from backups.models import StoragePool
from backups.services import storage
from phpborg.accounts.rights import Right, permission
from phpborg.ui.answers import page

PAGE_ROWS = 50


def filters_of(request: HttpRequest) -> storage.Filters:
    """The filters of the address; a word that is no id filters nothing."""
    pool = request.GET.get("pool", "")
    try:
        pool = str(UUID(pool)) if pool else ""
    except ValueError:
        pool = ""
    return storage.Filters(text=request.GET.get("q", "").strip()[:200], pool=pool)


@require_GET
@permission(Right.VIEW)
def repositories(request: HttpRequest) -> HttpResponse:
    """Every pool with its repositories: size, archives, last check, lock, users."""
    filters = filters_of(request)
    shown = Paginator(storage.listing(filters), PAGE_ROWS).get_page(request.GET.get("page"))
    rows = storage.rows_of(list(shown.object_list))
    first_page = shown.number == 1 and not filters.is_set
    context = {
        "page_obj": shown,
        "pools": storage.by_pool(rows, also_empty=first_page),
        "all_pools": list(StoragePool.objects.order_by("name")) if filters.is_set or shown.has_other_pages() else [],
        "totals": storage.totals(),
        "filters": filters,
    }
    return page(request, "backups/storage/overview.html", context)


@require_GET
@permission(Right.VIEW)
def pools(request: HttpRequest) -> HttpResponse:
    """The pools are on the page of the repositories."""
    return redirect("repositories")


@require_GET
@permission(Right.VIEW)
def storage_trash(request: HttpRequest) -> HttpResponse:
    """Repositories that were thrown away and can still be taken back."""
    shown = Paginator(storage.trashed(), PAGE_ROWS).get_page(request.GET.get("page"))
    return page(request, "backups/storage/trash.html", {"page_obj": shown, "rows": list(shown.object_list)})
