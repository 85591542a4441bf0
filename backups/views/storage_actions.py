"""What can be done with a repository: maintenance, the lock, the trash. Each asks before it destroys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from backups.forms.storage import CheckForm
from backups.models import Repository
from backups.services import maintenance, repositories, sync, trash
from phpborg.accounts.rights import Right, permission
from phpborg.errors import PhpBorgError
from phpborg.tasks.models import Task
from phpborg.ui.answers import back, say, see_other
from phpborg.ui.confirm import Confirmation, ask


def _found(pk: UUID) -> Repository:
    return get_object_or_404(Repository.objects.select_related("pool"), pk=pk)


def _queue(
    request: HttpRequest, shown: Repository, words: str, enqueue: Callable[..., Task], **more: Any
) -> HttpResponse:
    """Queue a task, say so, and show the page on which it is seen."""
    try:
        enqueue(repository=shown, by=request.user, **more)
        messages.info(request, words)
    except PhpBorgError as error:
        say(request, error)
    return back(request, shown.get_absolute_url())


@require_POST
@permission(Right.OPERATE)
def repository_sync(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Compare with Borg: orphans are recorded, what is gone is marked."""
    return _queue(request, _found(pk), _("The archives are being compared with Borg."), sync.request_sync)


@require_POST
@permission(Right.OPERATE)
def repository_measure(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Measure the sizes."""
    return _queue(request, _found(pk), _("The repository is being measured."), maintenance.request_measure)


@require_POST
@permission(Right.OPERATE)
def repository_check(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Verify; the form says how deep."""
    shown, form = _found(pk), CheckForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Choose what is checked."))
        return see_other(shown.get_absolute_url())
    words = _("The repository is being checked.")
    return _queue(request, shown, words, maintenance.request_check, mode=form.cleaned_data["mode"])


@require_POST
@permission(Right.OPERATE)
def repository_compact(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Free the space of what was removed."""
    return _queue(request, _found(pk), _("The repository is being compacted."), maintenance.request_compact)


@require_POST
@permission(Right.ADMINISTER)
def repository_accept_older(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Accept an older copy that somebody put back on purpose."""
    shown = _found(pk)
    text = _(
        "Confirm only when you put the older copy back yourself. Backups go on from its state; archives that it does "
        "not hold are marked as gone. Nothing is deleted."
    )
    answer = ask(
        request,
        Confirmation(
            title=_("Accept the older state of “{name}”?").format(name=shown.name),
            text=text,
            action=_("Accept the older state"),
            back=shown.get_absolute_url(),
            typed=shown.name,
        ),
    )
    return answer or _queue(request, shown, _("The older state is being accepted."), maintenance.request_accept_older)


@require_POST
@permission(Right.ADMINISTER)
def repository_break_lock(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Remove Borg's lock; refused while anything of ours or a living process of this host holds it."""
    shown = _found(pk)
    try:
        repositories.ensure_unused(shown)
        state = repositories.lock_state(shown)
        answer = ask(request, _lock_question(shown, str(state)))
        if answer:
            return answer
        broken = repositories.break_lock(repository=shown)
    except PhpBorgError as error:
        say(request, error)
    else:
        messages.success(request, _("The lock of {holder} was removed.").format(holder=str(broken) or "—"))
    return see_other(shown.get_absolute_url())


def _lock_question(shown: Repository, holder: str) -> Confirmation:
    text = _(
        "The lock is held by {holder}. If that process still runs, removing its lock can destroy the repository: make "
        "sure first that its machine is off or that its Borg has ended."
    )
    return Confirmation(
        title=_("Break the lock of “{name}”?").format(name=shown.name),
        text=text.format(holder=holder or _("nobody")),
        action=_("Break the lock"),
        back=shown.get_absolute_url(),
    )


@require_POST
@permission(Right.ADMINISTER)
def repository_trash(request: HttpRequest, pk: UUID) -> HttpResponse:
    """First step of removal."""
    shown = _found(pk)
    text = _(
        "The directory {path} is moved to the trash of its pool. Its archives cannot be browsed or restored until it "
        "is taken out again. The disk is freed only when it is removed for good."
    )
    answer = ask(
        request,
        Confirmation(
            title=_("Move “{name}” to the trash?").format(name=shown.name),
            text=text.format(path=shown.path),
            action=_("Move to the trash"),
            back=shown.get_absolute_url(),
            typed=shown.name,
        ),
    )
    if answer:
        return answer
    try:
        trash.move_to_trash(repository=shown, typed_name=request.POST.get("typed", ""))
    except PhpBorgError as error:
        say(request, error)
        return see_other(shown.get_absolute_url())
    messages.success(request, _("“{name}” is in the trash.").format(name=shown.name))
    return see_other(reverse("storage-trash"))


@require_POST
@permission(Right.ADMINISTER)
def repository_untrash(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Take it out of the trash."""
    shown = _found(pk)
    try:
        trash.take_from_trash(repository=shown)
    except PhpBorgError as error:
        say(request, error)
        return see_other(reverse("storage-trash"))
    messages.success(request, _("“{name}” is back at its place.").format(name=shown.name))
    return see_other(shown.get_absolute_url())


@require_POST
@permission(Right.ADMINISTER)
def repository_purge(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Second step of removal. It cannot be undone."""
    shown = _found(pk)
    text = _("All its archives and their data are removed from the disk for ever. There is no way back.")
    answer = ask(
        request,
        Confirmation(
            title=_("Remove “{name}” for good?").format(name=shown.name),
            text=text,
            action=_("Remove for good"),
            back=reverse("storage-trash"),
            typed=shown.name,
        ),
    )
    if answer:
        return answer
    try:
        trash.request_purge(repository=shown, typed_name=request.POST.get("typed", ""), by=request.user)
        messages.info(request, _("“{name}” is being removed.").format(name=shown.name))
    except PhpBorgError as error:
        say(request, error)
    return see_other(reverse("storage-trash"))
