"""What a report allows: each database server with the methods that are possible for it, in words. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from django.utils.translation import gettext as _

from backups import sources
from backups.job_errors import SourceKindUnknown
from backups.sources.base import SourceFacts
from backups.sources.databases import DatabaseConfig, DatabaseSource, Method, Row
from phpborg.errors import PhpBorgError, describe
from servers.capabilities import sayings
from servers.capabilities.cards import REMEDIES, size_of
from servers.capabilities.databases import Database
from servers.capabilities.report import Report

KINDS = ("postgresql", "mysql", "mongodb", "elasticsearch")
_CLUSTER = re.compile(r"(\d+(?:\.\d+)?)/(.+)", re.DOTALL)  # as Debian calls one


@dataclass(frozen=True)
class MethodOffer:
    """One way: `sentence` says what it is and why (not); `size_bytes` is what its snapshot takes, where it is sized."""

    method: str
    label: str
    possible: bool
    sentence: str
    recommended: bool = False
    size_bytes: int | None = None


@dataclass(frozen=True)
class Offer:
    """One database server. `reason` says why it cannot be backed up, or what is wanted first; empty when nothing is.

    `needs_login`: no login works by itself; the methods are what is possible once one is given.
    """

    kind: str
    id: str
    title: str
    possible: bool
    reason: str
    needs_login: bool
    size_bytes: int | None
    databases: tuple[Database, ...]
    methods: tuple[MethodOffer, ...]

    @property
    def recommended(self) -> str | None:
        """The name of the method to begin with; None when none is possible."""
        return next((one.method for one in self.methods if one.recommended), None)


def offers(report: Report) -> list[Offer]:
    """Every database server of a report, in the order of engines; what runs in a container too, with the reason."""
    return [
        _offer(source, report, instance)
        for source in map(source_of, KINDS)
        for instance in source.instances(report)
        if instance.id
    ]


def access(report: Report, kind: str, instance_id: str, login: str = "auto") -> Row:
    """How the helper is told to reach this server: its row without a producer; `login` is auto or given.

    Raises SourceKindUnknown, ServersUnknown, InstanceGone, -Contained, -Stopped, -Unclear, LoginFailed.
    """
    source = source_of(kind)
    instance = source.find(instance_id, report)
    source.check_state(instance)
    return source.access(instance, source.entrance(instance, login))


def source_of(kind: str) -> DatabaseSource[Any]:
    """The source of a database server's kind. Raises SourceKindUnknown."""
    found = sources.get(kind)
    if not isinstance(found, DatabaseSource):
        raise SourceKindUnknown(kind=kind)
    return found


def _offer(source: DatabaseSource[Any], report: Report, instance: Any) -> Offer:
    reason, needs_login = _state(source, instance)
    methods: list[MethodOffer] = []
    for method in source.methods:
        made = _method(source, report, instance, method, reason if not needs_login else "", needs_login)
        if made.possible and not any(one.recommended for one in methods):
            made = replace(made, recommended=True)
        methods.append(made)
    possible = any(one.possible for one in methods)
    if not possible and not reason:
        reason = _("No method is possible; each says why.")
    return Offer(
        kind=source.kind,
        id=instance.id,
        title=_title(source, instance),
        possible=possible,
        reason=reason,
        needs_login=needs_login,
        size_bytes=_size(instance),
        databases=tuple(getattr(instance, "databases", ())),
        methods=tuple(methods),
    )


def _state(source: DatabaseSource[Any], instance: Any) -> tuple[str, bool]:
    """(why it cannot be backed up as it is, is a login all that is missing)."""
    try:
        source.check_state(instance)
    except PhpBorgError as error:
        return _words(error), False
    try:
        source.entrance(instance, "auto")
    except PhpBorgError:
        said = sayings.shown(instance.login.problem) or _("No login works by itself.")
        return f"{said.rstrip('.')}. {REMEDIES[source.kind]}", True
    return "", False


def _method(
    source: DatabaseSource[Any], report: Report, instance: Any, method: Method, reason: str, needs_login: bool
) -> MethodOffer:
    label = str(method.label)
    if reason:
        return MethodOffer(method.name, label, False, f"{method.what} {reason}")
    login = "given" if needs_login and method.needs_login else "auto"
    config = DatabaseConfig(instance.id, method.name, login=login)
    try:
        plan = source.plan(config, SourceFacts(report=report))
    except PhpBorgError as error:
        return MethodOffer(method.name, label, False, f"{method.what} {_words(error)}")
    # The first sentence is what it is, the second why it is done so.
    sentence = " ".join(str(words) for words in plan.sentences[:2])
    size = plan.freeze.arguments.get("size_bytes") if plan.freeze else None
    return MethodOffer(method.name, label, True, sentence, size_bytes=size)


def _words(error: PhpBorgError) -> str:
    """What happened, the outside's own words or else what to do."""
    described = describe(error.code, error.facts)
    return f"{described.title} {error.detail or described.advice}"


def _title(source: DatabaseSource[Any], instance: Any) -> str:
    """PostgreSQL 15 · main · port 5432"""
    version, identifier = instance.version, instance.id
    if named := _CLUSTER.fullmatch(identifier):
        version, identifier = named.groups()
    name = source.name_of(instance)
    words = [f"{name} {version}" if version else name]
    if identifier != f"port {instance.port}":
        words.append(identifier)
    if instance.port is not None:
        words.append(_("port {number}").format(number=instance.port))
    return " · ".join(words)


def _size(instance: Any) -> int | None:
    """What its data occupies; None when that is not known."""
    own: int | None = getattr(instance, "size_bytes", None)
    return own if own is not None else size_of(instance)
