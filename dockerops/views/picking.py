"""Single files of a volume, picked by looking: the archive is opened for reading, as its file browser does."""

from __future__ import annotations

import os
import uuid
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from dockerops import typed
from dockerops.choice import Choice
from dockerops.manifest import Volume
from dockerops.models import DockerRestore
from dockerops.views import found
from dockerops.views.choosing import keep
from dockerops.views.frame import Step, draft_of, frame, missing_before, task_context, to_step
from phpborg.accounts.rights import Right, permission
from phpborg.tasks.models import Task
from phpborg.ui.answers import page, see_other
from recovery import paths, tree
from recovery.models import BrowseSession
from recovery.services import browse

PAGE = 200


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def docker_files(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One page of a folder of the volume; while the archive is being opened, its task.

    POST opens the archive (`open`), or adds what is ticked to the draft and takes out what is crossed.
    """
    row = draft_of(request, pk)
    if (missing := missing_before(row, Step.CHOICE)) is not None:
        return to_step(row, missing)
    volume = _volume(row, request.GET.get("volume", ""))
    assert row.archive is not None  # the first step is answered
    if request.method == "POST":
        if "open" in request.POST:
            browse.open_archive(archive=row.archive, by=request.user)
        else:
            _change(row, volume, request.POST.getlist("item"), request.POST.getlist("out"))
        return see_other(request.get_full_path())
    session = browse.active(row.archive)
    context = frame(request, row, Step.CHOICE, volume=volume, volume_value=typed.stored(volume.name))
    if session is None or session.state != BrowseSession.State.OPEN:
        last = Task.objects.filter(kind="browse_open", archive_ref=row.archive.pk).first()
        task = session.task_ref if session else last.pk if last else None
        return page(request, "dockerops/files_opening.html", {**context, **task_context(task)})
    return page(request, "dockerops/files.html", {**context, **_folder(request, row, volume, session)})


def _volume(row: DockerRestore, value: str) -> Volume:
    volume = found.contents_of(row).volume(str(typed.restored(value)))
    if volume is None or not volume.path:
        raise Http404
    return volume


def _folder(request: HttpRequest, row: DockerRestore, volume: Volume, session: BrowseSession) -> dict[str, Any]:
    below = paths.parse(request.GET.get("path", ""))
    top = os.fsencode((volume.path or "").strip("/"))
    search, number = request.GET.get("q", "").strip(), request.GET.get("page", "1")
    folder = tree.list_folder(
        browse.mountpoint_of(session),
        b"/".join(filter(None, (top, below))),
        page=int(number) if number.isdigit() else 1,
        size=PAGE,
        search=os.fsencode(search),
    )
    parts = paths.split(below)
    picked = _picked(row, volume)
    return {
        "folder": folder,
        "entries": [(one, token, token in picked) for one in folder.entries if (token := _token(one.path, top))],
        "path": paths.token(below),
        "crumbs": [(paths.shown(parts[n]), paths.token(b"/".join(parts[: n + 1]))) for n in range(len(parts))],
        "search": search,
        "here": "?" + urlencode({"volume": typed.stored(volume.name)}) + "&path=",
        "picked": [(token, paths.shown(paths.parse(token))) for token in picked],
    }


def _token(path: bytes, top: bytes) -> str:
    """A path of the archive, seen from the volume's top."""
    return paths.token(path[len(top) :].strip(b"/"))


def _picked(row: DockerRestore, volume: Volume) -> list[str]:
    return [paths.token(os.fsencode(path)) for path in Choice.from_json(row.choice).files.get(volume.name, ())]


def _change(row: DockerRestore, volume: Volume, items: list[str], out: list[str]) -> None:
    """What is inside another picked folder goes without being named."""
    kept = [paths.parse(token) for token in _picked(row, volume) if token not in out]
    wanted = paths.without_nested([*kept, *filter(None, map(paths.parse, items))])
    files = {volume.name: tuple(os.fsdecode(path) for path in wanted)} if wanted else {}
    keep(row, Choice(mode="custom", files=files))
