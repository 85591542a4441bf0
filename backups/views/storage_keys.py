"""The repository's key and its recovery sheet: for administrators, never cached."""

from __future__ import annotations

import shlex
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from backups.models import Repository
from backups.services import repositories
from phpborg.accounts.rights import Right, permission
from phpborg.ui.answers import page, see_other


def _found(pk: UUID) -> Repository:
    return get_object_or_404(Repository.objects.select_related("pool"), pk=pk)


@never_cache
@require_GET
@permission(Right.ADMINISTER)
def repository_key(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The key as text, to be copied or downloaded."""
    shown = _found(pk)
    context = {"repository": shown, "key": repositories.export_key(repository=shown)}
    return page(request, "backups/storage/key.html", context)


@never_cache
@require_POST
@permission(Right.ADMINISTER)
def repository_key_download(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The key as a file; from then on it counts as kept elsewhere."""
    shown = _found(pk)
    text = repositories.export_key(repository=shown)
    repositories.key_is_kept(repository=shown)
    response = HttpResponse(text, content_type="text/plain; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="borg-key-{(shown.borg_id or "")[:16]}.txt"'
    return response


@require_POST
@permission(Right.ADMINISTER)
def repository_key_kept(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Somebody says that the key is kept elsewhere: printed, or in a safe."""
    shown = _found(pk)
    repositories.key_is_kept(repository=shown)
    messages.success(request, _("Noted: the key is kept outside of this machine."))
    return see_other(shown.get_absolute_url())


@never_cache
@require_http_methods(["GET", "POST"])
@permission(Right.ADMINISTER)
def repository_sheet(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What is needed to read the repository without phpBorg, to print. A POST shows the passphrase too."""
    shown = _found(pk)
    has_key = shown.is_encrypted
    context: dict[str, Any] = {
        "repository": shown,
        "paper": repositories.export_key(repository=shown, form="paper") if has_key else "",
        # As a shell wants it: it is typed from paper.
        "location": shlex.quote(shown.path),
        "printed_at": timezone.now(),
        "host": settings.BACKUP_HOST,
    }
    if request.method == "POST" and has_key:
        context["passphrase"] = repositories.reveal_passphrase(repository=shown, by=request.user)
    return page(request, "backups/storage/sheet.html", context)
