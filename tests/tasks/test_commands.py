"""`tasks` and `task`: tables for people, JSON for programs, exit codes for shells."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from phpborg.tasks import context as contexts
from phpborg.tasks import queue
from phpborg.tasks.models import Task
from phpborg.tasks.states import State

pytestmark = pytest.mark.django_db


def ended(state: str, **more) -> Task:
    return Task.objects.create(kind="test_quick", queue="quick", state=state, finished_at=timezone.now(), **more)


def code_of(*argv: str) -> int:
    with pytest.raises(SystemExit) as left:
        call_command(*argv)
    return int(left.value.code or 0)


def test_the_list_is_filtered_and_hides_the_system(capsys):
    ended("success", subject="apple")
    ended("failed", subject="pear")
    ended("failed", subject="hidden", is_system=True)
    call_command("tasks")
    text = capsys.readouterr().out
    assert "apple" in text
    assert "pear" in text
    assert "hidden" not in text
    call_command("tasks", "--state", "bad", "--system", "--json")
    assert {row["subject"] for row in json.loads(capsys.readouterr().out)} == {"pear", "hidden"}
    call_command("tasks", "--limit", "1", "--json")
    assert len(json.loads(capsys.readouterr().out)) == 1


@pytest.mark.parametrize(
    ("state", "code"),
    [("success", 0), ("notes", 0), ("incomplete", 1), ("failed", 1), ("lost", 1), ("cancelled", 3), ("running", 4)],
)
def test_show_leaves_with_the_code_of_the_state(capsys, state, code):
    task = ended(state)
    assert code_of("task", "show", str(task.pk)[:12], "--json") == code
    assert json.loads(capsys.readouterr().out)["task"] == str(task.pk)


@pytest.mark.parametrize("text", ["ffffffff", "nonsense", "ab"])
def test_what_is_not_there_is_code_2(text):
    with pytest.raises(CommandError) as problem:
        call_command("task", "show", text)
    assert problem.value.returncode == 2


def test_cancel_and_retry(capsys):
    task = queue.enqueue("test_quick")
    call_command("task", "cancel", str(task.pk), "--json")
    assert json.loads(capsys.readouterr().out)["state"] == State.CANCELLED
    call_command("task", "retry", str(task.pk), "--json")
    again = Task.objects.get(retry_of=task)
    assert json.loads(capsys.readouterr().out)["task"] == str(again.pk)
    assert code_of("task", "cancel", str(task.pk), "--json") == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "TSK-05"
    assert code_of("task", "show", str(again.pk)) == 4


def test_the_log(capsys):
    task = ended("failed", log_tail="the last lines")
    call_command("task", "log", str(task.pk))
    assert capsys.readouterr().out == "the last lines"
    path = contexts.log_path(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("all lines\n")
    call_command("task", "log", str(task.pk))
    assert capsys.readouterr().out == "all lines\n"
