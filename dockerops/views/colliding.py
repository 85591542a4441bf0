"""The fourth step: what stands in the way on the target, and what somebody agrees to."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from dockerops import typed
from dockerops.models import DockerRestore
from dockerops.services import detecting, drafts
from dockerops.templatetags.docker_tags import shown
from dockerops.views.frame import Step, draft_of, forward, frame, missing_before, task_context, to_step
from phpborg.accounts.rights import Right, permission
from phpborg.errors import PhpBorgError
from phpborg.ui.answers import page, say


def ask_when_stale(request: HttpRequest, row: DockerRestore) -> None:
    """Have the target looked at, unless it was for just this. What goes wrong is told on the next page."""
    if detecting.is_current(row):
        return
    try:
        detecting.start(restore=row, by=request.user)
    except PhpBorgError as error:
        say(request, error)


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def docker_conflicts(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Each conflict with its sentence, its remedy and a box where it needs an agreement.

    POST with `check` asks the target again, whatever is known; else it keeps what was agreed to and goes on, as far as
    nothing stands in the way.
    """
    row = draft_of(request, pk)
    if (missing := missing_before(row, Step.CONFLICTS)) is not None:
        return to_step(row, missing)
    if request.method == "POST":
        return _answered(request, row)
    conflicts, agreed = detecting.conflicts_of(row), set(row.agreed)
    task = task_context(row.conflicts_task)
    context = frame(
        request,
        row,
        Step.CONFLICTS,
        conflicts=[(one, one.consent in agreed) for one in conflicts],
        counts=_counts(conflicts),
        is_current=detecting.is_current(row),
        stopping=", ".join(shown(name) for name in _stopping(conflicts)),
        is_blocked=any(one.severity == "block" for one in conflicts),
        then="review" if request.GET.get("then") == "review" else "",
    )
    return page(request, "dockerops/conflicts.html", {**context, **task})


def _answered(request: HttpRequest, row: DockerRestore) -> HttpResponse:
    then = {"then": "review"} if request.POST.get("then") == "review" else {}
    known = {one.consent for one in detecting.conflicts_of(row) if one.consent}
    drafts.consent(restore=row, keys=sorted(known & set(typed.restored(request.POST.getlist("consent")))))
    if "check" in request.POST:
        try:
            detecting.start(restore=row, by=request.user)
        except PhpBorgError as error:
            say(request, error)
        return to_step(row, Step.CONFLICTS, **then)
    if "leave" in request.POST:
        return forward(request, row, Step.CONFLICTS)
    if not detecting.is_current(row):
        messages.error(request, _("Have the server checked first: what stands in the way there is not known."))
        return to_step(row, Step.CONFLICTS, **then)
    if detecting.standing(row):
        messages.error(request, _("Something still stands in the way. Agree to it, or choose other options."))
        return to_step(row, Step.CONFLICTS, **then)
    return to_step(row, Step.REVIEW if then else Step.OPTIONS)


def _stopping(conflicts: tuple[Any, ...]) -> list[str]:
    """What stops, or is set aside, for those who agree to all at once: containers and projects, each once."""
    kinds = ("container_on_volume", "container_on_path", "container_taken", "project_running")
    return list(dict.fromkeys(one.subject for one in conflicts if one.severity == "stop" and one.kind in kinds))


def _counts(conflicts: tuple[Any, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in conflicts:
        found[one.severity] = found.get(one.severity, 0) + 1
    return found
