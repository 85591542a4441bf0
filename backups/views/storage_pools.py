"""One pool: its page, made, changed, analysed, forgotten."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from backups.forms.storage import PoolEditForm, PoolForm, put_on_form
from backups.models import Repository, StoragePool
from backups.services import pools, storage
from phpborg.accounts.rights import Right, permission
from phpborg.errors import PhpBorgError
from phpborg.ui.answers import back, page, say, see_other
from phpborg.ui.confirm import Confirmation, ask


@require_GET
@permission(Right.VIEW)
def pool(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Usage, filesystem, and the repositories in it."""
    shown = get_object_or_404(StoragePool, pk=pk)
    rows = storage.rows_of(list(storage.listing(storage.Filters(pool=str(pk)))[:200]))
    context = {"pool": shown, "rows": rows, "trashed": Repository.objects.filter(pool=shown).count() - len(rows)}
    return page(request, "backups/storage/pool.html", context)


@require_http_methods(["GET", "POST"])
@permission(Right.ADMINISTER)
def pool_new(request: HttpRequest) -> HttpResponse:
    """A directory becomes a pool."""
    form = PoolForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = pools.create_pool(**form.cleaned_data)
        except PhpBorgError as error:
            put_on_form(form, error)
        else:
            messages.success(request, _("The storage pool “{name}” is ready.").format(name=made.name))
            return see_other(made.get_absolute_url())
    return page(request, "backups/storage/pool_form.html", {"form": form}, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@permission(Right.ADMINISTER)
def pool_edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Name and warning threshold."""
    shown = get_object_or_404(StoragePool, pk=pk)
    initial = {"name": shown.name, "threshold_percent": shown.threshold_percent}
    form = PoolEditForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            pools.update_pool(pool=shown, **form.cleaned_data)
        except PhpBorgError as error:
            put_on_form(form, error)
        else:
            messages.success(request, _("Saved."))
            return see_other(shown.get_absolute_url())
    context = {"form": form, "pool": shown}
    return page(request, "backups/storage/pool_form.html", context, status=422 if form.errors else 200)


@require_POST
@permission(Right.ADMINISTER)
def pool_default(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Offer it first for new repositories."""
    shown = get_object_or_404(StoragePool, pk=pk)
    pools.set_default(pool=shown)
    return back(request, shown.get_absolute_url())


@require_POST
@permission(Right.OPERATE)
def pool_analyse(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Queue the analysis."""
    shown = get_object_or_404(StoragePool, pk=pk)
    try:
        pools.request_analysis(pool=shown, by=request.user)
        messages.info(request, _("The pool is being analysed."))
    except PhpBorgError as error:
        say(request, error)
    return back(request, shown.get_absolute_url())


@require_POST
@permission(Right.ADMINISTER)
def pool_remove(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Forget an empty pool."""
    shown = get_object_or_404(StoragePool, pk=pk)
    answer = ask(
        request,
        Confirmation(
            title=_("Remove the storage pool “{name}”?").format(name=shown.name),
            text=_("phpBorg forgets the pool. The directory {path} stays as it is.").format(path=shown.path),
            action=_("Remove"),
            back=shown.get_absolute_url(),
        ),
    )
    if answer:
        return answer
    try:
        pools.remove_pool(pool=shown)
    except PhpBorgError as error:
        say(request, error)
        return see_other(shown.get_absolute_url())
    messages.success(request, _("The storage pool was removed. Its directory was left as it is."))
    return see_other(reverse("repositories"))
