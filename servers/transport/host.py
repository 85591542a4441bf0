"""The part of a host that is the same however phpborg-remote is launched."""

from __future__ import annotations

import json
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from django.conf import settings

from phpborg import process
from phpborg.errors import PhpBorgError
from phpborg.process import Exit, OnLine, Stop
from servers import errors
from servers.transport.base import Arguments, Link, RemoteExit, Target
from servers.transport.conversation import MOST_ANSWER, Conversation, HandshakeStop, Request
from servers.transport.launch import Launch

_SUDO_SAYS = re.compile(r"^sudo: |is not allowed to (run|execute)|not in the sudoers file|may not run sudo")


class HelperHost(ABC):
    """Launches phpborg-remote for each request, or for some in a row, and reads its two streams."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._keeps = False
        self._kept: Launch | None = None

    @abstractmethod
    def launcher(self, *, options: tuple[str, ...], as_login: bool) -> tuple[str, ...]:
        """The command that starts phpborg-remote with our pipes."""

    @abstractmethod
    def explain(self, launcher: Exit, conversation: Conversation) -> PhpBorgError:
        """Why phpborg-remote did not answer, or was lost."""

    def call(
        self,
        verb: str,
        args: Arguments | None = None,
        *,
        timeout: float = 30,
        stop: Stop | None = None,
        as_login: bool = False,
        most_bytes: int = MOST_ANSWER,
        secrets: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """A verb that answers facts; see `Host.call`."""
        talk = Conversation(self._keepalive, answers=True)
        request = Request(
            verb,
            args or {},
            secrets or {},
            timeout,
            stop or process.Never(),
            keep=self._keeps,
            most_bytes=most_bytes,
        )
        result = self._converse(request, talk, as_login=as_login)
        if result.exit.code != 0:
            if result.launcher.stopped:
                raise errors.TimedOut(f"{timeout:g} s", address=self.target.label)
            raise errors.RemoteFailed(result.exit.stderr_tail, address=self.target.label)
        try:
            answer = json.loads(result.exit.stdout)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise errors.RemoteFailed("the answer cannot be understood", address=self.target.label)
        return answer

    def run(
        self,
        verb: str,
        args: Arguments | None = None,
        *,
        secrets: Mapping[str, str] | None = None,
        on_stdout: OnLine | None = None,
        on_stderr: OnLine | None = None,
        stop: Stop | None = None,
        timeout: float | None = None,
        link: Link | None = None,
        tick: Callable[[], None] | None = None,
    ) -> RemoteExit:
        """A verb that runs a tool; see `Host.run`."""
        options: tuple[str, ...] = ()
        if link is not None:
            argument, options = link.carry()
            args = {**(args or {}), "link": dict(argument)}
            on_stderr = link.on_stderr = _one_at_a_time(on_stderr)
        talk = Conversation(self._keepalive, on_stdout, on_stderr)
        request = Request(verb, args or {}, secrets or {}, timeout, stop or process.Never(), tick)
        return self._converse(request, talk, options=options)

    @property
    def _keepalive(self) -> int:
        return int(settings.SSH_KEEPALIVE_SECONDS)

    def _converse(
        self, request: Request, talk: Conversation, *, options: tuple[str, ...] = (), as_login: bool = False
    ) -> RemoteExit:
        argv = self.launcher(options=options, as_login=as_login)
        waiting = HandshakeStop(talk, request.stop)
        try:
            launcher = self._over_kept(argv, request, talk, waiting)
            if launcher is None:
                waiting = HandshakeStop(talk, request.stop)
                launcher = self._carry(Launch(argv), request, talk, waiting)
        except FileNotFoundError as error:
            raise errors.HelperMissing(address=self.target.label, path=str(error.filename)) from error
        except process.TooMuchOutput as error:
            raise errors.RemoteFailed("the answer has no end", address=self.target.label) from error
        stdout = b"" if talk.on_stdout else talk.stdout_bytes(launcher.stdout)
        self._raise_for(launcher, talk, waiting)
        return RemoteExit(talk.tool_exit(launcher, stdout), launcher, talk.heard)

    def _carry(self, launch: Launch, request: Request, talk: Conversation, waiting: HandshakeStop) -> Exit:
        """Through this launch, which is closed then or stays for the next request."""
        try:
            launcher = launch.carry(request, talk, waiting)
        except BaseException:
            launch.close()
            raise
        if launch.stays:
            self._kept = launch
        return launcher

    def _over_kept(
        self, argv: tuple[str, ...], request: Request, talk: Conversation, waiting: HandshakeStop
    ) -> Exit | None:
        """Through the connection that the request before has left; None when nobody listens there any more."""
        launch, self._kept = self._kept, None
        if launch is None:
            return None
        if not launch.serves(argv):
            launch.close()
            return None
        launcher = self._carry(launch, request, talk, waiting)
        if talk.started or request.stop.is_set():
            return launcher
        # What ssh said of a connection that it lost is not about the next one.
        talk.noise = talk.launcher_noise = b""
        return None

    @contextmanager
    def one_connection(self) -> Iterator[None]:
        """See `Host.one_connection`."""
        self._keeps = True
        try:
            yield
        finally:
            self._keeps = False
            if self._kept is not None:
                self._kept.close()
                self._kept = None

    def _raise_for(self, launcher: Exit, talk: Conversation, waiting: HandshakeStop) -> None:
        if talk.refusal is not None:
            self._raise_refusal(talk.refusal)
        if talk.ended is not None:
            return
        if waiting.late and not talk.started:
            raise errors.TimedOut(talk.heard, address=self.target.label)
        if launcher.stopped:
            return
        error = self.explain(launcher, talk)
        if isinstance(error, errors.ConnectionLost):
            end = f"signal {launcher.signal}" if launcher.code is None else f"exit {launcher.code}"
            error.detail = "\n".join([*(line.decode("utf-8", "replace") for line in talk.tail), end])
        raise error

    def _raise_refusal(self, refusal: Mapping[str, Any]) -> NoReturn:
        kind = errors.REFUSALS.get(str(refusal.get("code")), errors.RequestRefused)
        raise kind(str(refusal.get("message", "")), address=self.target.label)


def _one_at_a_time(on_line: OnLine | None) -> OnLine:
    """Lines come from the tool and from `borg serve` here, in two threads."""
    lock = threading.Lock()

    def guarded(line: bytes) -> None:
        if on_line:
            with lock:
                on_line(line)

    return guarded


def sudo_sentence(text: str) -> str:
    """sudo's own words among what was heard, or nothing."""
    return "\n".join(line for line in text.splitlines() if _SUDO_SAYS.search(line))
