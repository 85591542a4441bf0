"""Old tasks and logs go; what is young, active or still owed something stays."""

from __future__ import annotations

import os
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from phpborg.tasks import context as contexts
from phpborg.tasks import history, leases
from phpborg.tasks.models import Task

pytestmark = pytest.mark.django_db


def task(days: int, subject: str, **more) -> Task:
    then = timezone.now() - timedelta(days=days)
    given = {"state": "success", "finished_at": then, **more}
    return Task.objects.create(kind="test_quick", queue="quick", subject=subject, created_at=then, **given)


def test_each_kind_of_history_has_its_time():
    task(13, "young system", is_system=True)
    task(15, "old system", is_system=True)
    task(700, "young backup")
    task(740, "old backup")
    task(900, "still waiting", state="waiting", finished_at=None)
    held = task(900, "holds something")
    leases.hold(held, "directory", {"path": "/x"})
    assert history.forget() == 2
    left = set(Task.objects.values_list("subject", flat=True))
    assert left == {"young system", "young backup", "still waiting", "holds something"}
    assert history.forget() == 0


def test_a_retry_outlives_what_it_repeats():
    old = task(900, "old")
    again = task(1, "again", retry_of=old)
    history.forget()
    again.refresh_from_db()
    assert again.retry_of is None


def test_old_logs_go_and_their_last_lines_stay():
    old, young = task(91, "old", log_tail="the end"), task(1, "young")
    for one, days in ((old, 91), (young, 1)):
        path = contexts.log_path(one)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("lines")
        os.utime(path, (time.time() - days * 86400,) * 2)
    history.forget()
    assert not contexts.log_path(old).exists()
    assert contexts.log_path(young).exists()
    assert Task.objects.get(pk=old.pk).log_tail == "the end"


def test_it_looks_once_an_hour(monkeypatch):
    monkeypatch.setattr(history, "_next_at", 0.0)
    task(15, "old system", is_system=True)
    assert history.forget_sometimes() == 1
    task(15, "another", is_system=True)
    assert history.forget_sometimes() == 0
