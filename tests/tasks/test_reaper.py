"""What a crash leaves behind is found: rows without a worker, things without a task, rows that Redis forgot."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

import django_rq
import pytest
from django.utils import timezone

from phpborg.tasks import leases, queue, reaper, registry
from phpborg.tasks.models import Task
from phpborg.tasks.states import State


def running(worker: str, heartbeat_ago: float = 0, **more) -> Task:
    """A task that says that it runs."""
    then = timezone.now() - timedelta(seconds=heartbeat_ago)
    return Task.objects.create(
        kind="test_quick", queue="quick", state=State.RUNNING, worker=worker, heartbeat_at=then, started_at=then, **more
    )


def alive() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{leases.process_started_at(os.getpid())}"


@pytest.mark.django_db
def test_a_heartbeat_that_stopped_makes_the_task_lost(settings):
    heard = []

    def listen(task, **_more):
        heard.append((task.pk, task.state))

    registry.task_finished.connect(listen)
    try:
        old = running(alive(), settings.TASK_LOST_SECONDS + 5)
        fresh = running(alive(), 5)
        assert reaper.reap_lost() == 1
        assert reaper.reap_lost() == 0
    finally:
        registry.task_finished.disconnect(listen)
    old.refresh_from_db()
    fresh.refresh_from_db()
    assert (old.state, old.error_code, fresh.state) == (State.LOST, "TSK-01", State.RUNNING)
    assert old.finished_at
    assert heard == [(old.pk, State.LOST)]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("worker", "gone"),
    [
        (f"{socket.gethostname()}:999999999:123", True),
        (f"{socket.gethostname()}:{os.getpid()}:1", True),  # the number was given to another process
        ("elsewhere:999999999:123", False),  # not ours to judge: its heartbeat decides
        ("", False),
        ("nonsense", False),
    ],
)
def test_a_worker_of_this_host_that_has_ended_is_known_at_once(worker, gone):
    assert reaper.worker_is_gone(worker) is gone
    running(worker)
    assert reaper.reap_lost() == int(gone)


@pytest.mark.django_db
def test_what_a_lost_task_held_is_cleaned_up(run_pending, tmp_path):
    task = running("gone", 100)
    order = tmp_path / "order"
    leases.hold(task, "test_file", {"path": str(tmp_path / "x"), "order": str(order)})
    reaper.sweep()
    reaper.sweep()
    cleanups = run_pending()
    assert [cleanup.kind for cleanup in cleanups] == ["cleanup"]
    assert order.read_text() == "x\n"


@pytest.mark.django_db
def test_rows_that_redis_forgot_are_queued_again_once(redis_server):
    task = queue.enqueue("test_quick")
    rq = django_rq.get_queue("quick")
    assert reaper.requeue_forgotten() == 0  # a moment ago
    Task.objects.update(created_at=timezone.now() - timedelta(minutes=1))
    assert reaper.requeue_forgotten() == 1
    assert reaper.requeue_forgotten() == 0
    redis_server.flush()
    assert reaper.requeue_forgotten() == 1
    assert rq.get_job_ids() == [str(task.pk)]


@pytest.mark.django_db
def test_blocked_tasks_wait_for_their_resource_and_are_queued_once(redis_server):
    busy = running(alive(), exclusive="repository:1")
    for number in range(3):
        Task.objects.create(
            kind="test_quick", queue="quick", state=State.BLOCKED, exclusive="repository:1", subject=str(number)
        )
    assert reaper.wake_blocked() == 0
    Task.objects.filter(pk=busy.pk).update(state=State.SUCCESS)
    assert reaper.wake_blocked() == 1
    assert reaper.wake_blocked() == 0
    oldest = Task.objects.get(subject="0")
    assert django_rq.get_queue("quick").get_job_ids() == [str(oldest.pk)]


@pytest.mark.django_db
def test_without_redis_nothing_fails():
    Task.objects.create(kind="test_quick", queue="quick", created_at=timezone.now() - timedelta(minutes=1))
    Task.objects.create(kind="test_quick", queue="quick", state=State.BLOCKED, exclusive="x")
    reaper.sweep()
    assert Task.objects.pending().count() == 2


@pytest.mark.django_db
def test_one_part_that_fails_does_not_stop_the_others(monkeypatch, settings):
    def broken():
        raise OSError("no disk")

    task = running(alive(), settings.TASK_LOST_SECONDS + 5)
    monkeypatch.setattr(reaper, "clean_abandoned", broken)
    reaper.at_boot()
    task.refresh_from_db()
    assert task.state == State.LOST
