"""The wizard's details of a backup of the whole system."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from backups.forms.wizard_database import SystemForm
from backups.models import JobDraft
from backups.services import drafts
from backups.views.wizard_frame import forward, frame
from phpborg.ui.answers import page


def system_page(request: HttpRequest, draft: JobDraft) -> HttpResponse:
    """What is left out, and whether all filesystems are meant."""
    source = drafts.source_of_draft(draft)
    initial = {
        "excludes": "\n".join(source.get("excludes", [])),
        "all_filesystems": source.get("all_filesystems", True),
    }
    form = SystemForm(request.POST if request.method == "POST" else None, initial=initial)
    if form.is_bound:
        is_valid = form.is_valid()
        answers = {"source_kind": "system", "source": form.cleaned_data["source"] if is_valid else form.source()}
        drafts.save_step(draft=draft, step="what", answers=answers, following="where" if is_valid else "")
        if is_valid:
            return forward(request, draft, "where")
    context = frame(draft, "what", form=form)
    return page(request, "backups/wizard/system.html", context, status=422 if form.is_bound else 200)
