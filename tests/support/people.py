"""Alice administers, Bob operates, Diane reads, Charlie has left."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from phpborg.accounts.models import User

PASSWORD = "a sound passphrase"


def person(name: str, role: User.Role, **more: object) -> User:
    """Somebody with this role who reads English."""
    return User.objects.create_user(
        username=name, email=f"{name}@example.org", password=PASSWORD, role=role, language="en", **more
    )


@pytest.fixture
def alice(db: None) -> User:
    """The administrator."""
    return person("alice", User.Role.ADMIN)


@pytest.fixture
def bob(db: None) -> User:
    """The operator."""
    return person("bob", User.Role.OPERATOR)


@pytest.fixture
def diane(db: None) -> User:
    """The viewer."""
    return person("diane", User.Role.VIEWER)


@pytest.fixture
def charlie(db: None) -> User:
    """Somebody whose account was closed."""
    return person("charlie", User.Role.OPERATOR, is_active=False)


@pytest.fixture
def client_of(db: None) -> Callable[[User], Client]:
    """`client_of(alice).get(...)`: a browser in which this person is signed in."""

    def browser(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return browser
