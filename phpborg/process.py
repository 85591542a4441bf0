"""The only place that starts processes on this host.

No shell, argv tuples, secrets by descriptor. Both streams are drained at any size. Whatever
happens — the caller is stopped, a callback raises, the work-horse is killed — the child and its
group end: SIGINT first (borg writes a checkpoint and frees its lock), then SIGTERM, then SIGKILL.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import IO, Protocol

from phpborg.process_output import Exit as Exit
from phpborg.process_output import OnLine as OnLine
from phpborg.process_output import Output
from phpborg.process_output import TooMuchOutput as TooMuchOutput

Argument = str | bytes

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Stop(Protocol):
    """Asked between reads: has somebody asked us to end?"""

    def is_set(self) -> bool: ...


class Never:
    """A stop that never comes."""

    def is_set(self) -> bool:
        return False


@dataclass(frozen=True)
class Graces:
    """Seconds between the three signals."""

    interrupt: float = 30.0
    terminate: float = 10.0


def _die_with_parent() -> None:
    """In the child: end when the thread that started us ends, so kill -9 leaves no orphan."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # RQ's work-horse ignores SIGINT and a child would inherit that: borg's checkpoint begins with SIGINT.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def secret_pipe(secret: str, stack: ExitStack) -> int:
    """A readable descriptor that yields `secret`; closed with the stack. Secrets up to 64 KiB."""
    read, write = os.pipe()
    stack.callback(_close, read)
    with os.fdopen(write, "wb") as file:
        file.write(secret.encode("utf-8", "surrogateescape"))
    return read


def _close(descriptor: int) -> None:
    with suppress(OSError):
        os.close(descriptor)


def base_environment() -> dict[str, str]:
    """What every child gets and nothing more: no secret of ours is inherited."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR") if name in os.environ}
    path = keep.get("PATH", "/usr/bin:/bin")
    return {**keep, "PATH": f"{path}:/usr/local/sbin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def stream(
    argv: Sequence[Argument],
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    on_stdout: OnLine | None = None,
    on_stderr: OnLine | None = None,
    stop: Stop | None = None,
    timeout: float | None = None,
    pass_fds: Sequence[int] = (),
    cwd: str | bytes | None = None,
    graces: Graces = Graces(),
    on_start: Callable[[int], None] | None = None,
    tick: Callable[[IO[bytes]], None] | None = None,
    ask_stop: Callable[[IO[bytes]], None] | None = None,
    attached: int | None = None,
    most_bytes: int | None = None,
) -> Exit:
    """Run `argv` and hand over its lines (bytes, without the newline) as they come.

    `env` is added to `base_environment()`. Standard input is `stdin` and then closed, unless `tick`
    is given: then it stays open and `tick` is called about once a second with it (keep-alives).
    Without `on_stdout` the standard output is collected into `Exit.stdout`. `timeout` seconds end
    the process like a stop. `on_start` gets the pid (= process group id). With `ask_stop` (needs
    `tick`) a stop is first asked for on the open standard input instead of by SIGINT: a launcher such
    as ssh must live on while the far end finishes. `attached` is a socket that becomes both standard
    input and output of the process; nothing of it passes through here. `most_bytes` limits what is
    collected of the standard output.

    Raises OSError when the program cannot be started, TooMuchOutput, and whatever a callback raises,
    after the process has ended.
    """
    output = Output(on_stdout, on_stderr, most_bytes)
    with Child(argv, env=env, pass_fds=pass_fds, cwd=cwd, attached=attached) as child:
        if on_start:
            on_start(child.pid)
        child.feed(stdin)
        if tick is None:
            child.close_input()
        stopped = child.pump(output, stop=stop, timeout=timeout, graces=graces, tick=tick, ask_stop=ask_stop)
        output.close()
    return output.exit(child.code, stopped)


class Child:
    """A started process, and at the end of the `with` none of its group any more.

    `stream` is one whole life of it. Who has several things to say to one process feeds and pumps in
    turns. The arguments are those of `stream`, and so are the errors.
    """

    def __init__(
        self,
        argv: Sequence[Argument],
        *,
        env: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        cwd: str | bytes | None = None,
        attached: int | None = None,
    ) -> None:
        self._process = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if attached is None else attached,
            stdout=subprocess.PIPE if attached is None else attached,
            stderr=subprocess.PIPE,
            env={**base_environment(), **(env or {})},
            pass_fds=tuple(pass_fds),
            cwd=cwd,
            process_group=0,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  (two system calls, no lock taken)
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """Its process id, which is also its process group's."""
        return self._process.pid

    @property
    def code(self) -> int:
        """As subprocess tells it: a signal is a negative number. Only after the end."""
        return int(self._process.returncode)

    def alive(self) -> bool:
        """Does it still run?"""
        return self._process.poll() is None

    def feed(self, data: bytes) -> None:
        """Hand over standard input; a child that left early is found by its exit status."""
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.write(data)
                self._process.stdin.flush()

    def close_input(self) -> None:
        """There is no more to come."""
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    def pump(
        self,
        output: Output,
        *,
        until: Callable[[], bool] | None = None,
        stop: Stop | None = None,
        timeout: float | None = None,
        graces: Graces = Graces(),
        tick: Callable[[IO[bytes]], None] | None = None,
        ask_stop: Callable[[IO[bytes]], None] | None = None,
    ) -> bool:
        """Read until both streams end and the process has, or `until` is true; True when we had to end it."""
        assert self._process.stderr
        readers = output.readers(self._process.stdout, self._process.stderr)
        reading = _Pump(self._process, stop or Never(), timeout, graces, tick, ask_stop)
        if not reading.read(readers, until or Never().is_set):
            self._process.wait()
        return reading.stopped_at is not None

    def end(self) -> None:
        """It and all that it started are gone; one that has not ended by itself is given 2 s to."""
        end_group(self._process, Graces(interrupt=2, terminate=2))
        for file in (self._process.stdin, self._process.stdout, self._process.stderr):
            if file:
                with suppress(OSError):
                    file.close()


class _Pump:
    """Reads both streams of a process, and brings about its end when that is asked for."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        stop: Stop,
        timeout: float | None,
        graces: Graces,
        tick: Callable[[IO[bytes]], None] | None,
        ask_stop: Callable[[IO[bytes]], None] | None,
    ) -> None:
        self.stopped_at: float | None = None
        self._child = child
        self._stop = stop
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._graces = graces
        self._tick = tick
        self._ask_stop = ask_stop
        self._ticked = 0.0
        self._ended_at = 0.0

    def read(self, readers: Mapping[int, Callable[[bytes], None]], until: Callable[[], bool]) -> bool:
        """Until both streams end (False), or `until` is true (True)."""
        with selectors.DefaultSelector() as selector:
            for descriptor in readers:
                os.set_blocking(descriptor, False)
                selector.register(descriptor, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(timeout=0.25)
                for key, _ in ready:
                    chunk = os.read(key.fd, 1 << 16)
                    if chunk:
                        readers[key.fd](chunk)
                    else:
                        selector.unregister(key.fd)
                if until():
                    return True
                self._look(time.monotonic())
                if self._is_over(bool(ready)):
                    break
        return False

    def _look(self, now: float) -> None:
        """The caller's second, and whether somebody wants the end."""
        if self._tick and self._child.stdin and now - self._ticked >= 1:
            self._ticked = now
            with suppress(OSError, ValueError):
                self._tick(self._child.stdin)
        late = self._deadline is not None and now > self._deadline
        if self.stopped_at is None and (self._stop.is_set() or late):
            self.stopped_at = now
            _first_stop(self._child, self._ask_stop)
        if self.stopped_at is not None:
            _escalate(self._child.pid, now - self.stopped_at, self._graces)

    def _is_over(self, heard: bool) -> bool:
        """A grandchild may hold the pipes of a process that has ended: give the last bytes a moment, then leave."""
        if self._child.poll() is None:
            return False
        now = time.monotonic()
        self._ended_at = self._ended_at or now
        return now - self._ended_at > 2 and not heard


def _first_stop(child: subprocess.Popen[bytes], ask_stop: Callable[[IO[bytes]], None] | None) -> None:
    """Ask, or interrupt the leader only: an ssh below borg must live on to carry the checkpoint."""
    with suppress(OSError, ValueError):
        if ask_stop and child.stdin:
            ask_stop(child.stdin)
        else:
            os.kill(child.pid, signal.SIGINT)


def _escalate(group: int, waited: float, graces: Graces) -> None:
    if waited > graces.interrupt + graces.terminate:
        signal_group(group, signal.SIGKILL)
    elif waited > graces.interrupt:
        signal_group(group, signal.SIGTERM)


def signal_group(group: int, number: int) -> None:
    """Signal a process group that we made; gone is fine."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def end_group(child: subprocess.Popen[bytes], graces: Graces) -> None:
    """Make sure that the child and all that it started are gone."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            child.wait(graces.interrupt)
    if child.poll() is None:
        signal_group(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(graces.terminate)
    signal_group(child.pid, signal.SIGKILL)
    child.wait()
