"""One started launcher (ssh, sudo, the helper itself), and the requests that go through it one after the other."""

from __future__ import annotations

import signal
import time
from typing import IO

from phpborg import process
from phpborg.process import Exit
from phpborg.process_output import Output
from servers.transport.conversation import Conversation, HandshakeStop, Request

# The far end gives borg 30 s for its checkpoint, then 10 s; only after that is the launcher ended.
_GRACES = process.Graces(interrupt=50, terminate=5)
_ANSWER_GRACES = process.Graces(interrupt=6, terminate=2)
# Nobody tells the far end between two requests that we are there; it waits four keep-alives (main.py there).
_MOST_QUIET_SECONDS = 10.0
_CLOSING_SECONDS = 3.0


class Launch:
    """A launcher that is up. Raises FileNotFoundError when it cannot be started."""

    def __init__(self, argv: tuple[str, ...]) -> None:
        self._argv = argv
        self._child = process.Child(argv)
        self._answered_at: float | None = None
        self._closed = False

    def serves(self, argv: tuple[str, ...]) -> bool:
        """May a request for this launcher go through this one, which has answered another just now?"""
        fresh = self._answered_at is not None and time.monotonic() - self._answered_at < _MOST_QUIET_SECONDS
        return fresh and argv == self._argv and self._child.alive()

    @property
    def stays(self) -> bool:
        """Is it waiting for another request?"""
        return self._answered_at is not None and self._child.alive()

    def carry(self, request: Request, talk: Conversation, waiting: HandshakeStop) -> Exit:
        """Send a request and hear its end; that of the launcher too, unless it is to be kept.

        Raises TooMuchOutput, and whatever a callback raises: then it is to be closed.
        """

        def each_second(stdin: IO[bytes]) -> None:
            talk.tick(stdin)
            if request.tick:
                request.tick()

        def ask_stop(stdin: IO[bytes]) -> None:
            if talk.started:
                talk.ask_stop(stdin)
            else:
                process.signal_group(self._child.pid, signal.SIGTERM)

        self._answered_at = None
        output = Output(talk.stdout_line if talk.on_stdout else None, talk.stderr_line, request.most_bytes)
        self._child.feed(request.line(talk.nonce, talk.keepalive))
        stopped = self._child.pump(
            output,
            # Looked at only once the end was told: joining it for each piece would cost its square.
            until=(lambda: talk.ended is not None and talk.answered(output.collected())) if request.keep else None,
            stop=waiting,
            timeout=request.timeout,
            graces=_ANSWER_GRACES if talk.answers else _GRACES,
            tick=each_second,
            ask_stop=ask_stop,
        )
        output.close()
        if self._child.alive() and not stopped:
            self._answered_at = time.monotonic()
            return output.exit(0, stopped)
        self.close()
        return output.exit(self._child.code, stopped)

    def close(self) -> None:
        """The far end hears that nothing follows, and ends; who does not is ended."""
        self._answered_at = None
        if self._closed:
            return
        self._closed = True
        with self._child:
            self._child.close_input()
            rest = Output(lambda line: None, None)
            self._child.pump(rest, timeout=_CLOSING_SECONDS, graces=process.Graces(interrupt=1, terminate=1))
