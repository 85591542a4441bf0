"""Every link leads somewhere, for each of the three roles; every route says who may use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from phpborg.accounts.models import User
from phpborg.accounts.rights import Right
from tests.dockerops import rows as docker_rows
from tests.e2e.crawl import Answer, crawl, route_of
from tests.support.people import person

# Who may use what. A new route is added here by the person who thought about it.
OPEN = {"login", "set_language", "set_theme", "healthz"}
SIGNED_IN = {"logout", "password_change", "password_change_done"}
MATRIX = {
    Right.VIEW: {
        *("dashboard", "servers", "server", "jobs", "job", "archives", "archive", "restores", "restore"),
        *("repositories", "repository", "pools", "pool", "storage-trash", "tasks", "task", "task-log", "workers"),
        *("preferences", "server-capabilities", "server-statistics", "proofs", "proof", "job-proofs"),
        *("sessions", "session", "session-of-task", "docker-restores", "docker-restore"),
    },
    Right.OPERATE: {
        *("archive-details", "archive-pin", "archive-prove", "job-prove"),
        "server-capabilities-reload",
        *("job-run", "jobs-bulk", "server-run-all", "servers-bulk", "task-cancel", "task-retry"),
        *("browse", "browse-open", "browse-close", "browse-select"),
        *("browse-file", "browse-picture", "browse-download"),
        *("load-begin", "restore-database-files", "load-options", "load-start"),
        *("restore-wizard", "restore-options", "restore-remove", "restore-start", "restore-discard"),
        *("instant", "instant-look", "instant-start", "session-extend", "session-stop", "session-password", "adminer"),
        *("docker-begin", "docker-archive", "docker-contents", "docker-choice", "docker-files", "docker-conflicts"),
        *("docker-options", "docker-review", "docker-script", "docker-start", "docker-rollback", "docker-forget"),
        "docker-discard",
        *("repository-check", "repository-compact", "repository-measure", "repository-sync", "pool-analyse"),
    },
    Right.ADMINISTER: {
        *("first-run", "first-run-step", "first-run-finish", "mail-settings", "mail-test"),
        *("server-add", "server-add-local", "server-enrol", "server-host-key", "server-approve", "server-password"),
        *("server-setup", "server-edit", "server-mode", "server-remove"),
        *("job-wizard", "job-wizard-step", "job-wizard-runs", "job-draft-delete"),
        *("job-proof-plan", "job-proof-runs", "job-proof-remove"),
        *("job-edit", "job-enable", "job-delete", "archive-trash", "archive-purge", "archives-bulk"),
        *("pool-new", "pool-edit", "pool-default", "pool-remove"),
        *("repository-new", "repository-edit", "repository-move", "repository-trash", "repository-untrash"),
        *("repository-purge", "repository-break-lock", "repository-accept-older", "repository-passphrase"),
        *("repository-key", "repository-key-download", "repository-key-kept", "repository-sheet"),
        "repository-passphrase-once",
    },
}


def routes(patterns: list[Any] | None = None) -> Iterator[URLPattern]:
    """All routes but those of the admin, which asks its own right of everybody."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            if pattern.namespace != "admin":
                yield from routes(pattern.url_patterns)
        else:
            yield pattern


def test_every_route_says_who_may_use_it() -> None:
    found: dict[Right | None, set[str]] = {right: set() for right in (None, *Right)}
    without_sign_in = set()
    for route in routes():
        assert route.name, f"{route.pattern} has no name"
        found[getattr(route.callback, "right", None)].add(route.name)
        if not getattr(route.callback, "login_required", True):
            without_sign_in.add(route.name)
    assert found.pop(None) == OPEN | SIGNED_IN
    assert without_sign_in == OPEN
    assert found == MATRIX


def test_without_signing_in_every_route_leads_to_the_sign_in(db: None) -> None:
    for route in routes():
        values = {"pk": "00000000-0000-4000-8000-000000000000", "step": "server"}
        kept = {name: values[name] for name in route.pattern.converters}
        answer = Client().get("/" + _address(route.name, kept))
        if route.name not in OPEN:
            assert (answer.status_code, answer.url.split("?")[0]) == (302, "/account/login/"), route.name


def _address(name: str, values: dict[str, str]) -> str:
    from django.urls import reverse

    return reverse(name, kwargs=values).removeprefix("/")


ASKS_BORG = {"repository-key", "repository-sheet"}


@pytest.fixture
def fleet(db: None) -> None:
    """A small installation that has seen something of everything."""
    cache.clear()
    call_command("seed", servers=8, jobs=20, archives=60, tasks=80, verbosity=0)


def getter(client: Client) -> Callable[[str], Answer]:
    """Pages through Django's test client."""

    def get(address: str) -> Answer:
        response = client.get(address)
        kind = response.headers.get("Content-Type", "")
        body = "" if response.streaming or not kind.startswith("text/html") else response.content.decode()
        return Answer(response.status_code, body, kind)

    return get


@pytest.mark.parametrize("role", list(User.Role))
def test_every_link_leads_somewhere(fleet: None, client_of: Callable[[User], Client], role: User.Role) -> None:
    user = person(f"a-{role}", role)
    docker_rows.record(user)
    docker_rows.conflicting(user, agreed=True, archive=docker_rows.archive("begun"))
    client = client_of(user)
    client.raise_request_exception = False
    reached, bad = set(), []
    for address, parent, answer in crawl(getter(client)):
        reached.add(route_of(address))
        # The invented repositories lie on no disk: asking Borg for their key is answered with two sentences.
        if answer.status >= 400 and not (answer.status == 409 and route_of(address) in ASKS_BORG):
            bad.append(f"{answer.status} {address} (on {parent})")
    assert bad == []
    lists = {"dashboard", "servers", "jobs", "archives", "repositories", "tasks", "workers", "restores", "pool"}
    lists |= {"docker-restores", "docker-restore"}
    assert lists <= reached, f"no link leads to {lists - reached}"
    # What a person may not open is not offered to them either.
    for right in Right:
        assert user.may(right) or not reached & MATRIX[right]
    assert not user.may(Right.ADMINISTER) or {"server-add", "job-wizard", "repository-new", "mail-settings"} <= reached
