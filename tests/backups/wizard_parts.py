"""What the tests of the wizard for database servers share: reports, forms, a server that answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from backups.forms.wizard_database import to_value
from backups.models import JobDraft
from phpborg.accounts.models import User
from servers.capabilities.report import parse
from servers.models import Server
from servers.services import capabilities
from tests.support.reports import debian

ClientOf = Callable[[User], Client]
CANARY = "ca$ry ' \" \\ canary-91d2"
POSTGRESQL, MARIADB = "postgresql:15/main", "mysql:port 3306"


def report(**facts: Any) -> dict[str, Any]:
    """Debian's report with other database servers."""
    made = debian()
    made["probes"]["mysql"]["facts"]["programs"]["mariadb-dump"] = {"path": "/usr/bin/mariadb-dump", "version": "10.11"}
    for name, rows in facts.items():
        key = {"postgresql": "clusters", "elasticsearch": "nodes"}.get(name, "instances")
        made["probes"][name]["facts"][key] = rows
    return made


def see(server: Server, raw: dict[str, Any] | None = None, **facts: Any) -> None:
    """The newest report of this server says so."""
    capabilities.record(server=server, report=parse(raw or report(**facts)), taken_at=timezone.now())


class FakeHost:
    """A server that answers `capabilities` with what the test says."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []

    def call(self, verb: str, args: Mapping[str, Any], **options: Any) -> Any:
        self.asked.append({"verb": verb, **args, **options})
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def step(draft: JobDraft, name: str) -> str:
    """The address of a step."""
    return reverse("job-wizard-step", args=[draft.pk, name])


def choose(browser: Client, draft: JobDraft, kind: str) -> Any:
    """The answer to this choice of what is backed up."""
    answer = browser.post(step(draft, "kind"), {"kind": kind})
    draft.refresh_from_db()
    return answer


def dump(*names: str, **more: str) -> dict[str, Any]:
    """A form that dumps these databases."""
    scope = {"scope": "chosen", "database": [to_value(name) for name in names]} if names else {"scope": "all"}
    return {"way": "logical", "config_files": "on", "login": "auto", **scope, **more}


def given(password: str = CANARY, user: str = "backup", **more: str) -> dict[str, Any]:
    """A form with a login."""
    return {"way": "logical", "scope": "all", "login": "given", "user": user, "password": password, **more}
