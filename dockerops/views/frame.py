"""What surrounds every step of the wizard: the draft, its stations, the way back and the way on."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from dockerops.models import DockerRestore
from dockerops.services import drafts, looking
from phpborg.tasks import live
from phpborg.tasks.models import Task
from phpborg.ui.answers import see_other

Step = DockerRestore.Step
ROUTES = {
    Step.ARCHIVE: "docker-archive",
    Step.CONTENTS: "docker-contents",
    Step.CHOICE: "docker-choice",
    Step.CONFLICTS: "docker-conflicts",
    Step.OPTIONS: "docker-options",
    Step.REVIEW: "docker-review",
}
LABELS: dict[Step, str | Promise] = {
    Step.ARCHIVE: gettext_lazy("Archive"),
    Step.CONTENTS: pgettext_lazy("a step", "Contents"),
    Step.CHOICE: pgettext_lazy("a step", "What"),
    Step.CONFLICTS: pgettext_lazy("a step", "Conflicts"),
    Step.OPTIONS: pgettext_lazy("a step", "Options"),
    Step.REVIEW: pgettext_lazy("a step", "Review"),
}


def draft_of(request: HttpRequest, pk: uuid.UUID) -> DockerRestore:
    """A draft of one's own. 404 for anything else, also for one that was started: its page is the record."""
    row: DockerRestore = get_object_or_404(restores(request), pk=pk)
    if not row.is_draft:
        raise Http404
    return row


def restores(request: HttpRequest) -> Any:
    """The rows that this person may see, with what every page of one asks of it."""
    rows = DockerRestore.objects.visible_to(request.user)
    return rows.select_related("archive__repository__pool", "archive__job", "archive__server", "server", "requested_by")


def address(row: DockerRestore, step: Step) -> str:
    """Where this step of the draft is."""
    return reverse(ROUTES[step], args=[row.pk])


def to_step(row: DockerRestore, step: Step, **query: str) -> HttpResponse:
    """After a POST, or from a step that is not ready: this one."""
    place = address(row, step)
    return see_other(f"{place}?{urlencode(query)}" if query else place)


def is_answered(row: DockerRestore, step: Step) -> bool:
    """Is there an answer to this step, good as of now?"""
    if step == Step.ARCHIVE:
        return row.archive is not None and row.server is not None
    if step == Step.CONTENTS:
        return looking.is_known(row)
    if step == Step.CHOICE:
        return bool(row.choice)
    if step == Step.CONFLICTS:
        return row.conflicts_at is not None
    return bool(row.options) if step == Step.OPTIONS else False


def missing_before(row: DockerRestore, step: Step) -> Step | None:
    """The first step before this one without an answer: nothing is asked before it can be answered.

    Options come after the conflicts, and change them: a check that has become stale is asked for again before the
    review, not before the options are looked at.
    """
    needed = {
        Step.CONTENTS: (Step.ARCHIVE,),
        Step.CHOICE: (Step.ARCHIVE, Step.CONTENTS),
        Step.CONFLICTS: (Step.ARCHIVE, Step.CONTENTS, Step.CHOICE),
        Step.OPTIONS: (Step.ARCHIVE, Step.CONTENTS, Step.CHOICE),
        Step.REVIEW: (Step.ARCHIVE, Step.CONTENTS, Step.CHOICE, Step.OPTIONS, Step.CONFLICTS),
    }
    return next((one for one in needed.get(step, ()) if not is_answered(row, one)), None)


def stations(row: DockerRestore, current: Step) -> list[dict[str, Any]]:
    """The stations of the wizard; those that can be asked now have a link."""
    return [
        {
            "key": step.name,
            "label": LABELS[step],
            "url": address(row, step) if missing_before(row, step) is None else None,
            "done": step < current and is_answered(row, step),
        }
        for step in Step
    ]


def frame(request: HttpRequest, row: DockerRestore, step: Step, **more: Any) -> dict[str, Any]:
    """The context that all steps share. Looking at a step makes it the one that is gone on with."""
    if row.step != step:
        drafts.go_to(restore=row, step=step)
    return {
        "restore": row,
        "archive": row.archive,
        "step": step.name,
        "stations": stations(row, step),
        "before": address(row, Step(step - 1)) if step > Step.ARCHIVE else "",
        **more,
    }


def forward(request: HttpRequest, row: DockerRestore, step: Step, **query: str) -> HttpResponse:
    """On to this step, or with “Save and leave” to the list; the answers are kept already."""
    if "leave" in request.POST:
        messages.info(request, _("The draft was kept. You find it in the list of Docker restores."))
        drafts.go_to(restore=row, step=step)
        return see_other(reverse("docker-restores"))
    return to_step(row, step, **query)


def task_context(pk: uuid.UUID | None) -> dict[str, Any]:
    """A task that a step waits for: its row and what its panel shows; nothing when there is none."""
    task = Task.objects.filter(pk=pk).first() if pk else None
    return {
        "row": task,
        "task": live.current([task])[0] if task else None,
        "is_waiting": bool(task and task.is_active),
    }
