"""The websocket of every page.

`/ws/live/?watch=task:<id>&watch=tasks&watch=stays&watch=server:<id>` — the task bar is always watched, and `stays` are
the figures of all that lives until it is stopped. On every (re)connection the current state is sent; then at most four
messages a second, newest state wins, and the final state is never dropped. A page that says what it was made of
(`shows=<id>`, `shows=<id>:serving:`) is told to fetch itself when that had changed before its websocket came. The page
is right after a reload without any of this.
"""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
import zoneinfo
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from channels.auth import get_user
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.sessions.backends.base import SessionBase
from django.template.loader import render_to_string
from django.utils import timezone, translation

from phpborg.accounts.rights import Right
from phpborg.tasks import live, registry
from phpborg.tasks.hub import hub
from phpborg.tasks.models import Task
from phpborg.tasks.states import ACTIVE

log = logging.getLogger(__name__)
FLUSH_SECONDS = 0.25
TASKBAR_FLUSH_SECONDS = 0.5
REFRESH_SECONDS = 2.0
# A connection outlives the request that opened it: rights that were taken away end it after so long.
RIGHTS_SECONDS = 30.0
COME_BACK, BROKEN = 1012, 1011
WATCHES = {"task", "server", "job", "repository"}
OF_ALL = {"tasks", "stays"}


class Reader(NamedTuple):
    """What a fragment depends on beside its data."""

    language: str
    zone: str
    may_operate: bool


@lru_cache(maxsize=512)
def _render(template: str, payload: str, reader: Reader) -> str:
    with translation.override(reader.language), timezone.override(zoneinfo.ZoneInfo(reader.zone)):
        context = {**json.loads(payload), "oob": True, "may_operate": reader.may_operate}
        return render_to_string(template, context)


def render(template: str, context: dict[str, Any], reader: Reader) -> str:
    """A fragment from plain data, rendered once for all who read alike."""
    return _render(template, json.dumps(context, sort_keys=True), reader)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _mark(task: dict[str, Any]) -> str:
    """What a page may show of a task: one that begins to serve is news, as its beginning and its end are."""
    if task["phase"] != "serving":
        return str(task["id"])
    return f"{task['id']}:serving:{task['progress'].get('beside', '')}"


def _words(query: str, wanted: str) -> list[str]:
    """Templates may put blanks around the block that says what a page watches and shows."""
    found = [word.strip() for name, values in parse_qs(query).items() if name.strip() == wanted for word in values]
    return found[:20]


class LiveConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One viewer: what they watch, what has changed since the last flush."""

    # The hub listens for all viewers: none has a channel of its own, which would end with Redis.
    channel_layer_alias = "none"

    async def connect(self) -> None:
        user = self.scope.get("user")
        if user is None or not user.is_authenticated or not user.may(Right.VIEW):
            await self.close(code=4403)
            return
        self._read_as(user)
        query = self.scope.get("query_string", b"").decode("ascii", "ignore")
        self.watched, self.shown = self._parse(query), set(_words(query, "shows"))
        self.changed: dict[str, dict[str, Any]] = {}
        self.bar: dict[str, dict[str, Any]] = {}
        self.bar_dirty = False
        self.known: set[str] = set(self.shown)  # tasks that the page shows already
        self.ended: set[str] = set()
        self.refresh_due = False
        self._wake = asyncio.Event()
        await self.accept()
        await hub().join(self)
        await self._send_current()
        self._flusher = asyncio.create_task(self._flush())

    def _read_as(self, user: Any) -> None:
        zone = user.time_zone or timezone.get_default_timezone_name()
        self.reader = Reader(user.language, zone, user.may(Right.OPERATE))

    async def _reason_to_end(self) -> int | None:
        """The code with which to close: no longer signed in, deactivated, the right taken away."""
        session: SessionBase = self.scope["session"]
        # Behind Channels' middleware it is a lazy object: only `__class__` tells what is in it.
        user = await get_user({"session": session.__class__(session.session_key)})
        if not user.is_authenticated or not user.may(Right.VIEW):
            # The browser comes back; a new session (its own new password) signs in, else it is refused at the door.
            return COME_BACK
        self._read_as(user)
        return None

    async def disconnect(self, code: int) -> None:
        hub().leave(self)
        flusher = getattr(self, "_flusher", None)
        if flusher:
            flusher.cancel()

    @staticmethod
    def _parse(query: str) -> set[tuple[str, str]]:
        watched = set()
        for word in _words(query, "watch"):
            what, _, which = word.partition(":")
            if what in OF_ALL:
                watched.add((what, ""))
            elif what in WATCHES and _is_uuid(which):
                watched.add((what, which))
        return watched

    def task_changed(self, task: dict[str, Any]) -> None:
        """Called by the hub in this event loop; only marks, the flusher sends."""
        if self._watches(task) or self._lists(task) or self._keeps(task):
            before = self.changed.get(task["id"])
            if before is None or before["at"] <= task["at"]:
                self.changed[task["id"]] = task
        if not task["is_system"]:
            if task["state"] in ACTIVE:
                self.bar[task["id"]] = task
            else:
                self.bar.pop(task["id"], None)
            self.bar_dirty = True
        self._wake.set()

    def _watches(self, task: dict[str, Any]) -> bool:
        return ("task", task["id"]) in self.watched

    def _lists(self, task: dict[str, Any]) -> bool:
        return ("tasks", "") in self.watched or self._concerns(task)

    def _keeps(self, task: dict[str, Any]) -> bool:
        return ("stays", "") in self.watched and bool(registry.page_of(task["kind"]))

    def _concerns(self, task: dict[str, Any]) -> bool:
        return any(task[what] and (what, task[what]) in self.watched for what in ("server", "job", "repository"))

    async def _flush(self) -> None:
        """A page that hears no more must notice: then it comes back and reads everything anew."""
        try:
            await self._flush_forever()
        except Exception:
            log.exception("live: a viewer's connection is closed")
            await self.close(code=BROKEN)

    async def _flush_forever(self) -> None:
        clock = asyncio.get_running_loop().time
        bar_sent = refresh_sent = 0.0
        asked = clock()
        while True:
            await self._wake.wait()
            self._wake.clear()
            if clock() - asked >= RIGHTS_SECONDS:
                asked = clock()
                closing = await self._reason_to_end()
                if closing:
                    await self.close(code=closing)
                    return
            parts = self._changed_parts()
            if self.bar_dirty and clock() - bar_sent >= TASKBAR_FLUSH_SECONDS:
                bar_sent, self.bar_dirty = clock(), False
                parts.append(self._bar_fragment())
            if self.refresh_due and clock() - refresh_sent >= REFRESH_SECONDS:
                refresh_sent, self.refresh_due = clock(), False
                # The page fetches its own fresh content once: what has changed is not all in the snapshots.
                parts.append(render("components/_refresh.html", {}, self.reader))
            if parts:
                await self.send(text_data="".join(parts))
            await asyncio.sleep(FLUSH_SECONDS)
            if self.bar_dirty or self.refresh_due:
                self._wake.set()

    def _changed_parts(self) -> list[str]:
        changed, self.changed = self.changed, {}
        rows, blocks = [], []
        for task in changed.values():
            if self._watches(task):
                blocks.append(render("tasks/_live.html", {"task": task}, self.reader))
            if self._lists(task):
                rows.append(render("tasks/_row.html", {"task": task}, self.reader))
            if self._keeps(task) and task["state"] in ACTIVE:
                blocks.append(render("tasks/_figures.html", {"task": task}, self.reader))
            if self._watches(task) or not task["is_system"]:
                self._note_beginning_and_end(task)
        # A browser drops a <tr> that comes after a <div>.
        return [*rows, *blocks]

    def _note_beginning_and_end(self, task: dict[str, Any]) -> None:
        seen = self.known if task["state"] in ACTIVE else self.ended
        if (mark := _mark(task)) not in seen:
            seen.add(mark)
            self.refresh_due = True

    def _bar_fragment(self) -> str:
        rows = sorted(self.bar.values(), key=lambda task: task["created_at"])
        return render("tasks/_taskbar.html", live.bar(rows), self.reader)

    async def _send_current(self) -> None:
        bar, watched = await database_sync_to_async(self._load)()
        for task in [*bar, *watched]:
            if self.shown and self._watches(task):
                self._note_beginning_and_end(task)
            else:
                self.known.add(_mark(task))
        if self.refresh_due:
            self._wake.set()
        self.bar = {**{task["id"]: task for task in bar}, **self.bar}
        parts = [render("tasks/_live.html", {"task": task}, self.reader) for task in watched]
        parts += [render("tasks/_figures.html", {"task": task}, self.reader) for task in bar if self._keeps(task)]
        await self.send(text_data="".join([*parts, self._bar_fragment()]))

    def _load(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        bar = live.current(Task.objects.active().for_people().order_by("created_at")[:200])
        ids = [which for what, which in self.watched if what == "task"]
        return bar, live.current(Task.objects.filter(pk__in=ids)) if ids else []
