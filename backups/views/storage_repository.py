"""One repository: its page, made, renamed, moved; its new passphrase is shown exactly once."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from backups import errors as e
from backups.forms.storage import CheckForm, MoveForm, PassphraseForm, RepositoryEditForm, RepositoryForm, put_on_form
from backups.models import Repository, StoragePool
from backups.services import repositories, storage
from phpborg.accounts.rights import Right, permission
from phpborg.errors import PhpBorgError
from phpborg.ui.answers import page, see_other
from phpborg.ui.confirm import Confirmation, ask

# The session holds which passphrase may be shown once, never the passphrase itself.
REVEAL = "reveal_passphrase_once"


@require_GET
@permission(Right.VIEW)
def repository(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Facts, sizes, lock, tasks, jobs, and what can be done."""
    shown = get_object_or_404(Repository.objects.select_related("pool"), pk=pk)
    seen = storage.overview(shown)
    context = {"repository": shown, "seen": seen, "row": seen.row, "check_form": CheckForm()}
    return page(request, "backups/storage/repository.html", context)


@sensitive_post_parameters("passphrase", "repeated")
@require_http_methods(["GET", "POST"])
@permission(Right.ADMINISTER)
def repository_new(request: HttpRequest) -> HttpResponse:
    """Pool, name, encryption, compression, passphrase."""
    if not StoragePool.objects.exists():
        messages.info(request, _("A repository lies in a storage pool: make one first."))
        return see_other(reverse("pool-new"))
    form = RepositoryForm(
        request.POST or None, initial={"pool": request.GET.get("pool")} if "pool" in request.GET else {}
    )
    if request.method == "POST" and form.is_valid():
        try:
            made = _make(form)
        except PhpBorgError as error:
            put_on_form(form, error)
        else:
            messages.success(request, _("The repository “{name}” is ready.").format(name=made.name))
            if form.is_protected and form.wants_generated:
                request.session[REVEAL] = str(made.pk)
                return see_other(reverse("repository-passphrase-once", args=[made.pk]))
            return see_other(made.get_absolute_url())
    return page(request, "backups/storage/repository_form.html", {"form": form}, status=422 if form.errors else 200)


def _make(form: RepositoryForm) -> Repository:
    data: dict[str, Any] = form.cleaned_data
    passphrase = ""
    if form.is_protected:
        passphrase = repositories.generate_passphrase() if form.wants_generated else data["passphrase"]
    return repositories.create_repository(
        pool=data["pool"],
        name=data["name"],
        encryption=data["encryption"],
        passphrase=passphrase,
        compression=data["compression"],
    )


@never_cache
@require_GET
@permission(Right.ADMINISTER)
def repository_passphrase_once(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The generated passphrase, to whoever just made the repository, once."""
    shown = get_object_or_404(Repository, pk=pk)
    if request.session.pop(REVEAL, "") != str(shown.pk):
        messages.info(request, _("The passphrase was shown already. An administrator finds it on the recovery sheet."))
        return see_other(shown.get_absolute_url())
    passphrase = repositories.reveal_passphrase(repository=shown, by=request.user)
    context = {"repository": shown, "passphrase": passphrase}
    return page(request, "backups/storage/passphrase_once.html", context)


@require_http_methods(["GET", "POST"])
@permission(Right.ADMINISTER)
def repository_edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Name and compression of archives to come."""
    shown = get_object_or_404(Repository, pk=pk)
    form = RepositoryEditForm(request.POST or None, repository=shown)
    if request.method == "POST" and form.is_valid():
        try:
            repositories.update_repository(repository=shown, **form.cleaned_data)
        except PhpBorgError as error:
            put_on_form(form, error)
        else:
            messages.success(request, _("Saved."))
            return see_other(shown.get_absolute_url())
    return _form(request, shown, form, "edit")


@require_http_methods(["GET", "POST"])
@permission(Right.ADMINISTER)
def repository_move(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The repository was moved by hand: name the new place, and confirm what Borg asks."""
    shown = get_object_or_404(Repository.objects.select_related("pool"), pk=pk)
    form = MoveForm(request.POST or None, initial={"path": shown.path})
    if request.method == "POST" and form.is_valid():
        try:
            repositories.change_path(
                repository=shown, path=form.cleaned_data["path"], confirmed=request.POST.get("confirmed") == "1"
            )
        except e.RepositoryRelocated as error:
            answer = ask(request, _question(shown, error))
            if answer:
                return answer
        except PhpBorgError as error:
            put_on_form(form, error)
        else:
            messages.success(request, _("The new place is confirmed: {path}").format(path=shown.path))
            return see_other(shown.get_absolute_url())
    return _form(request, shown, form, "move")


def _question(shown: Repository, error: e.RepositoryRelocated) -> Confirmation:
    text = _(
        "The repository “{name}” was at {old} and the same repository is now at {new}. Confirm only when you moved "
        "it yourself. Backups then go to the new place."
    )
    return Confirmation(
        title=_("Was it moved by you?"),
        text=text.format(name=shown.name, **error.facts),
        action=_("Yes, I moved it"),
        back=reverse("repository-move", args=[shown.pk]),
        tone="warn",
    )


@sensitive_post_parameters("passphrase")
@require_http_methods(["GET", "POST"])
@permission(Right.ADMINISTER)
def repository_passphrase(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Enter the passphrase again, for example after phpBorg's key file was lost."""
    shown = get_object_or_404(Repository, pk=pk)
    form = PassphraseForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            repositories.change_passphrase(repository=shown, passphrase=form.cleaned_data["passphrase"])
        except PhpBorgError as error:
            put_on_form(form, error)
        else:
            messages.success(request, _("The passphrase opens the repository and was stored."))
            return see_other(shown.get_absolute_url())
    return _form(request, shown, form, "passphrase")


def _form(request: HttpRequest, shown: Repository, form: Any, what: str) -> HttpResponse:
    context = {"repository": shown, "form": form, "what": what}
    return page(request, "backups/storage/repository_edit.html", context, status=422 if form.errors else 200)
