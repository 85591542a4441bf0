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
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import IO, Protocol

Argument = str | bytes
OnLine = Callable[[bytes], None]

_LINE_LIMIT = 1 << 20
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Stop(Protocol):
    """Asked between reads: has somebody asked us to end?"""

    def is_set(self) -> bool: ...


class TooMuchOutput(Exception):
    """A process printed more than its caller is willing to hold."""


class Never:
    """A stop that never comes."""

    def is_set(self) -> bool:
        return False


@dataclass(frozen=True)
class Exit:
    """How a process ended.

    `code` is the exit status, or None when a signal ended it; `signal` is that signal's number.
    `stopped` says that we ended it ourselves. `stderr_tail` holds its last lines, decoded with
    replacement, for a message to a person.
    """

    code: int | None
    signal: int | None = None
    stopped: bool = False
    stderr_tail: str = ""
    stdout: bytes = b""

    @property
    def ok(self) -> bool:
        """Exit status 0 and nobody stopped it."""
        return self.code == 0 and not self.stopped


@dataclass(frozen=True)
class Graces:
    """Seconds between the three signals."""

    interrupt: float = 30.0
    terminate: float = 10.0


@dataclass
class _Lines:
    """Splits a byte stream into lines; a line over 1 MiB is cut, never collected without bound."""

    emit: OnLine
    rest: bytearray = field(default_factory=bytearray)

    def feed(self, chunk: bytes) -> None:
        self.rest += chunk
        *lines, last = self.rest.split(b"\n")
        self.rest = bytearray(last[:_LINE_LIMIT])
        for line in lines:
            self.emit(bytes(line[:_LINE_LIMIT]))

    def close(self) -> None:
        if self.rest:
            self.emit(bytes(self.rest))


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
    output = _Output(on_stdout, on_stderr, most_bytes)
    deadline = None if timeout is None else time.monotonic() + timeout
    child = subprocess.Popen(
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
    try:
        if on_start:
            on_start(child.pid)
        _feed(child, stdin, keep_open=tick is not None)
        stopped = _pump(child, output.readers(child), stop or Never(), deadline, graces, tick, ask_stop)
        output.close()
        child.wait()
    finally:
        end_group(child, Graces(interrupt=2, terminate=2) if child.poll() is None else graces)
        for file in (child.stdin, child.stdout, child.stderr):
            if file:
                with suppress(OSError):
                    file.close()
    return output.exit(child.returncode, stopped)


class _Output:
    """Both streams of a child: its lines handed over, and what of them its Exit keeps."""

    def __init__(self, on_stdout: OnLine | None, on_stderr: OnLine | None, most_bytes: int | None = None) -> None:
        self._on_stderr = on_stderr
        self._collected: list[bytes] = []
        self._room = most_bytes
        self._tail: deque[bytes] = deque(maxlen=60)
        self._out = _Lines(on_stdout) if on_stdout else None
        self._errors = _Lines(self._keep)

    def _keep(self, line: bytes) -> None:
        self._tail.append(line[:4000])
        if self._on_stderr:
            self._on_stderr(line)

    def _collect(self, chunk: bytes) -> None:
        if self._room is not None:
            self._room -= len(chunk)
            if self._room < 0:
                raise TooMuchOutput
        self._collected.append(chunk)

    def readers(self, child: subprocess.Popen[bytes]) -> dict[int, Callable[[bytes], None]]:
        """What takes the bytes of each descriptor."""
        assert child.stderr
        readers: dict[int, Callable[[bytes], None]] = {child.stderr.fileno(): self._errors.feed}
        if child.stdout:
            readers[child.stdout.fileno()] = self._out.feed if self._out else self._collect
        return readers

    def close(self) -> None:
        """Hand over last lines that no newline ended."""
        if self._out:
            self._out.close()
        self._errors.close()

    def exit(self, code: int, stopped: bool) -> Exit:
        """How it ended; subprocess tells a signal by a negative code."""
        return Exit(
            code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            stopped=stopped,
            stderr_tail=b"\n".join(self._tail).decode("utf-8", "replace"),
            stdout=b"".join(self._collected),
        )


def _feed(child: subprocess.Popen[bytes], stdin: bytes, *, keep_open: bool) -> None:
    """Hand over the standard input; a child that left early is found by its exit status."""
    if child.stdin is None:
        return
    with suppress(BrokenPipeError):
        child.stdin.write(stdin)
        child.stdin.flush()
    if not keep_open:
        with suppress(BrokenPipeError):
            child.stdin.close()


def _pump(
    child: subprocess.Popen[bytes],
    readers: Mapping[int, Callable[[bytes], None]],
    stop: Stop,
    deadline: float | None,
    graces: Graces,
    tick: Callable[[IO[bytes]], None] | None,
    ask_stop: Callable[[IO[bytes]], None] | None,
) -> bool:
    """Read until both streams end; True when we had to end the process ourselves."""
    stopped_at: float | None = None
    ticked = ended_at = 0.0
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
            now = time.monotonic()
            if tick and child.stdin and now - ticked >= 1:
                ticked = now
                with suppress(OSError, ValueError):
                    tick(child.stdin)
            if stopped_at is None and (stop.is_set() or (deadline is not None and now > deadline)):
                stopped_at = now
                _first_stop(child, ask_stop)
            if stopped_at is not None:
                _escalate(child.pid, now - stopped_at, graces)
            if child.poll() is not None:
                # A grandchild may hold the pipes open: give the last bytes a moment, then leave.
                ended_at = ended_at or now
                if now - ended_at > 2 and not ready:
                    break
    return stopped_at is not None


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
