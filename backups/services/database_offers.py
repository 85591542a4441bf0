"""What the wizard shows of a database server that a report offers, besides its methods (backups/sources/offers.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from backups.sources.base import SourceFacts
from backups.sources.databases import REASONS, DatabaseConfig
from backups.sources.offers import Offer, offers, source_of
from phpborg.errors import PhpBorgError
from servers.capabilities.cards import LOGINS
from servers.capabilities.report import Report

AUTO, GIVEN = "auto", "given"
DUMPS = "logical"  # the method that takes databases one by one


@dataclass(frozen=True)
class DatabaseOffer:
    """A database that can be chosen, or why it cannot. The size is None when it is not known."""

    name: str
    size_bytes: int | None = None
    reason: str = ""


def value_of(offer: Offer) -> str:
    """The offer as a form has it."""
    return f"{offer.kind}:{offer.id}"


def offer_of(report: Report | None, kind: str, identifier: str) -> Offer | None:
    """The server of this id; None when the report does not have it."""
    known = offers(report) if report else []
    return next((one for one in known if (one.kind, one.id) == (kind, identifier)), None)


def instance_of(report: Report, offer: Offer) -> Any:
    """What the report says of it."""
    return source_of(offer.kind).find(offer.id, report)


def why_not(report: Report, offer: Offer) -> list[str]:
    """Why it cannot be chosen, in sentences: its state, or what each method lacks. Empty when it can."""
    if offer.possible:
        return []
    instance = instance_of(report, offer)
    if instance.contained or instance.running is False:
        return [offer.reason]
    return [f"{one.label}: {one.sentence}" for one in offer.methods] or [offer.reason]


def own_ways(instance: Any) -> str:
    """How we get in without a login of ours; empty when none of the server's own ways works."""
    login = instance.login
    if login.works is not True or login.method in (None, GIVEN):
        return ""
    how = str(LOGINS.get(login.method, login.method))
    return " · ".join(filter(None, (how, login.user, login.file)))


def databases(report: Report, offer: Offer) -> list[DatabaseOffer]:
    """Its databases as the report has them; those that are never dumped on their own come with the reason."""
    reasons = _reasons(report, offer)
    return [DatabaseOffer(one.name, one.size_bytes, reasons.get(one.name, "")) for one in offer.databases if one.name]


def _reasons(report: Report, offer: Offer) -> dict[str, str]:
    """By name, why a dump of all databases leaves one out: its own plan says so."""
    source = source_of(offer.kind)
    if DUMPS not in [method.name for method in source.methods]:
        return {}
    config = DatabaseConfig(offer.id, DUMPS, login=GIVEN if offer.needs_login else AUTO)
    try:
        record = source.plan(config, SourceFacts(report=report)).database
    except PhpBorgError:
        return {}
    left_out = [row for row in (record.not_included if record else ()) if row.get("kind") == "database"]
    return {row["name"]: str(REASONS.get(row["reason"], _("it is left out"))) for row in left_out}
