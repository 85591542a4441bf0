"""What surrounds every step of the job wizard: its stations and the way back."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from backups.models import JobDraft
from backups.services import drafts
from phpborg.errors import PhpBorgError
from phpborg.tasks import live
from phpborg.ui.answers import say, see_other
from servers.capabilities import cards
from servers.capabilities.report import from_json
from servers.models import Server
from servers.services import capabilities

LABELS = {
    "server": lambda: _("Server"),
    "kind": lambda: _("What"),
    "what": lambda: _("Details"),
    "where": lambda: _("Where"),
    "options": lambda: _("Options"),
    "schedule": lambda: _("Schedule"),
    "review": lambda: _("Review"),
}


def stations(draft: JobDraft | None, current: str) -> list[dict[str, Any]]:
    """The stations of the wizard; those that were answered can be opened."""
    problems = drafts.problems(draft) if draft else {}
    rows = []
    for step in drafts.STEPS:
        answered = draft is not None and step in draft.answers
        reachable = draft is not None and (answered or step == draft.step)
        rows.append(
            {
                "key": step,
                "label": LABELS[step](),
                "url": reverse("job-wizard-step", args=[draft.pk, step]) if draft and reachable else None,
                "done": answered and step not in problems,
                "problem": answered and step in problems,
            }
        )
    return rows


def frame(draft: JobDraft, step: str, **more: Any) -> dict[str, Any]:
    """The context that all steps share."""
    index = drafts.STEPS.index(step)
    return {
        "draft": draft,
        "step": step,
        "stations": stations(draft, step),
        "server": drafts.server_of(draft),
        "before": reverse("job-wizard-step", args=[draft.pk, drafts.STEPS[index - 1]]) if index else "",
        **more,
    }


def to_step(draft: JobDraft, step: str, **query: str) -> HttpResponse:
    """After a POST: this step of the wizard."""
    address = reverse("job-wizard-step", args=[draft.pk, step])
    return see_other(f"{address}?{urlencode(query)}" if query else address)


def forward(request: HttpRequest, draft: JobDraft, step: str) -> HttpResponse:
    """On to this step, or with “Save and leave” to the jobs; the answers are kept already."""
    if "leave" in request.POST:
        messages.info(request, _("The draft was kept. You find it on the jobs page."))
        return see_other(reverse("jobs"))
    return to_step(draft, step)


def look(request: HttpRequest, draft: JobDraft, step: str, **query: str) -> HttpResponse:
    """Look at the server again, and stay: the page is fresh when that very task has ended."""
    server = drafts.server_of(draft)
    if server is not None:
        try:
            capabilities.reload(server=server, by=request.user)
        except PhpBorgError as error:
            say(request, error)
    return to_step(draft, step, **query)


def look_context(server: Server | None) -> dict[str, Any]:
    """The newest report with its age, and the look that runs, or how the last one failed."""
    taken = capabilities.latest(server) if server else None
    report = from_json(taken.data) if taken else None
    task = capabilities.last_look(server) if server else None
    return {
        "taken": taken,
        "report": report,
        "unanswered": cards.unanswered(report) if report else [],
        "task": live.current([task])[0] if task else None,
        "is_looking": bool(task and task.is_active),
    }
