"""Looking into an archive: folders page by page, previews, downloads, and picking what to restore."""

from __future__ import annotations

import os
import uuid
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from backups.models import Archive
from phpborg.accounts.rights import Right, permission
from phpborg.tasks.models import Task
from recovery import paths, safe, tree
from recovery.download_names import disposition
from recovery.errors import NotAFile
from recovery.models import BrowseSession
from recovery.services import browse as sessions
from recovery.services import download, selection

PAGE = 200


def _archive(pk: uuid.UUID) -> Archive:
    return get_object_or_404(Archive.objects.select_related("repository__pool", "job", "server"), pk=pk)


def _back_to(archive: Archive, path: str) -> HttpResponseRedirect:
    return HttpResponseRedirect(f"{reverse('browse', args=[archive.pk])}?{urlencode({'path': path})}")


@require_GET
@permission(Right.OPERATE)
def browse(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One page of a folder; while the archive is being opened, its task."""
    archive = _archive(pk)
    session = sessions.active(archive)
    context = {"archive": archive, "session": session, "task": None}
    if session is None or session.state != BrowseSession.State.OPEN:
        task = Task.objects.filter(pk=session.task_ref).first() if session and session.task_ref else None
        last = task or Task.objects.filter(kind="browse_open", archive_ref=archive.pk).first()
        return render(request, "recovery/opening.html", {**context, "task": task, "last": last})
    root = sessions.mountpoint_of(session)
    path = paths.parse(request.GET.get("path", ""))
    search = request.GET.get("q", "").strip()
    number = request.GET.get("page", "1")
    folder = tree.list_folder(
        root, path, page=int(number) if number.isdigit() else 1, size=PAGE, search=os.fsencode(search)
    )
    draft = selection.draft_of(archive, request.user)
    return render(
        request,
        "recovery/browse.html",
        {
            **context,
            "folder": folder,
            "path": paths.token(path),
            "crumbs": _crumbs(path),
            "search": search,
            "draft": draft,
            "picked": set(draft.selection) if draft else set(),
        },
    )


def _crumbs(path: bytes) -> list[tuple[str, str]]:
    """(name, token) of each folder on the way, the root first."""
    parts = paths.split(path)
    return [(paths.shown(parts[n]), paths.token(b"/".join(parts[: n + 1]))) for n in range(len(parts))]


@require_POST
@permission(Right.OPERATE)
def browse_open(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Open the archive, or go to it when it is open."""
    archive = _archive(pk)
    sessions.open_archive(archive=archive, by=request.user)
    return redirect("browse", archive.pk)


@require_POST
@permission(Right.OPERATE)
def browse_close(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Close the archive for everybody."""
    archive = _archive(pk)
    session = sessions.active(archive)
    if session:
        sessions.request_close(session=session, by=request.user)
    return redirect(archive)


@require_POST
@permission(Right.OPERATE)
def browse_select(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Add the ticked items to the draft; `then=restore` goes on to its options."""
    archive = _archive(pk)
    tokens = request.POST.getlist("item")
    draft = selection.draft_of(archive, request.user)
    if tokens:
        draft = selection.add(archive=archive, tokens=tokens, by=request.user)
    if request.POST.get("then") == "restore" and draft and draft.selection:
        return redirect(draft)
    return _back_to(archive, request.POST.get("path", ""))


def _open_file(archive: Archive, token: str) -> tuple[bytes, int]:
    """The path and a descriptor of a regular file of an open archive."""
    path = paths.parse(token)
    session = sessions.active(archive)
    root = sessions.mountpoint_of(session or BrowseSession(state=BrowseSession.State.CLOSED))
    return path, tree.open_file(root, path)


@require_GET
@permission(Right.OPERATE)
def browse_file(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """A file's facts, with its beginning when it is text, or itself when it is a picture."""
    archive = _archive(pk)
    path, descriptor = _open_file(archive, request.GET.get("path", ""))
    with os.fdopen(descriptor, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(safe.TEXT_BYTES)
    root = sessions.mountpoint_of(sessions.active(archive) or BrowseSession())
    return render(
        request,
        "recovery/file.html",
        {
            "archive": archive,
            "entry": tree.entry(root, path),
            "path": paths.token(path),
            "parent": paths.token(os.path.dirname(path)),
            "shown_path": paths.shown(path),
            "is_picture": safe.picture_type(head) is not None and size <= safe.PICTURE_BYTES,
            "text": safe.text_of(head),
            "is_cut": size > len(head),
        },
    )


@require_GET
@permission(Right.OPERATE)
def browse_picture(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """A raster picture for the preview; its type is what its first bytes say, and nothing in it can run."""
    _path, descriptor = _open_file(_archive(pk), request.GET.get("path", ""))
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(safe.PICTURE_BYTES)
    kind = safe.picture_type(content)
    if kind is None:
        raise NotAFile(path=request.GET.get("path", ""))
    response = HttpResponse(content, content_type=kind)
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["Cache-Control"] = "private, no-store"
    return response


@require_GET
@permission(Right.OPERATE)
def browse_download(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """A file as it is, or anything as `format=tar` or `zip`, streamed."""
    archive = _archive(pk)
    path = paths.parse(request.GET.get("path", ""))
    form = request.GET.get("format", "")
    if form in ("tar", "zip"):
        root = sessions.mountpoint_of(sessions.active(archive) or BrowseSession(state=BrowseSession.State.CLOSED))
        tree.entry(root, path)
        chunks = download.tar_chunks(root, path) if form == "tar" else download.zip_chunks(root, path)
        name = (os.path.basename(path) or os.fsencode(archive.name)) + b"." + form.encode()
        return _attachment(StreamingHttpResponse(download.streamed(chunks)), name)
    path, descriptor = _open_file(archive, request.GET.get("path", ""))
    response = StreamingHttpResponse(download.streamed(download.file_chunks(descriptor)))
    response.headers["Content-Length"] = str(os.fstat(descriptor).st_size)
    return _attachment(response, os.path.basename(path))


def _attachment(response: StreamingHttpResponse, name: bytes) -> StreamingHttpResponse:
    """Always a download, never shown by the browser."""
    response.headers["Content-Type"] = "application/octet-stream"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Disposition"] = disposition(name)
    return response
