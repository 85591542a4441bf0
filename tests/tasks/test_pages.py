"""Task pages for the four people: what is shown, filtered, paged, cancelled, retried."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from phpborg.tasks import context as contexts
from phpborg.tasks import leases, logs, queue
from phpborg.tasks.models import Lease, Task
from phpborg.tasks.registry import Finding
from phpborg.tasks.states import State
from servers.models import Server


def ended(state: str = "success", ago: float = 5, **more) -> Task:
    then = timezone.now() - timedelta(minutes=ago)
    given = {"kind": "backup", "queue": "backup", "created_at": then, "started_at": then, "finished_at": then, **more}
    return Task.objects.create(state=state, **given)


def text_of(response) -> str:
    assert response.status_code == 200
    return re.sub(r"\s+", " ", response.content.decode())


@pytest.mark.django_db
@pytest.mark.parametrize("route", ["tasks", "workers", "task", "task-log"])
def test_who_may_look(client, client_of, alice, bob, diane, charlie, route):
    task = ended(log_tail="a line")
    address = reverse(route, args=[task.pk] if route.startswith("task-") or route == "task" else [])
    for person in (alice, bob, diane):
        assert client_of(person).get(address).status_code == 200
    assert client_of(charlie).get(address).status_code == 302
    assert client.get(address).status_code == 302
    assert client_of(alice).post(address).status_code == 405


@pytest.mark.django_db
@pytest.mark.parametrize(("route", "state"), [("task-cancel", "waiting"), ("task-retry", "failed")])
def test_who_may_act(client, client_of, bob, diane, charlie, route, state):
    task = ended(state, kind="test_quick", queue="quick")
    address = reverse(route, args=[task.pk])
    assert client_of(diane).post(address, {"confirmed": "1"}).status_code == 403
    for other in (client_of(charlie), client):
        assert other.post(address, {"confirmed": "1"}).status_code == 302
    task.refresh_from_db()
    assert (task.state, Task.objects.count()) == (state, 1)
    assert client_of(bob).post(address, {"confirmed": "1"}).status_code == 303


@pytest.mark.django_db
def test_cancelling_asks_first_with_and_without_javascript(client_of, bob):
    task = queue.enqueue("test_quick")
    browser, address = client_of(bob), reverse("task-cancel", args=[task.pk])
    for response in (browser.get(address), browser.post(address)):
        assert "Cancel this task?" in text_of(response)
    task.refresh_from_db()
    assert task.state == State.WAITING
    response = browser.post(address, {"confirmed": "1"}, headers={"HX-Request": "true"})
    assert (response.status_code, "toast" in response.headers["HX-Trigger"]) == (204, True)
    task.refresh_from_db()
    assert (task.state, task.result) == (State.CANCELLED, {"cancelled_by": "bob"})
    response = browser.post(address, {"confirmed": "1"}, follow=True)
    assert "This task cannot be cancelled" in text_of(response)


@pytest.mark.django_db
def test_what_stays_is_asked_about_as_what_it_is(client_of, bob):
    task = Task.objects.create(kind="instant_recovery", queue="sessions", state="running", subject="a database")
    browser, address = client_of(bob), reverse("task-cancel", args=[task.pk])
    for response in (browser.get(address), browser.post(address), browser.get(reverse("tasks"))):
        assert "Stop this session?" in text_of(response)
        assert "Cancel this task?" not in text_of(response)
    task.refresh_from_db()
    assert task.cancel_requested_at is None
    told = text_of(browser.post(address, {"confirmed": "1"}, follow=True))
    assert "is being stopped" in told
    task.refresh_from_db()
    assert task.cancel_requested_at is not None


@pytest.mark.django_db
def test_retry_leads_to_the_new_task(client_of, bob):
    task = ended("failed", kind="test_quick", queue="quick", subject="web1")
    browser = client_of(bob)
    page = text_of(browser.get(task.get_absolute_url()))
    assert "Retry" in page
    response = browser.post(reverse("task-retry", args=[task.pk]))
    again = Task.objects.get(retry_of=task)
    assert (response.status_code, response.headers["Location"]) == (303, again.get_absolute_url())
    assert again.short_id in text_of(browser.get(task.get_absolute_url()))
    assert "already waiting or running" in text_of(browser.post(reverse("task-retry", args=[task.pk]), follow=True))


@pytest.mark.django_db
def test_a_running_task_is_in_view_behind_150_short_ones(client_of, diane):
    """Case 141: counts come from the database, what runs is on every page."""
    old = Task.objects.create(
        kind="backup", queue="backup", state="running", subject="ten minutes", started_at=timezone.now(),
        created_at=timezone.now() - timedelta(minutes=10),
    )  # fmt: skip
    Task.objects.bulk_create(
        Task(kind="backup", queue="backup", state="success", subject=f"short {number}", finished_at=timezone.now())
        for number in range(150)
    )
    browser = client_of(diane)
    for page in ("1", "3", "99", "x", "-1"):
        text = text_of(browser.get(reverse("tasks"), {"page": page}))
        assert f'id="task-row-{old.pk}"' in text
        assert re.search(r'Success <span class="count">150</span>', text)
        assert text.count('<tr id="task-row-') == 51


@pytest.mark.django_db
def test_filters(client_of, diane):
    server = Server.objects.create(name="web1", address="192.0.2.1")
    job, other = uuid.uuid4(), uuid.uuid4()
    ended("success", subject="apple", server_ref=server.pk, job_ref=job)
    ended("failed", subject="pear", job_ref=other, error_code="SSH-01", ago=60 * 24 * 10)
    ended("lost", subject="plum", kind="restore", queue="restore")
    ended("success", subject="concealed", kind="cleanup", queue="system", is_system=True)
    browser = client_of(diane)

    def shown(**query) -> set[str]:
        text = text_of(browser.get(reverse("tasks"), query))
        return set(re.findall(r"apple|pear|plum|concealed", text.split('id="content"')[1]))

    assert shown() == {"apple", "pear", "plum"}
    assert shown(system="1") == {"apple", "pear", "plum", "concealed"}
    assert shown(kind="cleanup") == {"concealed"}
    assert shown(kind="restore") == {"plum"}
    assert shown(state="failed") == {"pear"}
    assert shown(state="bad") == {"pear", "plum"}
    assert shown(state="active") == set()
    assert shown(server=str(server.pk)) == {"apple"}
    assert shown(job=str(other)) == {"pear"}
    assert shown(q="PLU") == {"plum"}
    assert shown(q="ssh-01") == {"pear"}
    assert shown(since=(timezone.now() - timedelta(days=2)).date().isoformat()) == {"apple", "plum"}
    assert shown(until=(timezone.now() - timedelta(days=2)).date().isoformat()) == {"pear"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "query",
    [
        "kind=no&state=no",
        "server='--&job=1",
        "since=2026-99-99&until=x",
        "q=%00%FF",
        "page=1e9",
        "log=-1",
        "q=" + "x" * 5000,
    ],
)
def test_nonsense_in_the_address_is_no_error(client_of, diane, query):
    task = ended()
    assert client_of(diane).get(f"{reverse('tasks')}?{query}").status_code == 200
    assert client_of(diane).get(f"{task.get_absolute_url()}?{query}").status_code == 200


@pytest.mark.django_db
def test_the_list_costs_the_same_for_many(client_of, diane, django_assert_max_num_queries):
    browser = client_of(diane)
    ended()
    browser.get(reverse("tasks"))
    with django_assert_max_num_queries(29) as few:
        browser.get(reverse("tasks"))
    for _ in range(3):
        Task.objects.bulk_create(
            Task(kind="backup", queue="backup", state=state, finished_at=timezone.now())
            for state in ("success", "failed", "running", "waiting")
            for _ in range(60)
        )
    with django_assert_max_num_queries(29) as many:
        browser.get(reverse("tasks"))
    assert len(many) <= len(few) + 1  # the task bar counts what it does not show


@pytest.mark.django_db
def test_a_page_tells_what_went_wrong_and_what_to_do(client_of, diane, bob):
    task = ended(
        "failed",
        error_code="TSK-02",
        error_facts={"seconds": 5},
        error_detail="<script>alert(1)</script>",
        findings=[Finding("unreadable", "Permission denied", "/root/\udcffx\0").as_json()],
        findings_count=900,
        requested_by=bob,
        steps=[
            {
                "code": "a",
                "title": "Starting",
                "state": "failed",
                "detail": "x",
                "error": {"code": "TSK-01", "facts": {}},
            }
        ],
        log_tail="line one\nline two",
    )
    text = text_of(client_of(diane).get(task.get_absolute_url()))
    for words in (
        "The time limit of 5 seconds was reached.",
        "Raise the time limit of the job",
        "&lt;script&gt;alert(1)",
        "Could not be read",
        "Permission denied",
        "/root/\\xffx\\x00",
        "The first 1 of 900 are kept",
        "(bob)",
        "The worker that ran this task disappeared.",
        "line two",
    ):
        assert words in text, words
    assert "<script>alert" not in text


@pytest.mark.django_db
def test_a_task_speaks_french_to_a_frenchman(client_of, diane):
    diane.language = "fr"
    diane.save()
    response = client_of(diane).get(ended().get_absolute_url())
    assert response.headers["Content-Language"] == "fr"


@pytest.mark.django_db
def test_a_long_log_is_read_in_pages_of_whole_lines(client_of, diane):
    task = ended()
    path = contexts.log_path(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{number:07} é {'x' * (number % 300)}" for number in range(5000)]
    path.write_text("\n".join(lines) + "\n")
    last = logs.page(task)
    assert (last.number, last.newer) == (last.pages, None)
    parts = [logs.page(task, number) for number in range(1, last.pages + 1)]
    assert "".join(part.text for part in parts).splitlines() == lines
    assert all(len(part.text.encode()) < logs.PAGE_BYTES + 1000 for part in parts)
    browser = client_of(diane)
    assert "0004999" in text_of(browser.get(task.get_absolute_url()))
    assert "0000000 é" in text_of(browser.get(task.get_absolute_url(), {"log": "1"}))
    download = browser.get(reverse("task-log", args=[task.pk]))
    assert b"".join(download.streaming_content) == path.read_bytes()
    assert "attachment" in download.headers["Content-Disposition"]


@pytest.mark.django_db
def test_a_log_of_one_endless_line_stays_bounded(tmp_path):
    task = ended()
    path = contexts.log_path(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 950_000)
    for number in range(1, 11):
        assert len(logs.page(task, number).text) <= 2 * logs.PAGE_BYTES


@pytest.mark.django_db
def test_the_workers_page_says_what_is_missing(client_of, diane, redis_server):
    task = ended("lost")
    lease = leases.hold(task, "directory", {"path": "/nowhere"})
    Lease.objects.filter(pk=lease.pk).update(attempts=3, error="it is still mounted", tried_at=timezone.now())
    text = text_of(client_of(diane).get(reverse("workers")))
    for words in ("No worker is running", "The clock has stopped", "it is still mounted", "manage.py rqworker"):
        assert words in text
    assert "Redis does not answer" not in text


@pytest.mark.django_db
def test_the_workers_page_opens_without_redis(client_of, diane):
    text = text_of(client_of(diane).get(reverse("workers")))
    assert "Redis does not answer" in text
    assert "Nothing is lost." in text


@pytest.mark.django_db
def test_the_admin_is_read_only_and_acts_through_the_queue(client_of, alice, bob):
    waiting = queue.enqueue("test_quick")
    bad = ended("failed", kind="test_quick", queue="quick", params={"n": 1})
    address = reverse("admin:tasks_task_changelist")
    browser = client_of(alice)
    assert browser.get(address).status_code == 200
    assert browser.get(reverse("admin:tasks_task_change", args=[bad.pk])).status_code == 200
    assert browser.get(reverse("admin:tasks_lease_changelist")).status_code == 200
    assert browser.get(reverse("admin:tasks_task_add")).status_code == 403
    assert client_of(bob).get(address).status_code == 302
    browser.post(address, {"action": "cancel", "_selected_action": [str(waiting.pk), str(bad.pk)]})
    waiting.refresh_from_db()
    assert waiting.state == State.CANCELLED
    browser.post(address, {"action": "retry", "_selected_action": [str(bad.pk)]})
    assert Task.objects.filter(retry_of=bad).exists()
