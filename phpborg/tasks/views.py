"""Tasks: the list, one task with its live block, its log, cancel and retry; who works."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.apps import apps
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from phpborg.accounts.rights import Right, permission
from phpborg.errors import PhpBorgError, describe
from phpborg.tasks import listing, live, logs, questions, queue, registry, workers
from phpborg.tasks.context import log_path
from phpborg.tasks.models import Task
from phpborg.ui.confirm import ask
from phpborg.ui.context import reverse_or_none

PER_PAGE = 50
FINDINGS_SHOWN = 200


@require_GET
@permission(Right.VIEW)
def task_list(request: HttpRequest) -> HttpResponse:
    """What is active, always; then what has ended, filtered and paged."""
    filters = listing.Filters.read(request.GET)
    page = Paginator(listing.ended(filters), PER_PAGE).get_page(request.GET.get("page"))
    counts = listing.counts(filters)
    context = {
        "filters": filters,
        "names": listing.names(filters),
        "choices": listing.choices(filters),
        "counts": counts,
        "all_count": sum(number for _state, number in counts),
        "active": live.current(listing.active(filters)),
        "page_obj": page,
        "rows": [live.snapshot(task) for task in page],
        "may_operate": request.user.may(Right.OPERATE),  # type: ignore[union-attr]
    }
    return render(request, "tasks/list.html", context)


@require_GET
@permission(Right.VIEW)
def task_page(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """One task: the live block, then what it found, what came of it, its log."""
    task = get_object_or_404(Task.objects.select_related("requested_by", "retry_of"), pk=pk)
    context = {
        "row": task,
        "task": live.current([task])[0],
        "findings": task.findings[:FINDINGS_SHOWN],
        "log": logs.page(task, _number(request.GET.get("log"))),
        "about": _about(task),
        "sentences": _sentences(task.result.get("sentences")),
        "retries": list(task.retries.order_by("created_at").only("pk", "state", "created_at")[:20]),
        "cancelled_by": task.result.get("cancelled_by", ""),
        "may_operate": request.user.may(Right.OPERATE),  # type: ignore[union-attr]
    }
    return render(request, "tasks/task.html", context)


def _sentences(stored: Any) -> list[str]:
    """What the task says it did, in the reader's language where it was kept so."""
    if isinstance(stored, dict):
        stored = stored.get(get_language()) or next(iter(stored.values()), [])
    return [text for text in stored if isinstance(text, str)][:20] if isinstance(stored, list) else []


@require_GET
@permission(Right.VIEW)
def task_log(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """The whole log as a text file."""
    task = get_object_or_404(Task, pk=pk)
    name = f"{task.kind}-{task.short_id}.log"
    try:
        file = log_path(task).open("rb")
    except OSError:
        return HttpResponse(
            task.log_tail,
            content_type="text/plain; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"},
        )
    return FileResponse(file, as_attachment=True, filename=name, content_type="text/plain; charset=utf-8")


@require_http_methods(["GET", "POST"])
@permission(Right.OPERATE)
def task_cancel(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Ask, then end a waiting task or tell a running one to stop."""
    task = get_object_or_404(Task, pk=pk)
    what = f"{registry.label(task.kind)} {task.subject}".strip()
    answer = ask(request, questions.cancel(task, what))
    if answer:
        return answer
    try:
        queue.cancel(task, by=request.user)
    except PhpBorgError as error:
        return _answer(request, task, describe(error.code, error.facts).title, "bad")
    told = _("“{task}” is being stopped.") if registry.page_of(task.kind) else _("“{task}” is being cancelled.")
    return _answer(request, task, told.format(task=what), "info")


@require_POST
@permission(Right.OPERATE)
def task_retry(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Queue the same work again and show it."""
    task = get_object_or_404(Task, pk=pk)
    try:
        again = queue.retry(task, by=request.user)
    except PhpBorgError as error:
        return _answer(request, task, describe(error.code, error.facts).title, "bad")
    messages.success(request, _("The same work is queued again."))
    return _go(request, again.get_absolute_url())


@require_GET
@permission(Right.VIEW)
def workers_page(request: HttpRequest) -> HttpResponse:
    """Queues, workers, clock and Redis; what is missing, and what to do."""
    return render(request, "tasks/workers.html", {"seen": workers.overview()})


def _answer(request: HttpRequest, task: Task, words: str, tone: str) -> HttpResponse:
    """A toast for htmx, the task's page for a plain form."""
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Trigger": json.dumps({"toast": {"words": words, "tone": tone}})})
    messages.add_message(request, messages.ERROR if tone == "bad" else messages.INFO, words)
    return HttpResponseRedirect(task.get_absolute_url(), status=303)


def _go(request: HttpRequest, address: str) -> HttpResponse:
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Redirect": address})
    return HttpResponseRedirect(address, status=303)


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() and len(text) < 9 else None


# What a task speaks of, by the names of models and routes: this floor does not know the ones above.
ABOUT = (
    ("server_ref", "servers.Server", "name", "server"),
    ("job_ref", "backups.BackupJob", "name", "job"),
    ("repository_ref", "backups.Repository", "name", "repository"),
    ("archive_ref", "backups.Archive", "name", "archive"),
)


def _about(task: Task) -> list[dict[str, Any]]:
    """Names and addresses of what the task speaks of and of what came of it; what is gone is left out."""
    found = []
    results = {"archive_ref": task.result.get("archive")}
    for field, label, name, route in ABOUT:
        pk = getattr(task, field) or _uuid(results.get(field))
        model = apps.get_model(label)
        words = model._default_manager.filter(pk=pk).values_list(name, flat=True).first() if pk else None
        if words is not None:
            heading = model._meta.verbose_name
            found.append({"what": heading, "name": words, "url": reverse_or_none(route, pk), "route": route})
    return found


def _uuid(value: Any) -> uuid.UUID | None:
    try:
        return uuid.UUID(str(value)) if value else None
    except ValueError:
        return None
