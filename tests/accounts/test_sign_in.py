"""Signing in: the right password works, guessing gets slow, nobody is locked out from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from phpborg.accounts import throttle
from phpborg.accounts.models import SignInFailure, User

pytestmark = pytest.mark.django_db
ClientOf = Callable[[User], Client]
RIGHT = "correct horse battery"


@pytest.fixture
def person() -> User:
    """Somebody with a password."""
    return User.objects.create_user("eve", password=RIGHT, role=User.Role.VIEWER, language="en")


def attempt(client: Client, password: str, *, name: str = "eve", address: str = "192.0.2.1") -> int:
    """302 when signed in, 200 when the form comes back."""
    form = {"username": name, "password": password}
    return client.post(reverse("login"), form, REMOTE_ADDR=address).status_code


def test_the_right_password_signs_in(person: User, client: Client) -> None:
    assert attempt(client, RIGHT) == 302


def test_after_five_failures_even_the_right_password_waits(person: User, client: Client) -> None:
    for _ in range(5):
        assert attempt(client, "wrong") == 200
    assert attempt(client, RIGHT) == 200
    assert attempt(client, RIGHT, address="192.0.2.99") == 302


def test_the_wait_doubles_ends_and_is_bounded(person: User) -> None:
    waits = []
    for _ in range(30):
        throttle.failed("eve", "192.0.2.1")
        waits.append(throttle.wait_seconds("eve", "192.0.2.1"))
    assert waits[:8] == [0, 0, 0, 0, 2, 4, 8, 16]
    assert max(waits) <= throttle.LONGEST_SECONDS + 1
    SignInFailure.objects.update(last_at=timezone.now() - timedelta(hours=1))
    assert throttle.wait_seconds("eve", "192.0.2.1") == 0


def test_one_address_that_tries_many_names_is_slowed(person: User) -> None:
    for number in range(throttle.FREE_OF_ADDRESS + 1):
        throttle.failed(f"name-{number}", "192.0.2.1")
    assert throttle.wait_seconds("eve", "192.0.2.1") > 0
    assert throttle.wait_seconds("eve", "192.0.2.2") == 0


def test_a_person_chooses_language_zone_and_theme(diane: User, client_of: ClientOf) -> None:
    client = client_of(diane)
    form = {"language": "en", "time_zone": "Asia/Kolkata", "theme": "dark", "email": "d@example.net"}
    assert client.post(reverse("preferences"), form).status_code == 302
    diane.refresh_from_db()
    assert (diane.language, diane.time_zone, diane.theme) == ("en", "Asia/Kolkata", "dark")
    assert client.post(reverse("preferences"), {**form, "time_zone": "Mars/Base"}).status_code == 422
    assert client.post(reverse("preferences"), {**form, "role": "admin"}).status_code == 302
    diane.refresh_from_db()
    assert diane.role == User.Role.VIEWER


def test_every_page_asks_who_is_there(client: Client) -> None:
    for name in ("tasks", "servers", "mail-settings", "preferences", "restores"):
        answer = client.get(reverse(name))
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith(reverse("login"))
