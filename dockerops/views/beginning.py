"""The first two steps: which archive and which server, and what the archive holds."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods

from backups.models import Archive
from dockerops.forms import ServerForm
from dockerops.models import DockerRestore
from dockerops.services import drafts, looking
from dockerops.views import found
from dockerops.views.frame import Step, draft_of, forward, frame, missing_before, task_context, to_step
from phpborg.accounts.rights import Right, permission
from phpborg.errors import PhpBorgError
from phpborg.ui.answers import page, say
from recovery.errors import ArchiveGone
from servers.models import Server
from servers.services.capabilities import latest_report


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def docker_begin(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The first step of a new restore: this archive, and to which server. The draft begins with the answer.

    Who has a draft of this archive goes on with it, to another server when another one is chosen.
    """
    archive = get_object_or_404(Archive.objects.select_related("repository", "job", "server"), pk=pk)
    if archive.missing_at or archive.trashed_at:
        raise ArchiveGone(name=archive.name)
    form = ServerForm(request.POST or None, initial={"server": archive.server_id})
    if request.method == "POST" and form.is_valid():
        row = drafts.open_draft(archive=archive, by=request.user)
        return _chosen(request, row, form.cleaned_data["server"])
    known = DockerRestore.objects.filter(archive=archive, requested_by=request.user.pk, state=DockerRestore.State.DRAFT)
    context = {
        "archive": archive,
        "form": form,
        "step": Step.ARCHIVE.name,
        "stations": found.first_stations(),
        "draft": known.first(),
        "engines": _engines(form),
    }
    return page(request, "dockerops/archive.html", context, status=422 if form.is_bound else 200)


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def docker_archive(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """The first step of a draft: another server."""
    row = draft_of(request, pk)
    form = ServerForm(request.POST or None, initial={"server": row.server_id})
    if request.method == "POST" and form.is_valid():
        return _chosen(request, row, form.cleaned_data["server"])
    context = frame(request, row, Step.ARCHIVE, form=form, engines=_engines(form))
    return page(request, "dockerops/archive.html", context, status=422 if form.is_bound else 200)


def _chosen(request: HttpRequest, row: DockerRestore, server: Server) -> HttpResponse:
    """Keep the server, and look into the archive unless that was done: it does not change."""
    drafts.set_server(restore=row, server=server)
    if not looking.is_known(row):
        _look(request, row)
    return forward(request, row, Step.CONTENTS)


def _look(request: HttpRequest, row: DockerRestore) -> None:
    try:
        looking.start(restore=row, by=request.user)
    except PhpBorgError as error:
        say(request, error)


def _engines(form: ServerForm) -> list[str]:
    """Servers of which was seen that no Docker engine answers there: as far as the last look goes."""
    chosen = form["server"].value()
    server = Server.objects.filter(pk=chosen).first() if _is_id(chosen) else None
    report = latest_report(server) if server is not None else None
    lacks = report is not None and (report.docker is None or not report.docker.socket)
    return [server.name] if server is not None and lacks else []


def _is_id(value: object) -> bool:
    try:
        uuid.UUID(str(value))
    except ValueError:
        return False
    return True


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def docker_contents(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """What the archive holds and how that is known; while it is looked into, that. POST looks again."""
    row = draft_of(request, pk)
    if (missing := missing_before(row, Step.CONTENTS)) is not None:
        return to_step(row, missing)
    if request.method == "POST":
        if "look" not in request.POST:
            return forward(request, row, Step.CHOICE if looking.is_known(row) else Step.CONTENTS)
        _look(request, row)
        return redirect("docker-contents", row.pk)
    context = frame(request, row, Step.CONTENTS, found=found.of(row) if looking.is_known(row) else None)
    return page(request, "dockerops/contents.html", {**context, **task_context(row.look_task)})
