"""One file out of the archive as a stream, on its way into the engine."""

import os
import select
import tempfile
import time
from contextlib import contextmanager
from typing import Callable, Iterator

from .. import borg, children, wire
from .steps import Context

_CHUNK = 1 << 18
_TELL_SECONDS = 1.0
_LOG_BYTES = 1 << 16


class Stream:
    """What borg prints; `bytes` of it were handed on."""

    def __init__(self, context: Context, tool: children.Tool, tell: Callable[[int], None]) -> None:
        self.bytes = 0
        self._context, self._tool, self._tell = context, tool, tell

    def chunks(self) -> Iterator[bytes]:
        """All of it. Raises Refused when it was not all: then who reads it is never told that it was."""
        assert self._tool.process.stdout is not None
        source, told = self._tool.process.stdout.fileno(), 0.0
        while True:
            self._context.control.check()
            if not select.select([source], [], [], 0.5)[0]:
                continue
            chunk = os.read(source, _CHUNK)
            if not chunk:
                break
            self.bytes += len(chunk)
            yield chunk
            if time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                self._tell(self.bytes)
        code, number = self._tool.wait(self._context.control)
        if code != 0:
            status = "signal {}".format(number) if code is None else "exit {}".format(code)
            raise wire.Refused("stream", "the archive could not be read to its end (borg ended with {})".format(status))


@contextmanager
def out_of_the_archive(context: Context, tell: Callable[[int], None]) -> Iterator[Stream]:
    """The file that the request names by argv, link, env and the passphrase; `tell` hears how far it is."""
    with tempfile.TemporaryFile() as log:
        tool = borg.reader(context.request, context.token, log.fileno())()
        try:
            yield Stream(context, tool, tell)
        finally:
            assert tool.process.stdout is not None
            tool.process.stdout.close()
            tool.end()
            log.seek(0)
            wire.write_all(2, log.read(_LOG_BYTES))
