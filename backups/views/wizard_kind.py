"""The wizard's choice of what is backed up: files, the whole system, Docker, or a database server that was found."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from backups.models import JobDraft
from backups.services import drafts
from backups.services.database_offers import value_of, why_not
from backups.services.docker_offers import EngineOffer, engine_offer
from backups.sources.offers import KINDS, Offer, offers
from backups.views.wizard_database import database_page
from backups.views.wizard_docker import docker_page
from backups.views.wizard_frame import forward, frame, look, look_context
from backups.views.wizard_system import system_page
from backups.views.wizard_what import files_page
from phpborg.ui.answers import page
from servers.capabilities.report import Report

PLAIN = ("files", "system")
DOCKER = "docker"


def kind_step(request: HttpRequest, draft: JobDraft) -> HttpResponse:
    """Only what was found can be chosen; the rest is listed with the reason."""
    context = look_context(drafts.server_of(draft))
    found = offers(context["report"]) if context["report"] else []
    engine = engine_offer(context["report"])
    chosen = request.POST.get("kind") or request.GET.get("kind") or _value_of(draft)
    problem = ""
    if request.method == "POST":
        if "look" in request.POST:
            return look(request, draft, "kind", kind=chosen)
        if choice := _choice(chosen, found, engine):
            drafts.choose_kind(draft=draft, kind=choice[0], instance=choice[1])
            return forward(request, draft, "what")
        problem = _("Choose one of those that were found.")
    found.sort(key=lambda offer: not offer.possible)
    rows = [(value_of(offer), offer, why_not(context["report"], offer)) for offer in found]
    choices = {"offers": rows, "engine": engine, "chosen": chosen, "problem": problem}
    shown = frame(draft, "kind", **context, **choices, is_known=_is_known(context))
    return page(request, "backups/wizard/kind.html", shown, status=422 if problem else 200)


def what_step(request: HttpRequest, draft: JobDraft) -> HttpResponse:
    """The details of what was chosen."""
    kind = drafts.source_kind_of(draft)
    if kind in KINDS:
        return database_page(request, draft)
    if kind == DOCKER:
        return docker_page(request, draft)
    return system_page(request, draft) if kind == "system" else files_page(request, draft)


def _value_of(draft: JobDraft) -> str:
    """The choice that was made before, as the form has it; empty before the first one."""
    if "what" not in draft.answers:
        return ""
    kind, instance = drafts.source_kind_of(draft), drafts.source_of_draft(draft).get("instance", "")
    return f"{kind}:{instance}" if instance else kind


def _choice(value: str, found: list[Offer], engine: EngineOffer | None) -> tuple[str, str] | None:
    """(kind, instance) of what the form says; None when that cannot be chosen."""
    if value in PLAIN:
        return value, ""
    if value == DOCKER:
        return (value, "") if engine is not None and engine.possible else None
    known = next((offer for offer in found if value_of(offer) == value and offer.possible), None)
    return (known.kind, known.id) if known else None


def _is_known(context: dict[str, Any]) -> bool:
    """Did every probe for database servers answer? Else none found does not mean that there is none."""
    report: Report | None = context["report"]
    probes = [report.probe(kind) if report else None for kind in KINDS]
    return all(probe is not None and probe.state == "ok" for probe in probes)
