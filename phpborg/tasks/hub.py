"""The hub: one subscription to the channel layer for all viewers of this server process."""

from __future__ import annotations

import asyncio
import logging
import weakref
from contextlib import suppress
from typing import Any, Protocol

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer

from phpborg.tasks.live import GROUP, current
from phpborg.tasks.models import Task
from phpborg.tasks.states import ACTIVE

log = logging.getLogger(__name__)
RENEW_SECONDS, SILENT_SECONDS = 10.0, 8.0


class Viewer(Protocol):
    """Somebody who watches; called in the event loop."""

    def task_changed(self, task: dict[str, Any]) -> None: ...


class Hub:
    """Receives each published snapshot once and hands it to every viewer of this event loop."""

    def __init__(self) -> None:
        self.viewers: weakref.WeakSet[Any] = weakref.WeakSet()
        self._listener: asyncio.Task[None] | None = None
        self._heard: dict[str, float] = {}  # active tasks, and when we last heard of each

    async def join(self, viewer: Viewer) -> None:
        """Add a viewer; the first one starts the subscription."""
        self.viewers.add(viewer)
        if self._listener is None or self._listener.done():
            ready = asyncio.Event()
            self._listener = asyncio.create_task(self._listen(ready))
            with suppress(TimeoutError):
                await asyncio.wait_for(ready.wait(), timeout=5)

    def leave(self, viewer: Viewer) -> None:
        """Remove a viewer; the last one ends the subscription."""
        self.viewers.discard(viewer)
        if not self.viewers and self._listener:
            self._listener.cancel()
            self._listener = None

    async def _listen(self, ready: asyncio.Event) -> None:
        """Subscribe, hand out, and subscribe again when Redis went away."""
        pause = 0.5
        while True:
            layer = get_channel_layer()
            try:
                channel = await layer.new_channel()
                await asyncio.wait_for(layer.group_add(GROUP, channel), timeout=5)
                ready.set()
                pause = 0.5
                await self._hand_out(layer, channel)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.warning("live: the channel layer is away (%s); trying again", error)
            ready.set()
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5)

    async def _hand_out(self, layer: Any, channel: str) -> None:
        clock = asyncio.get_running_loop().time
        renewed = clock()
        try:
            await self._catch_up()
            while True:
                with suppress(TimeoutError):
                    message = await asyncio.wait_for(layer.receive(channel), timeout=RENEW_SECONDS)
                    self._tell(message["task"])
                if clock() - renewed >= RENEW_SECONDS:
                    renewed = clock()
                    # A flushed Redis forgets the group: say again that we are in it.
                    await asyncio.wait_for(layer.group_add(GROUP, channel), timeout=5)
                    await self._catch_up()
        finally:
            try:
                await asyncio.wait_for(layer.group_discard(GROUP, channel), timeout=1)
            except (Exception, asyncio.CancelledError):
                log.debug("live: the group is left to expire")

    def _tell(self, task: dict[str, Any]) -> None:
        if task["state"] in ACTIVE:
            self._heard[task["id"]] = asyncio.get_running_loop().time()
        else:
            self._heard.pop(task["id"], None)
        for viewer in list(self.viewers):
            viewer.task_changed(task)

    async def _catch_up(self) -> None:
        """Read the truth about what we have not heard of for a while: a message may have been lost."""
        limit = asyncio.get_running_loop().time() - SILENT_SECONDS
        silent = [task_id for task_id, at in self._heard.items() if at < limit]
        for task in await database_sync_to_async(_load)(silent):
            if self._heard.get(task["id"], 0.0) < limit:
                self._tell(task)
        for task_id in silent:
            if self._heard.get(task_id, 0.0) < limit:  # its row is gone
                self._heard.pop(task_id, None)


def _load(known: list[str]) -> list[dict[str, Any]]:
    """These tasks, and every one that people wait for."""
    active = Task.objects.active().for_people().order_by("created_at").values_list("pk", flat=True)[:200]
    return current(Task.objects.filter(pk__in=[*known[:500], *active]))


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()


def hub() -> Hub:
    """The hub of the running event loop."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())
