"""The websocket of every page.

`/ws/live/?watch=task:<id>&watch=tasks&watch=server:<id>` — the task bar is always watched. On every
(re)connection the current state is sent; then at most four messages a second, newest state wins,
and the final state is never dropped. The page is right after a reload without any of this.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.template.loader import render_to_string
from django.utils import translation

from phpborg.accounts.rights import Right
from phpborg.tasks import live
from phpborg.tasks.hub import hub
from phpborg.tasks.models import Task
from phpborg.tasks.states import ACTIVE

FLUSH_SECONDS = 0.25
TASKBAR_FLUSH_SECONDS = 0.5
WATCHES = {"task", "tasks", "server", "job", "repository"}


@lru_cache(maxsize=512)
def _render(template: str, payload: str, language: str) -> str:
    """A fragment for every viewer who reads this language; rendered once for all of them."""
    with translation.override(language):
        return render_to_string(template, {**json.loads(payload), "oob": True})


def render(template: str, context: dict[str, Any], language: str) -> str:
    """Render a fragment from plain data, through the shared cache."""
    return _render(template, json.dumps(context, sort_keys=True), language)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


class LiveConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One viewer: what they watch, what has changed since the last flush."""

    async def connect(self) -> None:
        user = self.scope.get("user")
        if user is None or not user.is_authenticated or not user.may(Right.VIEW):
            await self.close(code=4403)
            return
        self.user, self.language = user, user.language
        self.watched = self._parse(self.scope.get("query_string", b"").decode("ascii", "ignore"))
        self.changed: dict[str, dict[str, Any]] = {}
        self.bar: dict[str, dict[str, Any]] = {}
        self.bar_dirty = False
        self.ended: set[str] = set()
        self._wake = asyncio.Event()
        await self.accept()
        await hub().join(self)
        await self._send_current()
        self._flusher = asyncio.create_task(self._flush_forever())

    async def disconnect(self, code: int) -> None:
        hub().leave(self)
        flusher = getattr(self, "_flusher", None)
        if flusher:
            flusher.cancel()

    @staticmethod
    def _parse(query: str) -> set[tuple[str, str]]:
        watched = set()
        for word in parse_qs(query).get("watch", [])[:20]:
            what, _, which = word.partition(":")
            if what in WATCHES and (what == "tasks" or _is_uuid(which)):
                watched.add((what, which if what != "tasks" else ""))
        return watched

    def task_changed(self, task: dict[str, Any]) -> None:
        """Called by the hub in this event loop; only marks, the flusher sends."""
        watched = self.watched
        if ("task", task["id"]) in watched or ("tasks", "") in watched or self._concerns(task):
            self.changed[task["id"]] = task
        if not task["is_system"]:
            if task["state"] in ACTIVE:
                self.bar[task["id"]] = task
            else:
                self.bar.pop(task["id"], None)
            self.bar_dirty = True
        self._wake.set()

    def _concerns(self, task: dict[str, Any]) -> bool:
        return any(task[what] and (what, task[what]) in self.watched for what in ("server", "job", "repository"))

    async def _flush_forever(self) -> None:
        loop = asyncio.get_running_loop()
        bar_sent = 0.0
        while True:
            await self._wake.wait()
            self._wake.clear()
            parts = self._changed_parts()
            if self.bar_dirty and loop.time() - bar_sent >= TASKBAR_FLUSH_SECONDS:
                bar_sent, self.bar_dirty = loop.time(), False
                parts.append(self._bar_fragment())
            if parts:
                await self.send(text_data="".join(parts))
            await asyncio.sleep(FLUSH_SECONDS)
            if self.bar_dirty:
                self._wake.set()

    def _changed_parts(self) -> list[str]:
        changed, self.changed = self.changed, {}
        parts = []
        for task in changed.values():
            if ("task", task["id"]) in self.watched:
                parts.append(render("tasks/_live.html", {"task": task}, self.language))
            if ("tasks", "") in self.watched or self._concerns(task):
                parts.append(render("tasks/_row.html", {"task": task}, self.language))
            watched_itself = ("task", task["id"]) in self.watched
            if (
                task["state"] not in ACTIVE
                and task["id"] not in self.ended
                and (watched_itself or not task["is_system"])
            ):
                self.ended.add(task["id"])
                # The page fetches its own fresh content once: what the end has changed is not in the snapshot.
                parts.append(render("components/_refresh.html", {"task": {"id": task["id"]}}, self.language))
        return parts

    def _bar_fragment(self) -> str:
        rows = sorted(self.bar.values(), key=lambda task: task["created_at"])
        context = {"tasks": rows[: live.TASKBAR_ROWS], "total": len(rows)}
        return render("tasks/_taskbar.html", context, self.language)

    async def _send_current(self) -> None:
        bar, watched = await database_sync_to_async(self._load)()
        self.bar = {**{task["id"]: task for task in bar}, **self.bar}
        parts = [render("tasks/_live.html", {"task": task}, self.language) for task in watched]
        await self.send(text_data="".join([*parts, self._bar_fragment()]))

    def _load(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        bar = live.current(Task.objects.active().for_people().order_by("created_at")[:200])
        ids = [which for what, which in self.watched if what == "task"]
        return bar, live.current(Task.objects.filter(pk__in=ids)) if ids else []
