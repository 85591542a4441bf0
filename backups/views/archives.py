"""Pages of archives: the list, one archive, pin, trash, removal for good."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from backups.forms.filters import ArchiveFilterForm, known
from backups.models import Archive, BackupJob, Repository
from backups.services import archives
from backups.sources import paths as spelling
from phpborg.accounts.rights import Right, permission
from phpborg.errors import InvalidInput, PhpBorgError
from phpborg.tasks.models import Task
from phpborg.ui.answers import back, page, say, see_other
from phpborg.ui.confirm import Confirmation, ask
from phpborg.ui.context import reverse_or_none
from phpborg.ui.offers import named
from servers.models import Server

PAGE_ROWS = 50
MOST_ARCHIVES = 1000
_DEFAULT_SORT = "-started_at"


@require_GET
@permission(Right.VIEW)
def archives_page(request: HttpRequest) -> HttpResponse:
    """All archives, or those in the trash (`?place=trash`)."""
    form = ArchiveFilterForm(request.GET)
    values = known(form)
    in_trash = request.GET.get("place") == "trash"
    wanted = archives.ArchiveFilter(
        text=values["q"].strip(),
        server=values["server"],
        job=values["job"],
        repository=values["repository"],
        grade=values["grade"],
        since=values["since"] or None,
        until=values["until"] or None,
        place="trash" if in_trash else values["place"],
        sort=request.GET.get("sort", _DEFAULT_SORT),
    )
    shown = Paginator(archives.listing(wanted), PAGE_ROWS).get_page(request.GET.get("page"))
    context = {
        "page_obj": shown,
        "archives": shown.object_list,
        "form": form,
        "filters": values,
        "is_filtered": any(values.values()),
        "in_trash": in_trash,
        "trash_count": Archive.objects.filter(trashed_at__isnull=False).count(),
        "sort": _DEFAULT_SORT,
        "servers": named(Server.objects.order_by("name"), values["server"]),
        "jobs": named(BackupJob.objects.order_by("name"), values["job"]),
        "repositories": named(Repository.objects.live().order_by("name"), values["repository"]),
        "grades": form.fields["grade"].choices,  # type: ignore[attr-defined]
        "places": form.fields["place"].choices,  # type: ignore[attr-defined]
    }
    return page(request, "backups/archives/archives.html", context)


@require_GET
@permission(Right.VIEW)
def archive_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One archive: sizes, how it was made, what was found, what can be done with it."""
    archive = get_object_or_404(Archive.objects.select_related("job", "server", "repository"), pk=pk)
    task = Task.objects.filter(pk=archive.task_ref).first() if archive.task_ref else None
    usable = archive.missing_at is None and archive.repository.trashed_at is None
    context = {
        "archive": archive,
        "task": task,
        "findings": task.findings if task else [],
        "config": _config(archive.backup_config),
        "browse_url": reverse_or_none("browse", archive.pk) if usable else None,
        "restore_url": reverse_or_none("restore-wizard", archive.pk) if usable else None,
        "instant_url": reverse_or_none("instant", archive.pk) if usable and _may_run(archive.backup_config) else None,
        "docker_url": reverse_or_none("docker-begin", archive.pk)
        if usable and _has_docker(archive.backup_config)
        else None,
        "sizes_unknown": usable and archive.original_bytes is None,
        "users": archives.users_of(archive),
        "deletion": Task.objects.active().filter(kind=archives.DELETE, archive_ref=archive.pk).first(),
    }
    return page(request, "backups/archives/archive.html", context)


def _config(config: dict[str, Any]) -> dict[str, Any]:
    """`backup_config` with its paths as words."""
    shown = dict(config)
    for name in ("paths", "included"):
        shown[name] = [_path(value) for value in config.get(name, [])]
    return shown


def _may_run(config: dict[str, Any]) -> bool:
    """May a database server's own files be in it? Not where plain files or dumps were chosen, as far as is known."""
    database = config.get("database")
    dumped = isinstance(database, dict) and database.get("method") == "logical"
    return config.get("source_kind") != "files" and not dumped


def _has_docker(config: dict[str, Any]) -> bool:
    """Was it made of Docker, or by somebody else who may have done so? Others are offered it on their restore page."""
    return bool(config.get("source_kind", "docker") == "docker")


def _path(value: Any) -> str:
    try:
        return spelling.shown(spelling.from_json(value))
    except InvalidInput:
        return str(value)


@require_POST
@permission(Right.OPERATE)
def archive_pin(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Protect an archive from removal, or end the protection."""
    archive = get_object_or_404(Archive, pk=pk)
    pinned = request.POST.get("pinned") == "1"
    archives.set_pinned(archive=archive, pinned=pinned)
    words = _("The archive is pinned: nothing removes it.") if pinned else _("The archive is no longer pinned.")
    messages.success(request, words)
    return back(request, archive.get_absolute_url())


@require_POST
@permission(Right.OPERATE)
def archive_details(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask Borg for sizes that are not known."""
    archive = get_object_or_404(Archive.objects.select_related("repository"), pk=pk)
    try:
        archives.request_details(archive=archive, by=request.user)
        messages.success(request, _("Borg is asked for the sizes; they appear here."))
    except PhpBorgError as error:
        say(request, error)
    return back(request, archive.get_absolute_url())


@require_POST
@permission(Right.ADMINISTER)
def archive_trash(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Into the trash, or out of it; nothing is lost by either."""
    archive = get_object_or_404(Archive, pk=pk)
    if request.POST.get("undo") == "1":
        archives.take_from_trash(archives=[archive])
        messages.success(request, _("The archive is back."))
        return back(request, archive.get_absolute_url())
    question = Confirmation(
        title=_("Put this archive into the trash?"),
        text=_("It stays in the repository and can be taken back, until it is removed for good from the trash."),
        action=_("Into the trash"),
        back=archive.get_absolute_url(),
        tone="warn",
    )
    if answer := ask(request, question):
        return answer
    try:
        archives.move_to_trash(archives=[archive])
        messages.success(request, _("The archive is in the trash."))
    except PhpBorgError as error:
        say(request, error)
    return back(request, archive.get_absolute_url())


@require_POST
@permission(Right.ADMINISTER)
def archive_purge(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Remove it from the repository for good, after its name was typed."""
    archive = get_object_or_404(Archive.objects.select_related("repository", "server"), pk=pk)
    question = Confirmation(
        title=_("Remove this archive for good?"),
        text=_("“{archive}” is removed from the repository “{repository}”. This cannot be undone.").format(
            archive=archive.name, repository=archive.repository.name
        ),
        action=_("Remove for good"),
        back=archive.get_absolute_url(),
        typed=archive.name,
    )
    if answer := ask(request, question):
        return answer
    try:
        (task,) = archives.purge(archives=[archive], by=request.user)
    except PhpBorgError as error:
        say(request, error)
        return see_other(archive.get_absolute_url())
    return see_other(task.get_absolute_url())


@require_POST
@permission(Right.ADMINISTER)
def archives_bulk(request: HttpRequest) -> HttpResponse:
    """Many archives into the trash, out of it, or removed for good."""
    chosen = _chosen(request)
    action = request.POST.get("action", "")
    home = reverse("archives") + ("?place=trash" if action in ("untrash", "purge") else "")
    if not chosen:
        messages.warning(request, _("No archive was chosen."))
        return back(request, home)
    if action in ("trash", "purge") and (answer := ask(request, _bulk_question(action, len(chosen), home))):
        return answer
    try:
        _act(request, action, chosen)
    except PhpBorgError as error:
        say(request, error)
    return back(request, home)


def _bulk_question(action: str, count: int, home: str) -> Confirmation:
    if action == "trash":
        title = ngettext("Put {count} archive into the trash?", "Put {count} archives into the trash?", count)
        text, button = _("They stay in their repositories and can be taken back."), _("Into the trash")
    else:
        title = ngettext("Remove {count} archive for good?", "Remove {count} archives for good?", count)
        text, button = _("They are removed from their repositories. This cannot be undone."), _("Remove for good")
    return Confirmation(
        title=title.format(count=count),
        text=text,
        action=button,
        back=home,
        typed=str(count) if action == "purge" else "",
        tone="bad" if action == "purge" else "warn",
    )


def _act(request: HttpRequest, action: str, chosen: list[Archive]) -> None:
    if action == "trash":
        done = archives.move_to_trash(archives=chosen)
    elif action == "untrash":
        done = archives.take_from_trash(archives=chosen)
    elif action == "purge":
        archives.purge(archives=chosen, by=request.user)
        messages.success(request, _("The removal was queued."))
        return
    else:
        messages.error(request, _("This action is not known."))
        return
    messages.success(
        request, ngettext("{count} archive was moved.", "{count} archives were moved.", done).format(count=done)
    )


def _chosen(request: HttpRequest) -> list[Archive]:
    ids = []
    for text in request.POST.getlist("archive")[:MOST_ARCHIVES]:
        try:
            ids.append(UUID(text))
        except ValueError:
            continue
    return list(Archive.objects.select_related("repository", "server").filter(pk__in=ids))
