"""Real workers, real Redis: kills, stops and forgetfulness end in the right state, and leave nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from django.conf import settings

from phpborg.tasks import leases, queue, reaper, runner
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.states import State
from tests.support.workers import HOME, environment, wait_until

pytestmark = [pytest.mark.real]


def state_of(task: Task) -> str:
    return str(Task.objects.values_list("state", flat=True).get(pk=task.pk))


def child_of(task: Task) -> int:
    """The process that a `test_process` task has started."""
    file = Path(settings.VAR_DIR) / "tmp" / f"{task.pk}.pid"
    wait_until(lambda: file.exists() and file.read_text(), what="the task starts no process")
    return int(file.read_text())


def is_gone(pid: int) -> bool:
    return leases.process_started_at(pid) == ""


def start_process_task(**more) -> tuple[Task, int]:
    task = queue.enqueue("test_process", **more)
    pid = child_of(task)
    wait_until(lambda: Lease.objects.filter(task=task, kind="process", data__pid=pid).exists())
    return task, pid


def assert_nothing_left(task: Task, pid: int) -> None:
    """Its process group and its directory are gone, its leases released."""
    wait_until(lambda: is_gone(pid), 25, "the child lives on")
    wait_until(lambda: leases.group_members(pid) == [], 25, "something that it started lives on")
    wait_until(lambda: not Lease.objects.held().filter(task=task).exists(), 25, "something is still held")
    for lease in Lease.objects.filter(task=task, kind="directory"):
        assert not Path(lease.data["path"]).exists()


def test_fifty_fast_tasks_back_to_back_run_once_each(worker, tmp_path):
    worker("quick")
    worker("quick")
    trace = tmp_path / "trace"
    tasks = [queue.enqueue("test_quick", params={"trace": str(trace), "n": number}) for number in range(50)]
    wait_until(lambda: not Task.objects.active().exists(), 60, "tasks are left")
    assert Counter(Task.objects.values_list("state", flat=True)) == {State.SUCCESS: 50}
    assert Counter(trace.read_text().split()) == {str(task.pk): 1 for task in tasks}


def test_a_task_queued_many_times_runs_once(worker, redis_server, tmp_path):
    trace = tmp_path / "trace"
    task = queue.enqueue("test_quick", params={"trace": str(trace)})
    for _ in range(10):
        queue.push(task)
    for _ in range(3):
        worker("quick")
    wait_until(lambda: state_of(task) == State.SUCCESS)
    wait_until(lambda: redis_server.client().llen("rq:queue:quick") == 0)
    time.sleep(0.5)
    assert trace.read_text().split() == [str(task.pk)]


def test_writers_of_one_resource_run_one_after_the_other(worker):
    worker("quick")
    worker("quick")
    tasks = [
        queue.enqueue("test_sleep", params={"seconds": 1, "n": number}, exclusive="repository:1") for number in range(3)
    ]
    wait_until(lambda: Task.objects.filter(state=State.BLOCKED).exists(), what="nobody waits visibly")
    wait_until(lambda: not Task.objects.active().exists(), 30)
    rows = list(Task.objects.filter(pk__in=[task.pk for task in tasks]).order_by("started_at"))
    assert [row.state for row in rows] == [State.SUCCESS] * 3
    for before, after in pairwise(rows):
        assert before.finished_at
        assert after.started_at
        assert before.finished_at <= after.started_at


def test_cancelling_a_running_task_ends_its_process(worker):
    worker("backup")
    task, pid = start_process_task()
    began = time.monotonic()
    queue.cancel(Task.objects.get(pk=task.pk))
    wait_until(lambda: state_of(task) == State.CANCELLED, 15)
    assert time.monotonic() - began < 10
    assert_nothing_left(task, pid)


def test_kill_9_of_the_horse_is_recorded_within_seconds(worker):
    one = worker("backup")
    worker("system")
    task, pid = start_process_task(exclusive="repository:1")
    (horse,) = one.horses()
    began = time.monotonic()
    os.kill(horse, signal.SIGKILL)
    wait_until(lambda: state_of(task) == State.LOST, 10)
    assert time.monotonic() - began < 5
    assert_nothing_left(task, pid)
    again = queue.retry(Task.objects.get(pk=task.pk))
    wait_until(lambda: state_of(again) == State.RUNNING, 10, "the worker does not go on")
    queue.cancel(Task.objects.get(pk=again.pk))
    wait_until(lambda: state_of(again) == State.CANCELLED, 15)


def test_kill_9_of_the_worker_ends_the_task_in_order(worker):
    one = worker("backup")
    worker("system")
    task, pid = start_process_task()
    (horse,) = one.horses()
    one.kill()
    wait_until(lambda: state_of(task) in (State.FAILED, State.LOST), 10)
    task.refresh_from_db()
    assert task.error_code == "TSK-03"
    wait_until(lambda: is_gone(horse), 10)
    assert_nothing_left(task, pid)


def test_kill_9_of_both_is_found_by_the_clock(worker):
    one = worker("backup")
    worker("system")
    task, pid = start_process_task()
    (horse,) = one.horses()
    os.kill(one.pid, signal.SIGSTOP)  # so that it cannot tell
    os.kill(horse, signal.SIGKILL)
    one.kill()
    wait_until(lambda: is_gone(horse))
    reaper.sweep()
    assert state_of(task) == State.LOST
    assert_nothing_left(task, pid)


def test_a_stop_of_the_service_interrupts_and_leaves_nothing(worker):
    one = worker("backup")
    task, pid = start_process_task()
    assert one.terminate() == 0
    task.refresh_from_db()
    assert (task.state, task.error_code) == (State.FAILED, "TSK-03")
    assert_nothing_left(task, pid)


def test_a_stopped_idle_worker_leaves_at_once(worker):
    one = worker("quick")
    began = time.monotonic()
    assert one.terminate() == 0
    assert time.monotonic() - began < 5


def test_redis_that_forgets_everything_loses_no_task(worker, redis_server, monkeypatch):
    monkeypatch.setattr(reaper, "REQUEUE_AFTER", timedelta(0))
    one = worker("quick")
    running = queue.enqueue("test_sleep", params={"seconds": 4})
    wait_until(lambda: state_of(running) == State.RUNNING)
    waiting = [queue.enqueue("test_quick", params={"n": number}) for number in range(3)]
    redis_server.flush()
    reaper.sweep()
    wait_until(lambda: not Task.objects.active().exists(), 30, "tasks are left")
    assert {state_of(task) for task in (running, *waiting)} == {State.SUCCESS}
    assert one.is_alive()


def test_a_redis_restart_under_a_running_task_costs_nothing(worker, redis_server, monkeypatch):
    monkeypatch.setattr(reaper, "REQUEUE_AFTER", timedelta(0))
    one = worker("quick")
    running = queue.enqueue("test_sleep", params={"seconds": 6})
    wait_until(lambda: state_of(running) == State.RUNNING)
    redis_server.stop()
    waiting = queue.enqueue("test_quick")
    assert state_of(waiting) == State.WAITING
    time.sleep(2)
    redis_server.start()
    wait_until(lambda: state_of(running) == State.SUCCESS, 20)
    if not one.is_alive():  # the supervisor starts it again
        worker("quick")
    reaper.sweep()
    wait_until(lambda: state_of(waiting) == State.SUCCESS, 30)


def test_redis_that_stays_away_does_not_fail_a_running_task(worker, redis_server):
    one = worker("quick")
    task = queue.enqueue("test_sleep", params={"seconds": 3})
    wait_until(lambda: state_of(task) == State.RUNNING)
    redis_server.stop()
    wait_until(lambda: state_of(task) == State.SUCCESS, 20)
    redis_server.start()
    assert one.log.read_text().count("Traceback") < 20


def test_a_frozen_redis_slows_neither_task_nor_page(worker, redis_server):
    worker("quick")
    task = queue.enqueue("test_storm", params={"events": 400, "seconds": 4})
    wait_until(lambda: state_of(task) == State.RUNNING)
    redis_server.freeze()
    try:
        began = time.monotonic()
        queue.enqueue("test_quick", params={"n": 1})
        assert time.monotonic() - began < 15, "a page would wait too long"
        wait_until(lambda: state_of(task) == State.SUCCESS, 25)
    finally:
        redis_server.thaw()
    task.refresh_from_db()
    assert (task.duration_seconds or 99) < 20


def test_an_emptied_redis_learns_of_its_workers_again(worker, redis_server):
    from phpborg.tasks import workers

    one = worker("quick")
    assert [row.pid for row in workers.alive()] == [one.pid]
    redis_server.flush()
    task = queue.enqueue("test_quick")
    wait_until(lambda: state_of(task) == State.SUCCESS, 60)
    wait_until(lambda: [row.pid for row in workers.alive()] == [one.pid], 30)
    one.kill()
    wait_until(lambda: workers.alive() == [], 5, "a killed worker still counts")


def test_two_processes_never_run_one_task_twice(transactional_db, redis_server, tmp_path):
    trace = tmp_path / "trace"
    tasks = [queue.enqueue("test_quick", params={"trace": str(trace), "n": number}) for number in range(20)]
    program = (
        "import django, sys; django.setup(); from phpborg.tasks import runner; "
        "[runner.run(task) for task in sys.argv[1:]]"
    )
    argv = [sys.executable, "-c", program, *(str(task.pk) for task in tasks)]
    racers = [subprocess.Popen(argv, env=environment(redis_server.url), cwd=HOME) for _ in range(3)]
    assert [racer.wait(60) for racer in racers] == [0, 0, 0]
    assert Counter(trace.read_text().split()) == {str(task.pk): 1 for task in tasks}


def test_threads_never_run_one_task_twice(transactional_db, redis_server, tmp_path):
    from django.db import connection

    trace = tmp_path / "trace"
    tasks = [queue.enqueue("test_quick", params={"trace": str(trace), "n": number}) for number in range(10)]

    def race():
        for task in tasks:
            runner.run(str(task.pk))
        connection.close()

    threads = [threading.Thread(target=race) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(trace.read_text().split()) == {str(task.pk): 1 for task in tasks}
    assert Counter(Task.objects.values_list("state", flat=True)) == {State.SUCCESS: 10}


def test_a_child_of_the_horse_hears_its_interrupt(worker):
    """RQ ignores SIGINT in the horse; what the horse starts must not inherit that."""
    worker("backup")
    task, pid = start_process_task()
    began = time.monotonic()
    os.kill(pid, signal.SIGINT)
    wait_until(lambda: is_gone(pid), 5, "SIGINT is ignored in the child")
    wait_until(lambda: state_of(task) == State.FAILED, 10)
    assert time.monotonic() - began < 10
