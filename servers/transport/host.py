"""The part of a host that is the same however phpborg-remote is launched."""

from __future__ import annotations

import json
import re
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import IO, Any, NoReturn

from django.conf import settings

from phpborg import process
from phpborg.errors import PhpBorgError
from phpborg.process import Exit, OnLine, Stop
from servers import errors
from servers.transport.base import Arguments, Link, RemoteExit, Target
from servers.transport.conversation import Conversation, HandshakeStop, request_line

# The far end gives borg 30 s for its checkpoint, then 10 s; only after that is the launcher ended.
_GRACES = process.Graces(interrupt=50, terminate=5)
_ANSWER_GRACES = process.Graces(interrupt=6, terminate=2)


# The largest answer is a page of names, each with a path of at most 4 KiB; a hostile server has no end.
_MOST_ANSWER = 64 << 20

_SUDO_SAYS = re.compile(r"^sudo: |is not allowed to (run|execute)|not in the sudoers file|may not run sudo")


class HelperHost(ABC):
    """Launches phpborg-remote for each request and reads its two streams."""

    def __init__(self, target: Target) -> None:
        self.target = target

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
    ) -> dict[str, Any]:
        """A verb that answers facts; see `Host.call`."""
        talk = Conversation(self._keepalive, answers=True)
        result = self._converse(verb, args or {}, {}, talk, stop, timeout, (), as_login, None)
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
        return self._converse(verb, args or {}, secrets or {}, talk, stop, timeout, options, False, tick)

    @property
    def _keepalive(self) -> int:
        return int(settings.SSH_KEEPALIVE_SECONDS)

    def _converse(
        self,
        verb: str,
        args: Arguments,
        secrets: Mapping[str, str],
        talk: Conversation,
        stop: Stop | None,
        timeout: float | None,
        options: tuple[str, ...],
        as_login: bool,
        tick: Callable[[], None] | None,
    ) -> RemoteExit:
        waiting = HandshakeStop(talk, stop or process.Never())
        argv = self.launcher(options=options, as_login=as_login)

        launched: list[int] = []

        def each_second(stdin: IO[bytes]) -> None:
            talk.tick(stdin)
            if tick:
                tick()

        def ask_stop(stdin: IO[bytes]) -> None:
            if talk.started:
                talk.ask_stop(stdin)
            else:
                process.signal_group(launched[0], signal.SIGTERM)

        try:
            launcher = process.stream(
                argv,
                stdin=request_line(talk.nonce, verb, args, secrets, talk.keepalive),
                on_stdout=talk.stdout_line if talk.on_stdout else None,
                on_stderr=talk.stderr_line,
                stop=waiting,
                timeout=timeout,
                graces=_ANSWER_GRACES if talk.answers else _GRACES,
                tick=each_second,
                ask_stop=ask_stop,
                on_start=launched.append,
                most_bytes=_MOST_ANSWER,
            )
        except FileNotFoundError as error:
            raise errors.HelperMissing(address=self.target.label, path=str(error.filename)) from error
        except process.TooMuchOutput as error:
            raise errors.RemoteFailed("the answer has no end", address=self.target.label) from error
        stdout = b"" if talk.on_stdout else talk.stdout_bytes(launcher.stdout)
        self._raise_for(launcher, talk, waiting)
        return RemoteExit(talk.tool_exit(launcher, stdout), launcher, talk.heard)

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
