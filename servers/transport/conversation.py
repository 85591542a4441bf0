"""Our half of the conversation with phpborg-remote, whatever launches it (ssh, sudo, nothing)."""

from __future__ import annotations

import json
import re
import secrets as random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from phpborg.process import Exit, Never, OnLine, Stop
from servers.remote import PROTOCOL

_NOISE_BYTES = 4000
HANDSHAKE_SECONDS = 25.0
# The largest answer is a page of names, each with a path of at most 4 KiB; a hostile server has no end.
MOST_ANSWER = 64 << 20
_EXIT = re.compile(rb"(-|[0-9]{1,3}) (-|[0-9]{1,3})")


def _refusal(text: bytes) -> dict[str, Any]:
    """What a server says is not always what our program says."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    return said if isinstance(said, dict) else {"message": text[:_NOISE_BYTES].decode("utf-8", "replace")}


@dataclass(frozen=True)
class Request:
    """What is asked of phpborg-remote, and within which bounds. `keep`: another request will follow it."""

    verb: str
    args: Mapping[str, Any]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float | None = None
    stop: Stop = field(default_factory=Never)
    tick: Callable[[], None] | None = None
    keep: bool = False
    most_bytes: int = MOST_ANSWER

    def line(self, nonce: str, keepalive: int) -> bytes:
        """The one line that is sent."""
        request = {"v": PROTOCOL, "nonce": nonce, "verb": self.verb, "args": self.args, "secrets": self.secrets}
        # ASCII only: a path that is not UTF-8 travels as an escaped surrogate.
        return json.dumps({**request, "keepalive": keepalive, "keep": self.keep}).encode("ascii") + b"\n"


@dataclass
class Conversation:
    """Reads both streams of one launch: what is noise, what is the tool's, how the tool ended."""

    keepalive: int
    on_stdout: OnLine | None = None
    on_stderr: OnLine | None = None
    # A verb that answers facts; the others run a tool, which is given time to finish.
    answers: bool = False
    nonce: str = field(default_factory=lambda: random.token_hex(16))
    refusal: dict[str, Any] | None = None
    ended: tuple[int | None, int | None] | None = None
    noise: bytes = b""
    launcher_noise: bytes = b""
    tail: deque[bytes] = field(default_factory=lambda: deque(maxlen=60))
    _stdout_started: bool = False
    _stderr_started: bool = False
    _blank_held: bool = False
    _sent_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._marker = f"phpborg-remote {self.nonce} ".encode()

    @property
    def started(self) -> bool:
        """Has phpborg-remote answered?"""
        return self._stdout_started or self._stderr_started

    def stdout_line(self, line: bytes) -> None:
        """One line of standard output."""
        if self._stdout_started:
            if self.on_stdout:
                self.on_stdout(line)
        elif line == self._marker + b"ready":
            self._stdout_started = True
        else:
            self.noise = (self.noise + line + b"\n")[:_NOISE_BYTES]

    def stdout_bytes(self, output: bytes) -> bytes:
        """The tool's part of a whole standard output."""
        before, found, after = output.partition(self._marker + b"ready\n")
        self._stdout_started = bool(found)
        self.noise = before[:_NOISE_BYTES]
        return after if found else b""

    def answered(self, output: bytes) -> bool:
        """Is all of it here that an answering verb says (its one line), although the launcher lives on?"""
        return self.ended is not None and output.endswith(b"\n") and bool(self.stdout_bytes(output))

    def stderr_line(self, line: bytes) -> None:
        """One line of standard error: noise, the tool's, or a marker."""
        if line.startswith(self._marker):
            self._blank_held = False
            self._mark(line[len(self._marker) :])
            return
        if not self._stderr_started:
            self.launcher_noise = (self.launcher_noise + line + b"\n")[-_NOISE_BYTES:]
            return
        if self._blank_held:
            self._blank_held = False
            self._tool_line(b"")
        # The marker begins with a line break of its own, in case the tool left its last line open.
        if line:
            self._tool_line(line)
        else:
            self._blank_held = True

    def _tool_line(self, line: bytes) -> None:
        self.tail.append(line[:4000])
        if self.on_stderr:
            self.on_stderr(line)

    def _mark(self, text: bytes) -> None:
        word, _, rest = text.partition(b" ")
        if word == b"ready":
            self._stderr_started = True
        elif word == b"refused":
            self.refusal = _refusal(rest)
        elif word == b"exit" and (found := _EXIT.fullmatch(rest)):
            code, signal = (None if part == b"-" else int(part) for part in found.groups())
            self.ended = (code, signal)

    def tick(self, stdin: IO[bytes]) -> None:
        """Called each second: tells the far end that we are still there."""
        if time.monotonic() - self._sent_at >= self.keepalive:
            self._sent_at = time.monotonic()
            stdin.write(b".")
            stdin.flush()

    def ask_stop(self, stdin: IO[bytes]) -> None:
        """Ask the far end to finish; the connection stays up for it."""
        stdin.write(b"stop\n")
        stdin.flush()

    def tool_exit(self, launcher: Exit, stdout: bytes) -> Exit:
        """How the tool ended."""
        code, signal = self.ended or (None, None)
        tail = b"\n".join(self.tail).decode("utf-8", "replace")
        return Exit(code=code, signal=signal, stopped=launcher.stopped, stderr_tail=tail, stdout=stdout)

    @property
    def heard(self) -> str:
        """All that came before our program answered, for a message to a person."""
        text = (self.noise + self.launcher_noise).decode("utf-8", "replace")
        return "\n".join(line.strip() for line in text.splitlines() if line.strip())


@dataclass
class HandshakeStop:
    """A stop that also comes when our program has not answered in time."""

    conversation: Conversation
    inner: Stop
    seconds: float = HANDSHAKE_SECONDS
    late: bool = False
    _began: float = field(default_factory=time.monotonic)

    def is_set(self) -> bool:
        """Asked to stop, or the answer is late."""
        if self.conversation.started:
            return self.inner.is_set()
        self.late = self.late or time.monotonic() - self._began > self.seconds
        return self.late or self.inner.is_set()
