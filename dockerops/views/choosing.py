"""The third step: what of the archive is put back."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from dockerops.choice import Choice
from dockerops.forms import LISTS, MODES, ChoiceForm
from dockerops.models import DockerRestore
from dockerops.options import Options
from dockerops.services import drafts
from dockerops.views import found
from dockerops.views.colliding import ask_when_stale
from dockerops.views.frame import Step, draft_of, forward, frame, missing_before, to_step
from phpborg.accounts.rights import Right, permission
from phpborg.ui.answers import page, see_other


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def docker_choice(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Everything, a kind, what is ticked, or single files of a volume. Another choice has conflicts looked for anew."""
    row = draft_of(request, pk)
    if (missing := missing_before(row, Step.CHOICE)) is not None:
        return to_step(row, missing)
    contents = found.contents_of(row)
    sections = [section for section in found.sections(contents) if section.rows]
    offered = {section.kind: [one.value for one in section.rows] for section in sections}
    initial = ChoiceForm.initial_of(Choice.from_json(row.choice))
    form = ChoiceForm(request.POST or None, initial=initial, contents=contents, offered=offered)
    if request.method == "POST" and "pick" in request.POST:
        return _to_files(row, form)
    if request.method == "POST" and form.is_valid():
        keep(row, form.choice())
        if "leave" not in request.POST:
            ask_when_stale(request, row)
        return forward(request, row, Step.CONFLICTS)
    context = frame(request, row, Step.CHOICE, form=form, **_lists(form, sections))
    return page(request, "dockerops/choice.html", context, status=422 if form.is_bound else 200)


def _to_files(row: DockerRestore, form: ChoiceForm) -> HttpResponse:
    """To the folders of the volume that is chosen in the form; paths that were typed come along."""
    if form.is_valid() and form.choice().files:
        keep(row, form.choice())
    known = {value for value, _shown in _volumes(form)}
    value = str(form["volume"].value() or "")
    if value not in known:
        return to_step(row, Step.CHOICE)
    return see_other(f"{reverse('docker-files', args=[row.pk])}?{urlencode({'volume': value})}")


def keep(row: DockerRestore, choice: Choice) -> None:
    """What is chosen; with it the usual options, until somebody says otherwise: conflicts depend on them."""
    drafts.set_choice(restore=row, choice=choice.as_json())
    if not row.options:
        drafts.set_options(restore=row, options=Options().as_json())


def _lists(form: ChoiceForm, sections: list[found.Section]) -> dict[str, Any]:
    ticked = form.ticked
    there = {section.kind for section in sections}
    chosen = str(form["mode"].value() or "all")
    return {
        "modes": [
            {
                "name": name,
                "label": label,
                "text": text,
                "is_chosen": name == chosen,
                "is_empty": (name in LISTS and name not in there) or (name == "files" and not _volumes(form)),
            }
            for name, label, text in MODES
        ],
        "sections": [
            {
                "section": section,
                "when": " ".join(LISTS[section.kind]),
                "is_whole_kind": section.kind in ("projects", "volumes", "configs"),
                "rows": [(one, one.value in ticked[section.kind]) for one in section.rows],
            }
            for section in sections
        ],
        "volumes": _volumes(form),
    }


def _volumes(form: ChoiceForm) -> list[Any]:
    return list(form.fields["volume"].widget.choices)  # type: ignore[attr-defined]
