"""One task, one end: what the runner records for each way a task can go."""

from __future__ import annotations

import os
import signal
import threading
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection
from django.utils import timezone

from phpborg.tasks import context as contexts
from phpborg.tasks import live, queue, registry, runner
from phpborg.tasks.context import TaskContext
from phpborg.tasks.models import Task
from phpborg.tasks.states import State
from tests.support.workers import wait_until


@pytest.mark.django_db
def test_success_is_recorded_with_its_result(run_pending):
    queue.enqueue("test_quick")
    (task,) = run_pending()
    assert (task.state, task.result, task.phase) == (State.SUCCESS, {"done": True}, "")
    assert task.started_at <= task.finished_at


@pytest.mark.django_db
def test_an_expected_failure_keeps_code_facts_and_words(run_pending):
    queue.enqueue("test_fail")
    (task,) = run_pending()
    assert (task.state, task.error_code) == (State.FAILED, "GEN-03")
    assert task.error_facts == {"field": "port", "problem": "taken"}
    assert task.error_detail == "the tool's own words"
    (step,) = task.steps
    assert (step["code"], step["title"], step["state"]) == ("first", "Running", "failed")
    assert "about to fail" in task.log_tail


@pytest.mark.django_db
def test_a_crash_is_recorded_with_its_traceback_and_no_secret(run_pending):
    queue.enqueue("test_crash")
    (task,) = run_pending()
    assert (task.state, task.error_code) == (State.FAILED, "TSK-04")
    assert "RuntimeError" in task.error_detail
    full = contexts.log_path(task).read_text()
    assert "Traceback" in full
    assert "run_crash" in full
    for text in (task.error_detail, task.log_tail, full):
        assert "hunter2" not in text
        assert "***" in text


@pytest.mark.django_db
def test_an_unknown_kind_fails_in_words_and_does_not_stay(run_pending):
    Task.objects.create(kind="gone_since", queue="quick")
    (task,) = run_pending()
    assert (task.state, task.error_code) == (State.FAILED, "TSK-04")


@pytest.mark.django_db
def test_findings_are_bounded_and_counted(run_pending):
    queue.enqueue("test_findings")
    (task,) = run_pending()
    assert (task.state, len(task.findings), task.findings_count) == (State.INCOMPLETE, 200, 5000)
    assert all(len(finding["message"]) <= 500 for finding in task.findings)


@pytest.mark.django_db
def test_a_log_of_any_length_stays_small(run_pending, settings):
    settings.TASK_LOG_BYTES = 50_000
    queue.enqueue("test_log", params={"lines": 20_000})
    (task,) = run_pending()
    assert contexts.log_path(task).stat().st_size < 51_000
    assert len(task.log_tail.encode()) <= contexts.TAIL_BYTES
    assert "line 19999" in task.log_tail
    assert contexts.log_path(task).read_text().rstrip().endswith("the last lines are in the task")
    assert contexts.log_path(task).stat().st_mode & 0o077 == 0


@pytest.mark.django_db
def test_the_deadline_ends_it(run_pending):
    queue.enqueue("test_sleep", deadline_seconds=1)
    (task,) = run_pending()
    assert (task.state, task.error_code, task.error_facts) == (State.FAILED, "TSK-02", {"seconds": 1})


@pytest.mark.django_db
def test_sigterm_ends_it_as_interrupted_and_gives_the_signal_back(run_pending):
    before = signal.getsignal(signal.SIGTERM)
    queue.enqueue("test_sleep")
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    (task,) = run_pending()
    assert (task.state, task.error_code) == (State.FAILED, "TSK-03")
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.django_db(transaction=True)
def test_a_running_task_sees_its_cancellation(monkeypatch):
    monkeypatch.setattr(runner, "CANCEL_POLL_SECONDS", 0.1)
    task = queue.enqueue("test_sleep")
    thread = threading.Thread(target=runner.run, args=(str(task.pk),))
    thread.start()
    wait_until(lambda: Task.objects.get().state == State.RUNNING)
    queue.cancel(Task.objects.get())
    thread.join(5)
    task.refresh_from_db()
    assert (task.state, task.error_code) == (State.CANCELLED, "")


@pytest.mark.django_db(transaction=True)
def test_a_task_that_was_given_up_stops_and_changes_nothing(monkeypatch):
    monkeypatch.setattr(runner, "CANCEL_POLL_SECONDS", 0.1)
    task = queue.enqueue("test_sleep")
    thread = threading.Thread(target=runner.run, args=(str(task.pk),))
    thread.start()
    wait_until(lambda: Task.objects.get().state == State.RUNNING)
    Task.objects.update(state=State.LOST, finished_at=timezone.now(), error_code="TSK-01")
    thread.join(5)
    assert not thread.is_alive()
    task.refresh_from_db()
    assert (task.state, task.error_code) == (State.LOST, "TSK-01")


@pytest.mark.django_db(transaction=True)
def test_only_one_of_many_claims_succeeds():
    task = queue.enqueue("test_quick")
    won = []

    def claim():
        won.append(runner.claim(str(task.pk)))
        connection.close()

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([one for one in won if one]) == 1


@pytest.mark.django_db
def test_a_busy_resource_blocks_visibly_and_the_end_wakes_the_oldest(run_pending, redis_server):
    import django_rq

    first = queue.enqueue("test_quick", exclusive="repository:1")
    second = queue.enqueue("test_quick", exclusive="repository:1", params={"n": 2})
    other = queue.enqueue("test_quick", exclusive="repository:2")
    Task.objects.filter(pk=first.pk).update(state=State.RUNNING, worker="elsewhere:1:1")
    runner.run(str(second.pk))
    second.refresh_from_db()
    assert second.state == State.BLOCKED
    runner.run(str(other.pk))
    other.refresh_from_db()
    assert other.state == State.SUCCESS
    Task.objects.filter(pk=first.pk).update(state=State.SUCCESS)
    queue.wake_blocked("repository:1")
    assert django_rq.get_queue("quick").get_job_ids() == [str(second.pk)]
    runner.run(str(second.pk))
    second.refresh_from_db()
    assert second.state == State.SUCCESS


@pytest.mark.django_db
def test_a_resource_that_became_free_in_between_is_not_waited_for(redis_server, monkeypatch):
    import django_rq

    first = queue.enqueue("test_quick", exclusive="repository:1")
    second = queue.enqueue("test_quick", exclusive="repository:1", params={"n": 2})
    Task.objects.filter(pk=first.pk).update(state=State.RUNNING)
    publish = live.publish

    def free_then_publish(task, now=None):
        Task.objects.filter(pk=first.pk).update(state=State.SUCCESS)
        publish(task, now)

    monkeypatch.setattr(live, "publish", free_then_publish)
    runner.run(str(second.pk))
    assert django_rq.get_queue("quick").get_job_ids() == [str(second.pk)]


@pytest.mark.django_db
def test_a_receiver_that_fails_hurts_nobody(run_pending):
    def bad(task, **_more):
        raise ValueError("a mail server is away")

    registry.task_finished.connect(bad)
    try:
        queue.enqueue("test_quick")
        (task,) = run_pending()
    finally:
        registry.task_finished.disconnect(bad)
    assert task.state == State.SUCCESS


@pytest.mark.django_db
def test_a_database_that_is_away_for_a_moment_costs_no_result(run_pending, monkeypatch):
    monkeypatch.setattr(runner, "RECORD_PAUSES_SECONDS", (0.01, 0.01, 0))
    failures = iter([True, True])
    update = Task.objects.filter().__class__.update

    def flaky(self, **fields):
        if "finished_at" in fields and next(failures, False):
            raise DatabaseError("the server closed the connection")
        return update(self, **fields)

    monkeypatch.setattr(Task.objects.filter().__class__, "update", flaky)
    monkeypatch.setattr(connection, "close", lambda: None)
    queue.enqueue("test_quick")
    (task,) = run_pending()
    assert task.state == State.SUCCESS


@pytest.mark.django_db
def test_progress_never_falls_and_survives_the_end(run_pending, monkeypatch):
    queue.enqueue("test_storm", params={"events": 200, "seconds": 0.1})
    (task,) = run_pending()
    assert task.progress["files"] == 199
    assert task.progress["original_bytes"] == 199_000


@pytest.mark.django_db
def test_step_titles_are_stored_in_english_with_their_facts():
    from django.utils import translation
    from django.utils.translation import gettext_lazy as _

    task = queue.enqueue("test_quick")
    context = contexts.TaskContext(task)
    with translation.override("fr"), context.step("one", _("Waiting"), place="disk") as step:
        step["detail"] = "fine"
    assert (step["title"], step["facts"], step["state"]) == ("Waiting", {"place": "disk"}, "done")
    assert step["seconds"] >= 0
    context.close()


def test_the_tail_holds_the_last_lines(tmp_path):
    book = contexts.LogBook(tmp_path / "log", 1000)
    for number in range(1000):
        book.write(f"{number} é")
    book.close()
    assert book.tail().endswith("999 é")
    assert (tmp_path / "log").stat().st_size <= 1200
    book.write("after the end")
    assert book.tail().endswith("after the end")
    assert (tmp_path / "log").stat().st_size <= 1200


@pytest.mark.django_db
def test_odd_names_reach_every_database_and_screen(redis_server):
    """A lone byte of a file name must neither break the row, the message nor the log."""
    import json

    from phpborg.tasks.live import snapshot

    task = queue.enqueue("test_quick", subject="bad \udcff name\0")
    context = contexts.TaskContext(task)
    context.progress(path="/srv/\udcff\ud800/x", files=1)
    context.log("read /srv/\udcff")
    with context.step("one", "Running") as step:
        step["detail"] = "at \udcfe"
    json.dumps(snapshot(task, context.progress_now)).encode().decode("unicode_escape").encode("utf-8")
    assert task.subject == "bad \\xff name\\x00"
    assert "\\xff" in context.close()


def test_a_task_that_is_being_cancelled_still_says_that_it_lives(db: None) -> None:
    """Ending borg on a silent server takes a minute: meanwhile the reaper must not call the task lost."""
    old = timezone.now() - timedelta(minutes=5)
    task = Task.objects.create(
        kind="backup", queue="backup", state=State.RUNNING, worker="w", heartbeat_at=old, cancel_requested_at=old
    )
    context = TaskContext(task)
    runner.Heartbeat(context)._look(write=True)
    task.refresh_from_db()
    assert context.stop.reason == "cancel"
    assert task.heartbeat_at is not None
    assert task.heartbeat_at > old + timedelta(minutes=4)
