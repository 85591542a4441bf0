"""A base backup on its way into an archive: the tool's tar stream is borg's standard input, nothing lies on a disk.

As with `streams`: what does not end well is never given its end, and borg is ended before it could commit.
"""

import os
import signal
from typing import Any, Dict, Optional, Tuple

from . import children, policy, producers, streams, tarflow, validate, wire
from .producers import files

_MOST_FILES = 200


class Feed:
    """What the request asks for: the producer, the folder of its members, and settings files beside them."""

    def __init__(self, args: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        self.producer = producers.feed(args, secrets)
        self.folder = validate.absolute(args.get("folder"), "folder")
        policy.check_read(self.folder, real=True)
        # Members of some come with their own places.
        self.below = b"" if args["producer"] in producers.AT_THEIR_PLACES else self.folder
        named = validate.texts(args.get("files", []), "files", _MOST_FILES)
        self.files = [validate.absolute(path, "files") for path in named]
        for path in self.files:
            os.close(files.opened(path).descriptor)


class TarFeeder(streams.Beside):
    """Fills borg's standard input beside it. `failed` says why borg was ended, or None."""

    def __init__(self, feed: Feed, sink: int, borg: children.Tool, control: wire.Control) -> None:
        super().__init__(borg, control)
        self.failed: Optional[str] = None
        self._feed = feed
        self._sink = sink

    def finish(self) -> None:
        """See above; a backup that was not read to its end is told."""
        super().finish()
        if self.failed is None and not self.done:
            self.failed = streams.NOT_READ

    def _work(self) -> None:
        try:
            reason = self._safely(self._fill)
            if reason is not None and not self._over.wait(1):
                self.failed = reason
                streams.interrupt(self._borg, self._over)
        finally:
            os.close(self._sink)

    def _fill(self) -> Optional[str]:
        """All of it, up to the end of the archive; None when it is whole, else the reason."""
        producer = self._feed.producer
        with streams.Said() as said:
            try:
                child = streams.begin(producer, said.descriptor)
            except OSError as error:
                return str(error)
            self._running = child
            assert child.stdout is not None
            flow = tarflow.Flow(child.stdout.fileno(), self._sink, self._feed.below)
            broken, code = self._copy(flow, child)
            # After something broke its end is our own doing.
            ours = broken is not None and code == -signal.SIGTERM
            reason = broken if ours else streams.ended(producer, code, said.text()) or broken
            if reason is None:
                for path in self._feed.files:
                    self._add(flow, path)
                flow.finish()
                row = {"name": wire.shown(self._feed.folder), "bytes": flow.bytes, "members": flow.members}
                self.done.append(dict(row, what=producer.what, said=said.text()))
            return reason

    def _add(self, flow: tarflow.Flow, path: bytes) -> None:
        found = files.opened(path)
        try:
            flow.add_file(found.place, found.descriptor, found.status)
        finally:
            os.close(found.descriptor)

    def _copy(self, flow: tarflow.Flow, child: Any) -> Tuple[Optional[str], int]:
        broken: Optional[str] = None
        try:
            if self._feed.below:
                flow.add_folder(self._feed.folder)
            flow.copy(self._control.check)
        except Exception as error:
            broken = str(error) or type(error).__name__
            children.signal_group(child.pid, signal.SIGTERM)
        return broken, self._collect(child)
