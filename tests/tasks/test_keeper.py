"""The worker for tasks that live long: many at once, each in a process of its own."""

from __future__ import annotations

import os
import signal

import pytest

from phpborg.tasks import leases, queue, reaper
from phpborg.tasks.models import Task
from phpborg.tasks.states import State
from tests.support.workers import WorkerProcess, wait_until

pytestmark = [pytest.mark.real]


def state_of(task: Task) -> str:
    return str(Task.objects.values_list("state", flat=True).get(pk=task.pk))


def horse_of(task: Task) -> int:
    """The process that runs it."""
    wait_until(lambda: state_of(task) == State.RUNNING, what="it is not started")
    return int(Task.objects.get(pk=task.pk).worker.split(":")[1])


@pytest.fixture
def living(keeper: WorkerProcess) -> list[Task]:
    """Three that run at once."""
    tasks = [queue.enqueue("test_live", params={"n": number}) for number in range(3)]
    assert len({horse_of(task) for task in tasks}) == 3
    return tasks


def test_many_live_at_once_and_each_ends_alone(keeper, living):
    queue.cancel(living[1])
    wait_until(lambda: state_of(living[1]) == State.SUCCESS)
    assert [state_of(living[0]), state_of(living[2])] == [State.RUNNING, State.RUNNING]
    assert keeper.is_alive()
    another = queue.enqueue("test_live", params={"n": 9})
    horse_of(another)


def test_a_horse_that_is_killed_is_lost_and_the_others_go_on(keeper, living):
    os.kill(horse_of(living[0]), signal.SIGKILL)

    def lost() -> bool:
        reaper.reap_lost()
        return state_of(living[0]) == State.LOST

    wait_until(lost)
    assert [state_of(task) for task in living[1:]] == [State.RUNNING, State.RUNNING]


def test_a_stop_of_the_service_ends_all_in_order_and_waits_for_them(keeper, living):
    horses = [horse_of(task) for task in living]
    assert keeper.terminate(30) == 0
    assert {state_of(task) for task in living} == {State.FAILED}
    assert {Task.objects.get(pk=task.pk).error_code for task in living} == {"TSK-03"}
    assert [leases.process_started_at(pid) for pid in horses] == ["", "", ""]


def test_a_killed_keeper_takes_its_horses_along(keeper, living):
    horses = [horse_of(task) for task in living]
    keeper.kill()
    wait_until(lambda: all(leases.process_started_at(pid) == "" for pid in horses), 30)
    assert State.RUNNING not in {state_of(task) for task in living}


def test_what_has_ended_leaves_no_zombie(keeper, living):
    for task in living:
        queue.cancel(task)
    wait_until(lambda: {state_of(task) for task in living} == {State.SUCCESS})
    wait_until(lambda: keeper.horses() == [])
