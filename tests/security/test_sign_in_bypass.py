"""Ways round the wait after failed sign-ins."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from phpborg.accounts import throttle
from phpborg.accounts.models import SignInFailure, User

RIGHT = "correct horse battery"
HERE = "192.0.2.1"


@pytest.fixture
def admin(db: None) -> User:
    return User.objects.create_user("root", password=RIGHT, role=User.Role.ADMIN, language="en")


def attempt(password: str, *, at: str = "login", address: str = HERE, name: str = "root") -> int:
    form = {"username": name, "password": password}
    return Client().post(reverse(at), form, REMOTE_ADDR=address).status_code


def test_the_door_of_the_administration_is_as_slow(admin: User) -> None:
    for _ in range(throttle.FREE_OF_NAME):
        assert attempt("wrong", at="admin:login") == 200
    assert attempt(RIGHT, at="admin:login") == 200
    assert attempt(RIGHT) == 200
    SignInFailure.objects.update(last_at=timezone.now() - timedelta(hours=1))
    assert attempt(RIGHT, at="admin:login") == 302


def test_only_administrators_come_in_by_the_administration(admin: User) -> None:
    User.objects.create_user("eve", password=RIGHT, role=User.Role.OPERATOR)
    assert attempt(RIGHT, at="admin:login", name="eve") == 200


@pytest.mark.parametrize(("name", "password"), [("root", ""), ("", "x"), ("", "")])
def test_an_empty_field_forgets_no_failure(admin: User, name: str, password: str) -> None:
    for _ in range(throttle.FREE_OF_NAME - 1):
        attempt("wrong")
    assert attempt(password, name=name) == 200
    attempt("wrong")
    assert throttle.wait_seconds("root", HERE) > 0


def test_the_right_password_costs_the_address_nothing(admin: User) -> None:
    for _ in range(throttle.FREE_OF_ADDRESS + 5):
        assert attempt(RIGHT) == 302


def test_the_addresses_of_one_network_count_as_one(admin: User) -> None:
    for number in range(throttle.FREE_OF_NAME):
        attempt("wrong", address=f"2001:db8::{number}")
    assert attempt(RIGHT, address="2001:db8::ffff") == 200
    assert attempt(RIGHT, address="2001:db8:0:1::1") == 302


@pytest.mark.real
@pytest.mark.django_db(transaction=True)
def test_many_at_once_are_not_more_than_one_after_the_other() -> None:
    waits: list[int] = []

    def begin() -> None:
        waits.append(throttle.begin("root", HERE))
        connection.close()

    threads = [threading.Thread(target=begin) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert waits.count(0) == throttle.FREE_OF_NAME


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
@pytest.mark.parametrize("page", ["tasks", "archives"])
def test_the_ends_of_the_calendar_are_no_error(admin: User, day: str, page: str) -> None:
    client = Client()
    client.force_login(admin)
    assert client.get(reverse(page), {"since": day, "until": day}).status_code == 200
