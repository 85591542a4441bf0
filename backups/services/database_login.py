"""Does a login that was given let us into a database server? The server is asked now; nothing is inferred."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from backups.services.credentials import Login, probe_row
from backups.services.database_offers import GIVEN, DatabaseOffer, databases, instance_of, offer_of, own_ways
from backups.sources.offers import Offer
from phpborg.crypto import remember_secret
from phpborg.errors import PhpBorgError, describe
from servers.capabilities import sayings
from servers.capabilities.report import Report, parse
from servers.models import Server
from servers.services.reach import host_for

PROBE_SECONDS = 20
TIMEOUT = PROBE_SECONDS + 15

# What a probe says when it had no login for this server that it may use.
_NOT_TRIED = "give one for it"
# What the server's own words mean, and what to do. The first that matches is told.
_ADVICE: tuple[tuple[str, str | Promise], ...] = (
    (
        r"\b1698\b",
        gettext_lazy(
            "This account has no password that lets it in. Either it does not exist, or the server lets it in only "
            "through its socket and only for the system account of the same name (unix_socket, auth_socket), as it "
            "does with root: over the network it is always refused. Choose the server's own ways in, or make an "
            "account with a password for backups."
        ),
    ),
    (
        r"\b1045\b",
        gettext_lazy(
            "The password is wrong, or there is no such account for connections from the server itself (“localhost”)."
        ),
    ),
    (r"\b1130\b", gettext_lazy("The account may not sign in from the server itself: add one for “localhost”.")),
    (
        r"[Pp]eer authentication failed",
        gettext_lazy(
            "For its socket pg_hba.conf asks for the system account of the same name (peer), not for a password. Add "
            "a line for this user above it (local all USER scram-sha-256) and reload PostgreSQL."
        ),
    ),
    (
        r"no pg_hba\.conf entry",
        gettext_lazy("pg_hba.conf lets this user in nowhere: add a line and reload PostgreSQL."),
    ),
    (
        r"password authentication failed|role \".*\" does not exist",
        gettext_lazy("The password is wrong, or there is no such user."),
    ),
    (r"refuses the login", gettext_lazy("The password is wrong, or there is no such user.")),
)


@dataclass(frozen=True)
class Tried:
    """How it went: True it works, False it does not, None nobody can say. `detail`: the server's own words."""

    works: bool | None
    sentence: str
    advice: str = ""
    detail: str = ""
    databases: tuple[DatabaseOffer, ...] = ()  # what this login sees

    @property
    def tone(self) -> str:
        """For the page."""
        return {True: "good", False: "bad", None: "warn"}[self.works]


def try_login(*, server: Server, offer: Offer, instance: Any, login: Login) -> Tried:
    """Sign in with this login and nothing else. Never raises an expected error: it is the answer."""
    request = {"only": [offer.kind], "seconds": PROBE_SECONDS, "size_seconds": 0}
    remember_secret(login.password)
    secrets = {offer.kind: json.dumps(probe_row(login, instance))}
    try:
        answer = host_for(server).call("capabilities", request, timeout=TIMEOUT, secrets=secrets)
    except PhpBorgError as error:
        words = describe(error.code, error.facts)
        return Tried(None, words.title, words.advice, error.detail)
    report = parse(answer)
    now = offer_of(report, offer.kind, offer.id)
    if now is None:
        probe = report.probe(offer.kind)
        sentence = _("The server did not say whether it works: {name} was not found.").format(name=offer.title)
        return Tried(
            None, sentence, _("Look again, then try once more."), sayings.shown(probe.problem if probe else None)
        )
    return _judge(report, replace(now, title=offer.title), login)


def _judge(report: Report, now: Offer, login: Login) -> Tried:
    instance = instance_of(report, now)
    seen = instance.login
    words, told = seen.problem or "", sayings.shown(seen.problem)
    if seen.works is not True and (not words or _NOT_TRIED in words):
        sentence = _("{name} wants a login, but this one could not be tried from here.").format(name=now.title)
        return Tried(None, sentence, _("The first run signs in with it, and says so when it does not work."), told)
    if seen.works is not True:
        sentence = _("{name} does not let “{user}” in.").format(name=now.title, user=login.user)
        return Tried(False, sentence, _advice(words), told)
    if seen.method != GIVEN:
        sentence = _("{name} lets us in without this login ({how}), so it was not tried.").format(
            name=now.title, how=own_ways(instance)
        )
        return Tried(None, sentence, _("Choose the server's own ways in: then no password is kept."))
    sentence = _("The login works: {name} lets “{user}” in.").format(name=now.title, user=seen.user or login.user)
    found = tuple(databases(report, now))
    if not found:
        return Tried(True, sentence)
    count = ngettext("It sees {count} database.", "It sees {count} databases.", len(found)).format(count=len(found))
    return Tried(True, sentence, count, databases=found)


def _advice(words: str) -> str:
    return next((str(advice) for pattern, advice in _ADVICE if re.search(pattern, words)), "")
