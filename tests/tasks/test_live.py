"""Screens: the current state on connection, few messages, newest wins, the end always arrives."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from datetime import UTC, datetime

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from phpborg import asgi
from phpborg.accounts.models import User
from phpborg.tasks import consumers, hub, live, queue, runner
from phpborg.tasks.consumers import LiveConsumer
from phpborg.tasks.models import Task
from phpborg.tasks.states import State

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def viewer(db):
    """Somebody who looks on, in English."""
    return User.objects.create_user("viewer", role=User.Role.VIEWER, language="en", time_zone="America/New_York")


async def look(user, query: str) -> WebsocketCommunicator:
    """A connected page that watches `query`."""
    socket = WebsocketCommunicator(LiveConsumer.as_asgi(), f"/ws/live/?{query}")
    socket.scope["user"] = user
    connected, _protocol = await socket.connect()
    assert connected
    return socket


async def messages(socket: WebsocketCommunicator, seconds: float) -> list[str]:
    """What arrives in this time."""
    until, found = time.monotonic() + seconds, []
    while time.monotonic() < until:
        if socket.output_queue.empty():  # its own time limit would end the connection
            await asyncio.sleep(0.02)
        else:
            found.append(await socket.receive_from(timeout=1))
    return found


async def until_seen(socket: WebsocketCommunicator, words: str, seconds: float = 15) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        text: str = await socket.receive_from(timeout=end - time.monotonic())
        if words in text:
            return text
    raise AssertionError(f"{words} never came")


@pytest.mark.asyncio
@pytest.mark.parametrize("who", ["nobody", "charlie"])
async def test_only_who_may_look_is_let_in(who, charlie):
    socket = WebsocketCommunicator(LiveConsumer.as_asgi(), "/ws/live/")
    socket.scope["user"] = charlie if who == "charlie" else AnonymousUser()
    connected, code = await socket.connect()
    assert (connected, code) == (False, 4403)


@pytest.mark.asyncio
async def test_the_current_state_comes_on_connection(viewer):
    task = await sync_to_async(queue.enqueue)("test_quick", subject="<b>web1</b>")
    socket = await look(viewer, f"watch=task:{task.pk}")
    text = await socket.receive_from(timeout=5)
    assert f'id="task-{task.pk}"' in text
    assert 'id="taskbar-live"' in text
    assert "Waiting" in text
    assert "&lt;b&gt;web1" in text
    assert "<b>web1" not in text
    await socket.disconnect()


@pytest.mark.asyncio
async def test_nonsense_in_the_address_is_ignored(viewer):
    socket = await look(viewer, "watch=task:1%27&watch=everything&watch=server:../../x&watch=")
    assert 'id="taskbar-live"' in await socket.receive_from(timeout=5)
    await socket.disconnect()


@pytest.mark.asyncio
async def test_fragments_are_in_the_readers_language_and_zone(viewer):
    then = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    task = await Task.objects.acreate(kind="test_quick", queue="quick", created_at=then)
    french = await User.objects.acreate(username="french", role=User.Role.VIEWER, language="fr")
    pages = [await look(viewer, "watch=tasks"), await look(french, "watch=tasks")]
    for page in pages:
        await page.receive_from(timeout=5)
    await sync_to_async(live.publish)(task)
    english, frenchs = [await until_seen(page, "task-row-") for page in pages]
    assert "Waiting" in english
    assert "1 Jul 2026, 08:00" in english
    assert "1 juil. 2026, 14:00" in frenchs
    for page in pages:
        await page.disconnect()


@pytest.mark.asyncio
async def test_a_viewer_sees_no_button_and_an_operator_does(viewer, bob):
    task = await sync_to_async(queue.enqueue)("test_quick")
    for user, expected in ((viewer, False), (bob, True)):
        socket = await look(user, f"watch=task:{task.pk}")
        text = await socket.receive_from(timeout=5)
        assert ("task-cancel-" in text) is expected
        await socket.disconnect()


@pytest.mark.asyncio
async def test_the_figures_of_what_stays_move_and_nothing_else_does(viewer):
    given = {"queue": "sessions", "state": "running", "phase": "serving"}
    task = await Task.objects.acreate(kind="instant_recovery", progress={"connections": 3}, **given)
    other = await Task.objects.acreate(kind="test_quick", **given)
    socket = await look(viewer, "watch=stays")
    first = await socket.receive_from(timeout=5)
    assert f'<span id="figure-connections-{task.pk}" hx-swap-oob="true">3</span>' in first
    await sync_to_async(live.publish)(other, {"connections": 9})
    await sync_to_async(live.publish)(task, {"connections": 4, "read_bytes": 2048})
    text = await until_seen(socket, f'<span id="figure-connections-{task.pk}" hx-swap-oob="true">4</span>')
    assert f'id="figure-read-{task.pk}"' in text
    assert f"-{other.pk}" not in text.split('id="taskbar-live"')[0]
    await socket.disconnect()


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        ({}, False),
        ({"free_bytes": 10, "disk_bytes": 100, "upper_bytes": 10}, False),
        ({"free_bytes": 9, "disk_bytes": 100, "upper_bytes": 0}, True),
        ({"free_bytes": 50, "disk_bytes": 100, "upper_bytes": 51}, True),
        ({"free_bytes": 50}, False),
        ({"free_bytes": 0, "upper_bytes": 1}, True),
    ],
)
def test_space_that_runs_short_is_told_while_a_session_lives(progress, expected):
    task = live.snapshot(Task(kind="instant_recovery", state=State.RUNNING, phase="serving", progress=progress))
    reader = consumers.Reader("en", "UTC", True)
    assert ("Little space is left" in consumers.render("tasks/_live.html", {"task": task}, reader)) == expected


def _sign_out(client, user):
    client.logout()


def _deactivate(client, user):
    User.objects.filter(pk=user.pk).update(is_active=False)


def _new_password(client, user):
    user.set_password("another long password")
    user.save()


@pytest.mark.asyncio
@pytest.mark.parametrize("take", [None, _sign_out, _deactivate, _new_password])
async def test_who_lost_the_right_to_look_hears_no_more(viewer, client, monkeypatch, take):
    monkeypatch.setattr(consumers, "RIGHTS_SECONDS", 0.0)
    task = await Task.objects.acreate(kind="test_quick", queue="quick")
    await sync_to_async(client.force_login)(viewer)
    key = await sync_to_async(lambda: client.session.session_key)()
    cookie = f"{settings.SESSION_COOKIE_NAME}={key}".encode()
    origin = b"http://testserver"
    headers = [(b"cookie", cookie), (b"origin", origin), (b"host", b"testserver")]
    monkeypatch.setattr(settings, "ALLOWED_HOSTS", ["testserver"])
    socket = WebsocketCommunicator(asgi.application, f"/ws/live/?watch=task:{task.pk}", headers=headers)
    assert (await socket.connect())[0]
    await socket.receive_from(timeout=5)
    if take:
        await sync_to_async(take)(client, viewer)
    await sync_to_async(live.publish)(task)
    said = await socket.receive_output(timeout=5)
    assert said["type"] == ("websocket.close" if take else "websocket.send")
    assert not take or said["code"] == consumers.COME_BACK
    await socket.disconnect()


@pytest.mark.asyncio
async def test_a_page_that_cannot_be_served_is_told(viewer, monkeypatch):
    task = await Task.objects.acreate(kind="test_quick", queue="quick")
    socket = await look(viewer, f"watch=task:{task.pk}")
    await socket.receive_from(timeout=5)
    monkeypatch.setattr(consumers, "render", lambda *args: 1 / 0)
    await sync_to_async(live.publish)(task)
    said = await socket.receive_output(timeout=5)
    assert (said["type"], said["code"]) == ("websocket.close", consumers.BROKEN)


@pytest.mark.asyncio
async def test_rows_come_before_blocks_because_browsers_drop_late_rows(viewer):
    task = await sync_to_async(queue.enqueue)("test_quick")
    socket = await look(viewer, f"watch=tasks&watch=task:{task.pk}")
    await socket.receive_from(timeout=5)
    await sync_to_async(live.publish)(task)
    text = await until_seen(socket, "<tr")
    assert text.index("<tr") < text.index("<section") < text.index("taskbar-live")
    await socket.disconnect()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("state", "phase", "shows", "told"),
    [("running", "serving", "", True), ("running", "serving", ":serving:", False), ("success", "", ":serving:", True)],
)
async def test_what_changed_before_the_websocket_came_is_told(viewer, state, phase, shows, told):
    task = await Task.objects.acreate(kind="test_quick", queue="quick", state=state, phase=phase)
    socket = await look(viewer, f"watch=task:{task.pk}&shows={task.pk}{shows}")
    await socket.receive_from(timeout=5)
    if told:
        assert "data-task-ended" in await until_seen(socket, "data-task-ended")
    else:
        while not await socket.receive_nothing(timeout=1):
            assert "data-task-ended" not in await socket.receive_from(timeout=5)
    await socket.disconnect()


@pytest.mark.asyncio
async def test_a_page_of_one_server_hears_of_its_tasks_only(viewer):
    import uuid

    mine, other = uuid.uuid4(), uuid.uuid4()
    socket = await look(viewer, f"watch=server:{mine}")
    await socket.receive_from(timeout=5)
    for server in (other, mine):
        task = await Task.objects.acreate(kind="test_quick", queue="quick", server_ref=server, subject=str(server))
        await sync_to_async(live.publish)(task)
    text = "".join(await messages(socket, 1.2))
    assert len(re.findall("<tr id", text)) == 1
    assert text.count("data-task-ended") == 1  # the page fetches itself once: a task is new
    await socket.disconnect()


@pytest.mark.asyncio
async def test_many_ends_at_once_refresh_the_page_once(viewer):
    socket = await look(viewer, "watch=tasks")
    await socket.receive_from(timeout=5)
    for number in range(30):
        task = await Task.objects.acreate(kind="test_quick", queue="quick", state=State.SUCCESS, subject=str(number))
        await sync_to_async(live.publish)(task)
    found = await messages(socket, 3)
    assert 1 <= "".join(found).count("data-task-ended") <= 2
    await socket.disconnect()


@pytest.fixture
def redis_layer(settings, redis_server):
    """The channel layer of the product, on the test's own Redis."""
    settings.CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {
                "hosts": [{"address": redis_server.url, "socket_timeout": None}],
                "capacity": 500,
                "expiry": 30,
            },
        }
    }
    from channels.layers import channel_layers

    channel_layers.backends = {}
    yield
    channel_layers.backends = {}


@pytest.mark.real
@pytest.mark.asyncio
async def test_a_storm_of_progress_becomes_few_messages_and_the_end_arrives(viewer, redis_layer, monkeypatch):
    """5000 events in 10 seconds; one viewer reads, one has stalled."""
    assert "RedisChannelLayer" in type(get_channel_layer()).__name__
    task = await sync_to_async(queue.enqueue)("test_storm", params={"events": 5000, "seconds": 10})
    socket = await look(viewer, f"watch=task:{task.pk}")
    stalled = await look(viewer, f"watch=task:{task.pk}")
    await socket.receive_from(timeout=5)
    began = time.monotonic()
    thread = threading.Thread(target=run_apart, args=(str(task.pk),))
    thread.start()
    found, seen_end = [], None
    while time.monotonic() - began < 20:
        found += await messages(socket, 0.5)
        if seen_end is None and found and "Success" in found[-1]:
            seen_end = time.monotonic() - began
        if seen_end and time.monotonic() - began > seen_end + 1:
            break
    thread.join(5)
    assert seen_end is not None
    assert seen_end < 12, "the worker was slowed"
    assert len(found) <= 4 * 11, f"{len(found)} messages in ten seconds"
    assert len(found) >= 10, "the page hardly moved"
    assert "Success" in found[-1] or "Success" in "".join(found[-3:])
    await socket.disconnect()
    await stalled.disconnect()


def run_apart(task_id: str) -> None:
    """As a worker does: in another thread, with a connection of its own."""
    from django.db import connection

    runner.run(task_id)
    connection.close()


@pytest.mark.real
@pytest.mark.asyncio
async def test_the_end_arrives_although_its_message_was_lost(viewer, redis_layer, redis_server, monkeypatch):
    monkeypatch.setattr(hub, "RENEW_SECONDS", 0.5)
    monkeypatch.setattr(hub, "SILENT_SECONDS", 0.3)
    task = await sync_to_async(queue.enqueue)("test_quick")
    socket = await look(viewer, f"watch=task:{task.pk}")
    await socket.receive_from(timeout=5)
    await sync_to_async(live.publish)(task)
    await until_seen(socket, "Waiting")
    redis_server.flush()
    await Task.objects.filter(pk=task.pk).aupdate(state=State.LOST, finished_at=timezone.now(), error_code="TSK-01")
    text = await until_seen(socket, "Lost")
    assert "The worker that ran this task disappeared." in text
    await socket.disconnect()


@pytest.mark.real
@pytest.mark.asyncio
async def test_screens_live_on_after_a_restart_of_redis(viewer, redis_layer, redis_server, monkeypatch):
    monkeypatch.setattr(hub, "RENEW_SECONDS", 0.5)
    task = await sync_to_async(queue.enqueue)("test_quick")
    socket = await look(viewer, f"watch=task:{task.pk}")
    await socket.receive_from(timeout=5)
    await sync_to_async(redis_server.restart)()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        await sync_to_async(live.publish)(await Task.objects.aget(pk=task.pk))
        if await messages(socket, 0.5):
            break
    else:
        raise AssertionError("nothing arrives any more")
    await socket.disconnect()


@pytest.mark.real
@pytest.mark.asyncio
async def test_a_page_opens_while_redis_is_away(viewer, redis_layer, redis_server):
    redis_server.stop()
    task = await sync_to_async(queue.enqueue)("test_quick")
    socket = await look(viewer, f"watch=task:{task.pk}")
    assert "Waiting" in await socket.receive_from(timeout=8)
    await socket.disconnect()


def test_a_fragment_makes_no_query(django_assert_num_queries, viewer):
    from phpborg.tasks.consumers import Reader, render

    task = queue.enqueue("test_quick", subject="web1")
    task.steps = [{"code": "a", "title": "Running", "state": "running", "facts": {}, "error": {}, "detail": ""}]
    shot = live.snapshot(task, {"files": 3, "original_bytes": 10**9, "share": None, "rate_now": 12_500_000})
    shot["state"] = "running"
    with django_assert_num_queries(0):
        for template in ("tasks/_live.html", "tasks/_row.html"):
            text = render(template, {"task": shot}, Reader("en", "UTC", True))
    assert "100" in text
    with django_assert_num_queries(0):
        render("tasks/_taskbar.html", {"tasks": [shot], "total": 1}, Reader("fr", "UTC", False))


@pytest.mark.parametrize("kbits", [(125, "1 kbit/s"), (12_500_000, "100 Mbit/s"), (250_000_000, "2 Gbit/s")])
def test_rates_are_in_bits(kbits, viewer):
    from phpborg.tasks.consumers import Reader, render

    rate, words = kbits
    task = queue.enqueue("test_quick")
    shot = {**live.snapshot(task, {"original_bytes": 1, "rate_now": rate, "rate_average": rate}), "state": "running"}
    text = render("tasks/_live.html", {"task": shot}, Reader("en", "UTC", True)).replace("\xa0", " ")
    assert words in text


def test_an_unknown_total_is_said_to_be_unknown(viewer):
    from phpborg.tasks.consumers import Reader, render

    task = queue.enqueue("test_quick")
    shot = {**live.snapshot(task, {"original_bytes": 1, "share": None}), "state": "running"}
    text = render("tasks/_live.html", {"task": shot}, Reader("en", "UTC", True))
    assert "How much there is in all is not known yet." in text
    assert "%" not in re.sub(r"<[^>]*>", "", text)


def test_a_snapshot_stays_small(viewer):
    task = queue.enqueue("test_quick")
    task.steps = [{"code": str(number), "title": "x" * 50, "state": "done"} for number in range(1000)]
    task.error_detail = "y" * 100_000
    import json

    assert len(json.dumps(live.snapshot(task))) < 20_000
