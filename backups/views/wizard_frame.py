"""What surrounds every step of the job wizard: its stations and the way back."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from backups.models import JobDraft
from backups.services import drafts

LABELS = {
    "server": lambda: _("Server"),
    "what": lambda: _("What"),
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
