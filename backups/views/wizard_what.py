"""The wizard's details of files: paths, presets, a folder picker on the server, exclusions and what they drop."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from backups.forms.wizard import WhatForm
from backups.models import JobDraft
from backups.services import drafts, looking
from backups.sources import paths as spelling
from backups.sources.files import PRESETS, FilesSource, preset
from backups.views.wizard_frame import forward, frame, to_step
from phpborg.errors import PhpBorgError, describe
from phpborg.ui.answers import page


def files_page(request: HttpRequest, draft: JobDraft) -> HttpResponse:
    """Each button sends the whole form: nothing typed is lost by opening a folder."""
    if request.method == "POST":
        form = WhatForm(request.POST)
        if stay := _buttons(request, form.source()):
            source, query = stay
            _keep(draft, source)
            return to_step(draft, "what", **query)
        if form.is_valid():
            _keep(draft, form.cleaned_data["source"], following="where")
            return forward(request, draft, "where")
        _keep(draft, form.source())
        return _page(request, draft, form, status=422)
    return _page(request, draft, _unbound(draft))


def _keep(draft: JobDraft, source: dict[str, Any], following: str = "") -> None:
    drafts.save_step(draft=draft, step="what", answers={"source_kind": "files", "source": source}, following=following)


def _buttons(request: HttpRequest, source: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]] | None:
    """What the pressed button does to the source, and what the page shows then; None for “Next”."""
    post = request.POST
    here = {"open": post["here"]} if post.get("here") else {}
    if "preset" in post:
        chosen = preset(post["preset"])
        source["paths"] = _with(source["paths"], [spelling.to_json(path) for path in chosen.paths])
        source["excludes"] = _with(source["excludes"], list(chosen.excludes))
        return source, here
    if "add" in post:
        source["paths"] = _with(source["paths"], [spelling.to_json(spelling.from_form(post["add"]))])
        return source, here
    if "drop" in post:
        gone = spelling.to_json(spelling.from_form(post["drop"]))
        source["paths"] = [path for path in source["paths"] if path != gone]
        return source, here
    if "open" in post:
        query = {"open": post["open"]}
        return source, {**query, "after": post["after"]} if post.get("after") and "more" in post else query
    if "more" in post:
        return source, {"open": post.get("here", "/"), "after": post["more"]}
    if "close" in post or "take" in post:
        return source, here if "take" in post else {}
    if "check" in post:
        return source, {**here, "check": "1"}
    return None


def _with(rows: list[Any], more: list[Any]) -> list[Any]:
    return [*rows, *(row for row in more if row not in rows)]


def _unbound(draft: JobDraft) -> WhatForm:
    source = drafts.source_of_draft(draft)
    return WhatForm(
        initial={
            "excludes": "\n".join(source.get("excludes", [])),
            "one_file_system": source.get("one_file_system", False),
            "exclude_caches": source.get("exclude_caches", False),
        }
    )


def _page(request: HttpRequest, draft: JobDraft, form: WhatForm, *, status: int = 200) -> HttpResponse:
    server = drafts.server_of(draft)
    chosen = [spelling.from_json(value) for value in drafts.source_of_draft(draft).get("paths", [])]
    context = frame(
        draft,
        "what",
        form=form,
        chosen=[(spelling.to_form(path), spelling.shown(path)) for path in chosen],
        chosen_values={spelling.to_form(path) for path in chosen},
        presets=PRESETS,
        here=request.GET.get("open", ""),
    )
    if server is not None and "open" in request.GET:
        after = spelling.to_wire(spelling.from_form(request.GET.get("after", "")))
        context["folder"] = looking.folder(server, spelling.from_form(request.GET["open"] or "/"), after=after)
    if server is not None and "check" in request.GET:
        context |= _check(draft, server)
    return page(request, "backups/wizard/what.html", context, status=status)


def _check(draft: JobDraft, server: Any) -> dict[str, Any]:
    """What the exclusions drop, asked of borg on the server."""
    try:
        config = FilesSource().parse(drafts.source_of_draft(draft))
        return {"preview": looking.preview(server, config)}
    except PhpBorgError as error:
        return {"preview_error": describe(error.code, error.facts), "preview_detail": error.detail}
