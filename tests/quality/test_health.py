"""/healthz: two words for a monitor, without a login."""

from __future__ import annotations

import pytest
from django.db import DatabaseError

from phpborg import health

pytestmark = pytest.mark.django_db


def test_it_answers_without_a_login(client):
    answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")
    assert "no-store" in answer["Cache-Control"]


def test_it_makes_no_session(client):
    client.get("/healthz")
    assert client.cookies == {}


def test_it_only_reads(client):
    assert client.post("/healthz").status_code == 405


def test_without_a_database_it_is_not_healthy_and_tells_no_detail(client, monkeypatch):
    class Broken:
        def cursor(self):
            raise DatabaseError("password of the database is hunter2")

    monkeypatch.setattr(health, "connection", Broken())
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert b"hunter2" not in answer.content
