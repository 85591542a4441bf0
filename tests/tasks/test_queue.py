"""One way in: a row, then its id; cancel, retry, and what has to be refused."""

from __future__ import annotations

import pytest
from django.db import transaction

from phpborg.tasks import queue, registry
from phpborg.tasks.errors import AlreadyActive, TaskNotCancellable, TaskNotRetryable
from phpborg.tasks.models import Task
from phpborg.tasks.states import State, Trigger


@pytest.mark.django_db
def test_a_task_is_written_down_with_what_it_speaks_of(alice):
    task = queue.enqueue("test_quick", params={"a": 1}, subject="x" * 400, by=alice, deadline_seconds=5)
    task.refresh_from_db()
    assert (task.state, task.queue, task.requested_by, task.deadline_seconds) == (State.WAITING, "quick", alice, 5)
    assert len(task.subject) == 300


@pytest.mark.django_db
def test_an_unknown_kind_is_refused():
    with pytest.raises(LookupError):
        queue.enqueue("no_such_kind")
    assert not Task.objects.exists()


@pytest.mark.django_db
def test_a_command_line_user_without_a_row_is_nobody():
    class Nobody:
        pk = None

    assert queue.enqueue("test_quick", by=Nobody()).requested_by is None


@pytest.mark.django_db
def test_the_same_work_is_not_queued_twice():
    queue.enqueue("test_quick", params={"server": "1"}, unless_active=True)
    queue.enqueue("test_quick", params={"server": "2"}, unless_active=True)
    with pytest.raises(AlreadyActive):
        queue.enqueue("test_quick", params={"server": "1"}, unless_active=True)
    assert Task.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_redis_hears_of_a_task_only_after_the_commit(redis_server):
    import django_rq

    rq = django_rq.get_queue("quick")
    with transaction.atomic():
        task = queue.enqueue("test_quick")
        assert rq.get_job_ids() == []
    assert rq.get_job_ids() == [str(task.pk)]


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_is_rolled_back_queues_nothing(redis_server):
    import django_rq

    with transaction.atomic():
        queue.enqueue("test_quick")
        transaction.set_rollback(True)
    assert django_rq.get_queue("quick").get_job_ids() == []
    assert not Task.objects.exists()


@pytest.mark.django_db
def test_without_redis_the_row_waits(django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        task = queue.enqueue("test_quick")
    assert Task.objects.get().state == State.WAITING
    assert queue.push(task) is False


@pytest.mark.django_db
def test_a_waiting_task_is_cancelled_at_once_and_never_runs(run_pending, alice, tmp_path):
    heard = []

    def listen(task, **_more):
        heard.append(task.state)

    registry.task_finished.connect(listen)
    try:
        task = queue.enqueue("test_quick", params={"trace": str(tmp_path / "trace")})
        queue.cancel(task, by=alice)
    finally:
        registry.task_finished.disconnect(listen)
    assert run_pending() == []
    task.refresh_from_db()
    assert (task.state, task.result) == (State.CANCELLED, {"cancelled_by": "alice"})
    assert heard == [State.CANCELLED]
    assert not (tmp_path / "trace").exists()
    with pytest.raises(TaskNotCancellable):
        queue.cancel(task)


@pytest.mark.django_db
def test_a_running_task_is_asked_once():
    task = queue.enqueue("test_quick")
    Task.objects.update(state=State.RUNNING)
    queue.cancel(task)
    assert task.cancel_requested_at
    with pytest.raises(TaskNotCancellable):
        queue.cancel(task)


@pytest.mark.django_db
def test_retry_queues_the_same_work_again(run_pending, bob):
    task = queue.enqueue("test_quick", params={"state": "failed"}, subject="web1", exclusive="repository:1")
    with pytest.raises(TaskNotRetryable):
        queue.retry(task)
    run_pending()
    task.refresh_from_db()
    again = queue.retry(task, by=bob)
    assert (again.params, again.subject, again.exclusive) == (task.params, "web1", "repository:1")
    assert (again.trigger, again.retry_of, again.requested_by) == (Trigger.RETRY, task, bob)
    with pytest.raises(AlreadyActive):
        queue.retry(task, by=bob)


@pytest.mark.django_db
def test_what_cannot_be_repeated_is_not_retried(run_pending):
    task = queue.enqueue("test_crash")
    run_pending()
    task.refresh_from_db()
    with pytest.raises(TaskNotRetryable):
        queue.retry(task)


@pytest.mark.django_db
def test_a_kind_of_an_older_version_is_not_retried():
    task = Task.objects.create(kind="gone_since", queue="quick", state=State.FAILED)
    with pytest.raises(TaskNotRetryable):
        queue.retry(task)
