"""Pages of sessions: what they cost, what they say without JavaScript, and of those that another version began."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from backups.models import Archive
from phpborg.accounts.models import User
from phpborg.tasks.models import Lease
from recovery.models import Session
from recovery.services import sessions
from tests.recovery.test_instant_pages import ClientOf, archive, session_of

__all__ = ["archive"]
pytestmark = pytest.mark.django_db


def cost(browser: Client, address: str, count: Callable[..., Any]) -> int:
    """The queries of a page that was asked for once before."""
    browser.get(address)
    with count(60) as seen:
        assert browser.get(address).status_code == 200
    return len(seen)


def test_the_list_costs_the_same_for_many(
    client_of: ClientOf, bob: User, archive: Archive, django_assert_max_num_queries: Any
) -> None:
    browser, address = client_of(bob), reverse("sessions")
    for state in ("ready", "stopped"):
        session_of(archive, state, port=15432, requested_by=bob)
    few = cost(browser, address, django_assert_max_num_queries)
    for _ in range(10):
        for state in ("ready", "starting", "stopped", "failed"):
            session_of(archive, state, port=15432, requested_by=bob)
    # The task bar counts what it does not show.
    assert cost(browser, address, django_assert_max_num_queries) <= few + 1


@pytest.mark.parametrize(
    ("state", "told"), [("starting", True), ("stopping", True), ("ready", False), ("failed", False)]
)
def test_without_javascript_a_page_that_waits_is_asked_again(
    client_of: ClientOf, bob: User, archive: Archive, state: str, told: bool
) -> None:
    page = client_of(bob).get(session_of(archive, state).get_absolute_url()).content.decode()
    assert ("Look again" in page) == told


def test_what_is_kept_for_a_session_is_not_shown_when_counting_takes_too_long(
    client_of: ClientOf, bob: User, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = session_of(archive, "ready", port=15432)
    Lease.objects.create(kind="repository_view", task_id=session.task_ref, data={"path": "/nowhere"})
    words = "Kept in the repository for it"
    assert words in client_of(bob).get(session.get_absolute_url()).content.decode()
    monkeypatch.setattr("backups.borg.view.held_bytes", lambda _views: None)
    assert sessions.view_bytes(session) is None
    assert words not in client_of(bob).get(session.get_absolute_url()).content.decode()


def test_a_session_of_another_version_has_its_page(client_of: ClientOf, bob: User, archive: Archive) -> None:
    session = session_of(archive, "stopped")
    page = session.get_absolute_url()
    assert "The steps, with their commands" in client_of(bob).get(page).content.decode()
    Session.objects.update(asked={name: value for name, value in session.asked.items() if name != "memory"})
    answer = client_of(bob).get(page)
    assert answer.status_code == 200
    assert "The steps, with their commands" not in answer.content.decode()


@pytest.mark.parametrize("hours", ["0", "-1", "745", "99999999999"])
def test_the_shell_extends_no_further_than_the_page(archive: Archive, hours: str) -> None:
    session = session_of(archive, "ready", port=15432)
    with pytest.raises(CommandError, match="between 1 and 744"):
        call_command("instant", "extend", "--", str(session.pk), hours)
    assert Session.objects.get(pk=session.pk).expires_at == session.expires_at
