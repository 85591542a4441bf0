"""The hub: one subscription to the channel layer for all viewers of this server process."""

from __future__ import annotations

import asyncio
import logging
import weakref
from typing import Any, Protocol

from channels.layers import get_channel_layer

from phpborg.tasks.live import GROUP

log = logging.getLogger(__name__)


class Viewer(Protocol):
    """Somebody who watches; called in the event loop."""

    def task_changed(self, task: dict[str, Any]) -> None: ...


class Hub:
    """Receives each published snapshot once and hands it to every viewer of this event loop."""

    def __init__(self) -> None:
        self.viewers: weakref.WeakSet[Any] = weakref.WeakSet()
        self._listener: asyncio.Task[None] | None = None

    async def join(self, viewer: Viewer) -> None:
        """Add a viewer; the first one starts the subscription."""
        self.viewers.add(viewer)
        if self._listener is None or self._listener.done():
            ready = asyncio.Event()
            self._listener = asyncio.create_task(self._listen(ready))
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
                await layer.group_add(GROUP, channel)
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
        try:
            renewed = asyncio.get_running_loop().time()
            while True:
                try:
                    message = await asyncio.wait_for(layer.receive(channel), timeout=20)
                    for viewer in list(self.viewers):
                        viewer.task_changed(message["task"])
                except TimeoutError:
                    pass
                # A flushed Redis forgets the group: say again that we are in it.
                now = asyncio.get_running_loop().time()
                if now - renewed > 15:
                    renewed = now
                    await layer.group_add(GROUP, channel)
        finally:
            try:
                await asyncio.wait_for(layer.group_discard(GROUP, channel), timeout=1)
            except (Exception, asyncio.CancelledError):
                log.debug("live: the group is left to expire")


_hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = weakref.WeakKeyDictionary()


def hub() -> Hub:
    """The hub of the running event loop."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())
