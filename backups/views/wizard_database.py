"""The wizard's details of a database server: method, databases, configuration files, login."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.http import HttpRequest, HttpResponse

from backups.forms.wizard_database import DatabaseForm, to_value
from backups.models import JobDraft
from backups.services import database_offers, drafts
from backups.services.credentials import Login
from backups.services.database_login import Tried, try_login
from backups.services.database_offers import AUTO, DUMPS, GIVEN, DatabaseOffer
from backups.sources.offers import Offer, source_of
from backups.views.wizard_frame import forward, frame, look, look_context
from phpborg.ui.answers import page
from servers.capabilities import sayings
from servers.capabilities.cards import REMEDIES
from servers.capabilities.report import Report


def database_page(request: HttpRequest, draft: JobDraft) -> HttpResponse:
    """Each button sends the whole form, so nothing typed is lost; a password goes to the draft and never comes back."""
    kind, instance = drafts.source_kind_of(draft), str(drafts.source_of_draft(draft).get("instance", ""))
    context = look_context(drafts.server_of(draft))
    offer = database_offers.offer_of(context["report"], kind, instance)
    if request.method != "POST":
        return _page(request, draft, _unbound(draft, offer), context, offer)
    form = DatabaseForm(request.POST, kind=kind, instance=instance, initial={})
    _keep(draft, form)
    if "look" in request.POST:
        return look(request, draft, "what")
    if "refresh" in request.POST:
        return _page(request, draft, _unbound(draft, offer), context, offer)
    if "try" in request.POST:
        return _page(request, draft, form, context, offer, tried=_try(draft, form, context["report"], offer))
    if form.is_valid():
        _keep(draft, form, following="where")
        return forward(request, draft, "where")
    return _page(request, draft, form, context, offer, status=422)


def _keep(draft: JobDraft, form: DatabaseForm, following: str = "") -> None:
    source = form.cleaned_data["source"] if following else form.source()
    scope = "all" if form.takes_all else "chosen"
    answers = {**draft.answers["what"], "source_kind": form.kind, "source": source, "scope": scope}
    drafts.save_step(draft=draft, step="what", answers=answers, following=following)
    user, password = form.typed()
    drafts.keep_login(draft=draft, user=user, password=password)


def _try(draft: JobDraft, form: DatabaseForm, report: Report, offer: Offer | None) -> Tried | None:
    """What the server says of the login; None when it cannot be asked about one."""
    server = drafts.server_of(draft)
    kept = drafts.login_of(draft) or Login("", "")
    form.is_valid()
    if server is None or offer is None or form.errors.keys() & {"user", "password"}:
        return None
    instance = database_offers.instance_of(report, offer)
    tried = try_login(server=server, offer=offer, instance=instance, login=kept)
    if tried.databases:
        # What only this login sees is in no report: the draft keeps it, to choose from.
        seen = [asdict(one) for one in tried.databases]
        drafts.save_step(draft=draft, step="what", answers={**draft.answers["what"], "seen": seen})
    return tried


def _unbound(draft: JobDraft, offer: Offer | None) -> DatabaseForm:
    """As the draft has it; before the first answer with what suits most."""
    source = drafts.source_of_draft(draft)
    kept = drafts.login_of(draft)
    initial = {
        "way": source.get("method", ""),
        "scope": draft.answers["what"].get("scope", ""),
        "databases": source.get("databases", []),
        "config_files": source.get("config_files", True),
        "login": source.get("login") or (GIVEN if offer is not None and offer.needs_login else AUTO),
        "user": kept.user if kept else "",
    }
    kind = drafts.source_kind_of(draft)
    return DatabaseForm(None, kind=kind, instance=str(source.get("instance", "")), initial=initial)


def _page(
    request: HttpRequest,
    draft: JobDraft,
    form: DatabaseForm,
    context: dict[str, Any],
    offer: Offer | None,
    *,
    tried: Tried | None = None,
    status: int = 200,
) -> HttpResponse:
    kept = drafts.login_of(draft)
    shown = frame(
        draft,
        "what",
        **context,
        form=form,
        offer=offer,
        instance=form.instance,
        source_label=source_of(form.kind).label,
        tried=tried,
        has_password=kept is not None,
        login=form["login"].value() or AUTO,
        **(_offered(draft, context["report"], offer, form) if offer else {}),
    )
    return page(request, "backups/wizard/database.html", shown, status=status)


def _offered(draft: JobDraft, report: Report, offer: Offer, form: DatabaseForm) -> dict[str, Any]:
    """Methods and databases to choose from. What was chosen and is gone stays in sight."""
    known = database_offers.databases(report, offer)
    known = known or [DatabaseOffer(**one) for one in draft.answers["what"].get("seen", [])]
    chosen = form.chosen
    source, instance = source_of(offer.kind), database_offers.instance_of(report, offer)
    return {
        "version": instance.version,
        "own_ways": database_offers.own_ways(instance),
        "own_problem": sayings.shown(instance.login.problem),
        "remedy": REMEDIES[offer.kind],
        "methods": [(one, source.method(one.method).consistency) for one in offer.methods],
        "method": form["way"].value() or offer.recommended,
        "has_dump": any(one.method == DUMPS for one in offer.methods),
        "databases": [(to_value(one.name), one, one.name in chosen) for one in known],
        "databases_gone": [(to_value(one), one) for one in chosen if one not in {row.name for row in known}],
    }
